package pattern

import (
	"strings"
	"unicode"
)

// pairs are letters that Python takes for the same where case does not count, beside those that Unicode folds: what is
// the same as one letter when it is written large.
var pairs = map[rune]rune{'i': 'ı', 'ı': 'i', '\u0390': '\u1fd3', '\u1fd3': '\u0390', '\u03b0': '\u1fe3', '\u1fe3': '\u03b0', '\ufb05': '\ufb06', '\ufb06': '\ufb05'}

// alike are the other small letters that match a small letter where case does not count: ſ for s, ς for σ. The engine
// knows of letters no more than which small one belongs to a large one.
func alike(small rune) []rune {
	var others []rune
	if pair, ok := pairs[small]; ok {
		others = append(others, pair)
	}
	for r := unicode.SimpleFold(small); r != small; r = unicode.SimpleFold(r) {
		if unicode.ToLower(r) == r && r != pairs[small] {
			others = append(others, r)
		}
	}
	return others
}

// similar are the small letters that have others alike, a few dozen.
var similar = func() (all []rune) {
	for r := range rune(0x10000) {
		if unicode.ToLower(r) == r && len(alike(r)) > 0 {
			all = append(all, r)
		}
	}
	return all
}()

// matches is the pattern of one character.
func matches(c rune, f flags) string {
	if f.ignoreCase && !f.ascii {
		if others := alike(unicode.ToLower(c)); len(others) > 0 {
			return "[" + members(c, c, f) + "]"
		}
	}
	return literal(c)
}

// members is the part of a set for a range of characters.
func members(low, high rune, f flags) string {
	var out strings.Builder
	out.WriteString(literal(low))
	if high != low {
		out.WriteString("-" + literal(high))
	}
	if !f.ignoreCase || f.ascii {
		return out.String()
	}
	inside := func(r rune) bool { return low <= r && r <= high }
	for _, small := range similar {
		found := inside(small) || small == 'i' && inside('İ')
		for r := unicode.SimpleFold(small); r != small && !found; r = unicode.SimpleFold(r) {
			found = inside(r) && unicode.ToLower(r) == small
		}
		if !found {
			continue
		}
		for _, other := range alike(small) {
			if !inside(other) {
				out.WriteString(literal(other))
			}
		}
	}
	return out.String()
}
