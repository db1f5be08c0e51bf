package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// textMethods are those of Python's str. Places are counted in characters.
var textMethods = map[string]textMethod{
	"upper": func(self string, _ arguments) (any, error) { return cases.Upper(language.Und).String(self), nil },
	"lower": func(self string, _ arguments) (any, error) {
		return cases.Lower(language.Und, cases.HandleFinalSigma(true)).String(self), nil
	},
	"casefold":   func(self string, _ arguments) (any, error) { return cases.Fold().String(self), nil },
	"title":      func(self string, _ arguments) (any, error) { return titled(self), nil },
	"capitalize": func(self string, _ arguments) (any, error) { return capitalized(self), nil },
	"swapcase": func(self string, _ arguments) (any, error) {
		return strings.Map(func(r rune) rune {
			if unicode.IsUpper(r) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, self), nil
	},
	"strip":  stripped(strings.TrimFunc),
	"lstrip": stripped(strings.TrimLeftFunc),
	"rstrip": stripped(strings.TrimRightFunc),
	"split":  func(self string, a arguments) (any, error) { return split(self, a, false) },
	"rsplit": func(self string, a arguments) (any, error) { return split(self, a, true) },
	"splitlines": func(self string, a arguments) (any, error) {
		return textList(lines(self, a.flag(0, "keepends"))), nil
	},
	"partition":  partition(strings.Index, func(self string) tuple { return tuple{self, "", ""} }),
	"rpartition": partition(strings.LastIndex, func(self string) tuple { return tuple{"", "", self} }),
	"join": func(self string, a arguments) (any, error) {
		if len(a.Args) != 1 || !isIterable(a.Args[0]) {
			return nil, errors.New("it takes one list")
		}
		var parts []string
		for i, element := range a.engine.elements(a.Args[0]) {
			v := exec.ToValue(element)
			if !isText(v) {
				return nil, fmt.Errorf("element %d of the list is %s, not a string", i, typeName(v))
			}
			parts = append(parts, a.engine.markupOf(v, a.markup))
		}
		return strings.Join(parts, self), nil
	},
	"replace": func(self string, a arguments) (any, error) {
		old, err := a.text(0, "old")
		if err != nil {
			return nil, err
		}
		replacement, err := a.text(1, "new")
		if err != nil {
			return nil, err
		}
		count, err := a.integerOr(2, "count", -1)
		if err != nil {
			return nil, err
		}
		return strings.Replace(self, old, replacement, count), nil
	},
	"find":   func(self string, a arguments) (any, error) { return found(self, a, strings.Index) },
	"rfind":  func(self string, a arguments) (any, error) { return found(self, a, strings.LastIndex) },
	"index":  mustFind(strings.Index),
	"rindex": mustFind(strings.LastIndex),
	"count": func(self string, a arguments) (any, error) {
		part, err := a.text(0, "sub")
		if err != nil {
			return nil, err
		}
		self, _, err = section(self, a)
		return strings.Count(self, part), err
	},
	"startswith":   affix(strings.HasPrefix),
	"endswith":     affix(strings.HasSuffix),
	"removeprefix": removed(strings.TrimPrefix),
	"removesuffix": removed(strings.TrimSuffix),
	"center":       padded(func(missing, width int) (left int) { return missing/2 + missing&width&1 }),
	"ljust":        padded(func(int, int) int { return 0 }),
	"rjust":        padded(func(missing, _ int) int { return missing }),
	"zfill": func(self string, a arguments) (any, error) {
		width, err := a.integer(0, "width")
		if err != nil {
			return nil, err
		}
		sign := ""
		if self != "" && strings.ContainsRune("+-", rune(self[0])) {
			sign, self = self[:1], self[1:]
		}
		zeros, err := padding("0", width-len(sign)-utf8.RuneCountInString(self))
		return sign + zeros + self, err
	},
	"format": func(self string, a arguments) (any, error) { return a.engine.format(self, a) },
	"isdigit": all(func(r rune) bool {
		return unicode.IsDigit(r) || unicode.Is(unicode.No, r) && strings.ContainsRune("¹²³⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", r)
	}),
	"isdecimal": all(unicode.IsDigit),
	"isnumeric": all(unicode.IsNumber),
	"isalpha":   all(unicode.IsLetter),
	"isalnum":   all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"isspace":   all(value.IsSpace),
	"isascii": func(self string, _ arguments) (any, error) {
		return strings.IndexFunc(self, func(r rune) bool { return r > unicode.MaxASCII }) < 0, nil
	},
	"isupper": cased(unicode.IsUpper, unicode.IsLower),
	"islower": cased(unicode.IsLower, unicode.IsUpper),
	"istitle": func(self string, _ arguments) (any, error) {
		return self == titled(self) && titled(self) != strings.ToLower(self), nil
	},
}

func textList(parts []string) *[]any {
	elements := make([]any, len(parts))
	for i, part := range parts {
		elements[i] = part
	}
	return &elements
}

// titled begins each run of letters with a capital.
func titled(text string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		before := inWord
		if inWord = unicode.IsLetter(r); before {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, text)
}

func capitalized(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return text
	}
	return string(unicode.ToTitle(first)) + strings.ToLower(text[size:])
}

func stripped(trim func(string, func(rune) bool) string) textMethod {
	return func(self string, a arguments) (any, error) {
		if characters := a.at(0, "chars"); characters != nil && !characters.IsNil() {
			set, err := a.text(0, "chars")
			return trim(self, func(r rune) bool { return strings.ContainsRune(set, r) }), err
		}
		return trim(self, value.IsSpace), nil
	}
}

// split divides at a separator or, without one, at white space; from the end where that counts.
func split(self string, a arguments, fromEnd bool) (any, error) {
	most, err := a.integerOr(1, "maxsplit", -1)
	if err != nil {
		return nil, err
	}
	separator, err := a.textOr(0, "sep", "")
	if err != nil {
		return nil, err
	}
	if given := a.at(0, "sep"); given != nil && !given.IsNil() {
		if separator == "" {
			return nil, errors.New("the separator is empty")
		}
		if !fromEnd || most < 0 {
			if most < 0 {
				return textList(strings.Split(self, separator)), nil
			}
			return textList(strings.SplitN(self, separator, most+1)), nil
		}
		var parts []string
		for ; most > 0; most-- {
			at := strings.LastIndex(self, separator)
			if at < 0 {
				break
			}
			parts = append(parts, self[at+len(separator):])
			self = self[:at]
		}
		parts = append(parts, self)
		slices.Reverse(parts)
		return textList(parts), nil
	}
	if most < 0 {
		return textList(strings.FieldsFunc(self, value.IsSpace)), nil
	}
	return textList(splitAtSpace(self, most, fromEnd)), nil
}

func splitAtSpace(text string, most int, fromEnd bool) []string {
	var parts []string
	if fromEnd {
		for text = strings.TrimRightFunc(text, value.IsSpace); text != "" && len(parts) < most; text = strings.TrimRightFunc(text, value.IsSpace) {
			at := strings.LastIndexFunc(text, value.IsSpace)
			_, size := utf8.DecodeRuneInString(text[max(at, 0):])
			if at < 0 {
				size = 0
			}
			parts = append(parts, text[max(at, 0)+size:])
			text = text[:max(at, 0)]
		}
		if text != "" {
			parts = append(parts, text)
		}
		slices.Reverse(parts)
		return parts
	}
	for text = strings.TrimLeftFunc(text, value.IsSpace); text != "" && len(parts) < most; text = strings.TrimLeftFunc(text, value.IsSpace) {
		at := strings.IndexFunc(text, value.IsSpace)
		if at < 0 {
			at = len(text)
		}
		parts = append(parts, text[:at])
		text = text[at:]
	}
	if text != "" {
		parts = append(parts, text)
	}
	return parts
}

// lines divides a text at all line ends that Python knows.
func lines(text string, keepEnds bool) []string {
	var all []string
	for text != "" {
		end := strings.IndexAny(text, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if end < 0 {
			return append(all, text)
		}
		_, size := utf8.DecodeRuneInString(text[end:])
		if strings.HasPrefix(text[end:], "\r\n") {
			size = 2
		}
		line := text[:end]
		if keepEnds {
			line = text[:end+size]
		}
		all = append(all, line)
		text = text[end+size:]
	}
	return all
}

// partition divides at one separator; whole is what comes of a text without it.
func partition(find func(string, string) int, whole func(self string) tuple) textMethod {
	return func(self string, a arguments) (any, error) {
		separator, err := a.text(0, "sep")
		if err != nil || separator == "" {
			return nil, errors.New("it needs a separator")
		}
		at := find(self, separator)
		if at < 0 {
			return whole(self), nil
		}
		return tuple{self[:at], separator, self[at+len(separator):]}, nil
	}
}

// section is the part of a text between the arguments start and end, and where it begins.
func section(self string, a arguments) (string, int, error) {
	start, err := a.integerOr(1, "start", 0)
	if err != nil {
		return "", 0, err
	}
	characters := []rune(self)
	end, err := a.integerOr(2, "end", len(characters))
	if err != nil {
		return "", 0, err
	}
	for _, place := range []*int{&start, &end} {
		if *place < 0 {
			*place += len(characters)
		}
		*place = min(max(*place, 0), len(characters))
	}
	return string(characters[start:max(start, end)]), start, nil
}

// found is the place of a part, or -1.
func found(self string, a arguments, find func(string, string) int) (int, error) {
	part, err := a.text(0, "sub")
	if err != nil {
		return 0, err
	}
	within, start, err := section(self, a)
	if err != nil {
		return 0, err
	}
	at := find(within, part)
	if at < 0 {
		return -1, nil
	}
	return start + utf8.RuneCountInString(within[:at]), nil
}

func mustFind(find func(string, string) int) textMethod {
	return func(self string, a arguments) (any, error) {
		at, err := found(self, a, find)
		if err == nil && at < 0 {
			err = errors.New("the text has no such part")
		}
		return at, err
	}
}

// affix tests for one text, or for any of a tuple of them.
func affix(has func(string, string) bool) textMethod {
	return func(self string, a arguments) (any, error) {
		self, _, err := section(self, a)
		if err != nil {
			return nil, err
		}
		if wanted := a.at(0, "prefix"); wanted != nil && isTuple(wanted) {
			return slices.ContainsFunc(a.engine.elements(wanted), func(element any) bool {
				text, ok := element.(string)
				return ok && has(self, text)
			}), nil
		}
		part, err := a.text(0, "prefix")
		return has(self, part), err
	}
}

func removed(trim func(string, string) string) textMethod {
	return func(self string, a arguments) (any, error) {
		part, err := a.text(0, "prefix")
		return trim(self, part), err
	}
}

// padded fills a text up to a width; left says how much of what is missing stands before it.
func padded(left func(missing, width int) int) textMethod {
	return func(self string, a arguments) (any, error) {
		width, err := a.integer(0, "width")
		if err != nil {
			return nil, err
		}
		fill, err := a.textOr(1, "fillchar", " ")
		if err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(fill) != 1 {
			return nil, errors.New("it fills with one character")
		}
		missing := max(width-utf8.RuneCountInString(self), 0)
		before := left(missing, width)
		filling, err := padding(fill, missing)
		if err != nil {
			return nil, err
		}
		return filling[:before*len(fill)] + self + filling[before*len(fill):], nil
	}
}

func padding(fill string, n int) (string, error) {
	if n > maxOutput {
		return "", errTooLong
	}
	return strings.Repeat(fill, max(n, 0)), nil
}

func all(is func(rune) bool) textMethod {
	return func(self string, _ arguments) (any, error) {
		return self != "" && strings.IndexFunc(self, func(r rune) bool { return !is(r) }) < 0, nil
	}
}

func cased(is, isOther func(rune) bool) textMethod {
	return func(self string, _ arguments) (any, error) {
		return strings.IndexFunc(self, is) >= 0 && strings.IndexFunc(self, isOther) < 0, nil
	}
}
