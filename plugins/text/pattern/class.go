package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/patchbay-io/patchbay/plugins/internal/charname"
)

// The inner parts of Python's sets of characters. The engine's own sets are .NET's, which differ: to it a combining
// mark is part of a word, a superscript two is not. Ranges come first, since the engine tests them faster.
var sets = map[rune]struct{ unicode, ascii string }{
	'w': {`a-zA-Z0-9_\p{L}\p{N}`, `a-zA-Z0-9_`},
	'd': {`0-9\p{Nd}`, `0-9`},
	's': {`\x09-\x0d\x1c-\x20\s`, `\x09-\x0d\x20`},
}

func set(letter rune, f flags) string {
	if f.ascii {
		return sets[letter].ascii
	}
	return sets[letter].unicode
}

// escape reads what stands behind a backslash outside a class.
func (p *parser) escape(f flags) (piece, error) {
	if p.at == len(p.in) {
		return piece{}, errors.New("the pattern ends with a backslash")
	}
	word := set('w', f)
	switch c := p.in[p.at]; c {
	case 'A':
		p.at++
		return piece{source: `\A`, kind: assertion}, nil
	case 'Z':
		p.at++
		return piece{source: `\z`, kind: assertion}, nil
	case 'b':
		p.at++
		return piece{source: fmt.Sprintf(`(?:(?<=[%[1]s])(?![%[1]s])|(?<![%[1]s])(?=[%[1]s]))`, word), price: price{once: 3 * priceOfBranch}, kind: assertion}, nil
	case 'B':
		p.at++
		return piece{source: fmt.Sprintf(`(?:(?<=[%[1]s])(?=[%[1]s])|(?<![%[1]s])(?![%[1]s]))`, word), price: price{once: 3 * priceOfBranch}, kind: assertion}, nil
	case 'w', 'd', 's':
		p.at++
		return piece{source: "[" + set(c, f) + "]", kind: character}, nil
	case 'W', 'D', 'S':
		p.at++
		return piece{source: "[^" + set(unicode.ToLower(c), f) + "]", kind: character}, nil
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if !p.isOctal() {
			n, err := strconv.Atoi(p.digits(2, 10))
			if err != nil {
				return piece{}, err
			}
			return p.reference(n)
		}
	}
	c, err := p.character()
	return piece{source: matches(c, f), kind: character}, err
}

// isOctal says whether three octal digits stand here: they are a character, fewer are a group.
func (p *parser) isOctal() bool {
	begin := p.at
	defer func() { p.at = begin }()
	return len(p.digits(3, 8)) == 3
}

var simple = map[rune]rune{'a': '\a', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// character reads an escape that stands for one character, behind the backslash.
func (p *parser) character() (rune, error) {
	if p.at == len(p.in) {
		return 0, errors.New("the pattern ends with a backslash")
	}
	c := p.in[p.at]
	if c >= '0' && c <= '7' {
		n, err := strconv.ParseUint(p.digits(3, 8), 8, 8)
		if err != nil {
			return 0, errors.New("the octal escape is greater than 0o377")
		}
		return rune(n), nil
	}
	p.at++
	if meaning, ok := simple[c]; ok {
		return meaning, nil
	}
	if size, ok := map[rune]int{'x': 2, 'u': 4, 'U': 8}[c]; ok {
		digits := p.digits(size, 16)
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || len(digits) < size || n > unicode.MaxRune {
			return 0, fmt.Errorf("the escape \\%c is incomplete or too large", c)
		}
		return rune(n), nil
	}
	if c == 'N' {
		return p.byName()
	}
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '8' && c <= '9' {
		return 0, fmt.Errorf("there is no escape \\%c", c)
	}
	return c, nil
}

// byName reads the {…} of \N{…}.
func (p *parser) byName() (rune, error) {
	if !p.take("{") {
		return 0, errors.New("the escape \\N needs a name in braces")
	}
	name, err := p.until('}')
	if err != nil {
		return 0, err
	}
	r, ok := charname.Find(name)
	if !ok {
		return 0, fmt.Errorf("there is no character named %.50q", name)
	}
	return r, nil
}

// class is a set of characters between brackets while it is read.
type class struct {
	negated bool
	inner   strings.Builder
	others  []string // sets of which it has everything but their characters: \W, \D, \S
}

func (p *parser) class(f flags) (piece, error) {
	c := class{negated: p.take("^")}
	for first := true; ; first = false {
		if p.at == len(p.in) {
			return piece{}, errors.New("a set of characters does not end")
		}
		if !first && p.take("]") {
			return c.piece(), nil
		}
		low, isSet, err := p.member(f, &c)
		if err != nil {
			return piece{}, err
		}
		if p.at+1 >= len(p.in) || !p.has("-") || p.in[p.at+1] == ']' {
			if !isSet {
				c.inner.WriteString(members(low, low, f))
			}
			continue
		}
		p.at++
		high, highIsSet, err := p.member(f, &c)
		if err != nil {
			return piece{}, err
		}
		if isSet || highIsSet || high < low {
			return piece{}, errors.New("a range of characters is none, or runs backwards")
		}
		c.inner.WriteString(members(low, high, f))
	}
}

// member reads one character of a class, or a set, which it adds to the class.
func (p *parser) member(f flags, c *class) (character rune, isSet bool, err error) {
	r := p.in[p.at]
	p.at++
	if r != '\\' {
		return r, false, nil
	}
	if p.at < len(p.in) {
		switch e := p.in[p.at]; e {
		case 'w', 'd', 's':
			p.at++
			c.inner.WriteString(set(e, f))
			return 0, true, nil
		case 'W', 'D', 'S':
			p.at++
			c.others = append(c.others, set(unicode.ToLower(e), f))
			return 0, true, nil
		case 'b':
			p.at++
			return '\b', false, nil
		}
	}
	character, err = p.character()
	return character, false, err
}

// piece writes the class. The engine has no union with the rest of a set, so those become alternatives, or conditions.
func (c *class) piece() piece {
	inner := c.inner.String()
	switch {
	case len(c.others) == 0 && c.negated:
		return piece{source: "[^" + inner + "]", kind: character}
	case len(c.others) == 0:
		return piece{source: "[" + inner + "]", kind: character}
	}
	var source strings.Builder
	source.WriteString("(?:")
	for _, other := range c.others {
		if c.negated {
			source.WriteString("(?=[" + other + "])")
		} else {
			source.WriteString("[^" + other + "]|")
		}
	}
	switch {
	case inner != "" && c.negated:
		source.WriteString("[^" + inner + "]")
	case inner != "":
		source.WriteString("[" + inner + "]")
	case c.negated:
		source.WriteString(`[\s\S]`)
	}
	text := strings.TrimSuffix(source.String(), "|") + ")"
	return piece{source: text, price: price{once: float64(len(c.others)+1) * priceOfBranch}, width: one}
}
