package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dlclark/regexp2"
)

const (
	maxPattern = 64 << 10 // bytes
	maxNesting = 200
)

// translation is a pattern in the engine's words. Names of groups are gone, since the engine numbers named groups
// after all others, where Python counts them as they come.
type translation struct {
	source  string
	options regexp2.RegexOptions
	price
}

// translate reads a pattern of Python's re. The text's length is for the price.
func translate(pattern string, options Options, length int) (translation, error) {
	if len(pattern) > maxPattern {
		return translation{}, fmt.Errorf("the pattern is longer than %d KiB", maxPattern>>10)
	}
	p := &parser{in: []rune(pattern), length: float64(length), names: map[string]int{}, open: map[int]bool{}, widths: map[int]width{}}
	f := flags{ignoreCase: options.IgnoreCase, dotAll: options.DotAll}
	whole, err := p.whole(&f)
	if err != nil {
		return translation{}, fmt.Errorf("the pattern is malformed at character %d: %w", p.at, err)
	}
	t := translation{source: whole.source, price: whole.price}
	for option, set := range map[regexp2.RegexOptions]bool{
		regexp2.IgnoreCase: f.ignoreCase, regexp2.Multiline: f.multiline, regexp2.Singleline: f.dotAll,
	} {
		if set {
			t.options |= option
		}
	}
	return t, nil
}

// flags are those that hold at a place of a pattern. The verbose one and the one for ASCII are translated away.
type flags struct{ ignoreCase, multiline, dotAll, verbose, ascii bool }

// piece is a translated part of a pattern.
type piece struct {
	source string
	price
	width
	kind pieceKind
}

type pieceKind int

const (
	part      pieceKind = iota
	character           // always takes one character, by one instruction of the engine
	assertion           // a place, such as ^: Python does not repeat those
	repeated
	nothing // a comment
)

type parser struct {
	in      []rune
	at      int
	length  float64 // of the text
	nesting int
	groups  int
	names   map[string]int
	open    map[int]bool
	widths  map[int]width // of groups that are closed
	// behind is the first group within what looks behind; 0: nothing does.
	behind int
	// condition is the greatest group that a condition asks for: it may stand before the group.
	condition int
}

func (p *parser) whole(f *flags) (piece, error) {
	for p.globalFlags(f) {
	}
	whole, err := p.alternatives(*f)
	switch {
	case err != nil:
		return piece{}, err
	case p.at < len(p.in):
		return piece{}, errors.New("unbalanced parenthesis")
	case p.condition > p.groups:
		return piece{}, fmt.Errorf("there is no group %d", p.condition)
	}
	return whole, nil
}

// globalFlags takes "(?i)" and its like, which may stand at the beginning only.
func (p *parser) globalFlags(f *flags) bool {
	end := p.at + 2
	for end < len(p.in) && strings.ContainsRune("aimsux", p.in[end]) {
		end++
	}
	if !p.has("(?") || end == p.at+2 || end == len(p.in) || p.in[end] != ')' {
		return false
	}
	for _, letter := range p.in[p.at+2 : end] {
		f.set(letter, true)
	}
	p.at = end + 1
	return true
}

func (f *flags) set(letter rune, on bool) {
	switch letter {
	case 'i':
		f.ignoreCase = on
	case 'm':
		f.multiline = on
	case 's':
		f.dotAll = on
	case 'x':
		f.verbose = on
	case 'a':
		f.ascii = on
	case 'u':
		f.ascii = !on
	}
}

func (p *parser) alternatives(f flags) (piece, error) {
	if p.nesting++; p.nesting > maxNesting {
		return piece{}, fmt.Errorf("the groups are nested deeper than %d levels", maxNesting)
	}
	defer func() { p.nesting-- }()
	all, err := p.sequence(f)
	for err == nil && p.take("|") {
		var next piece
		next, err = p.sequence(f)
		all = piece{source: all.source + "|" + next.source, price: all.or(next.price), width: all.either(next.width)}
	}
	return all, err
}

func (p *parser) sequence(f flags) (piece, error) {
	var done strings.Builder
	var sum price
	var wide width
	var last *piece
	flush := func() {
		if last != nil {
			done.WriteString(last.source)
			sum, wide = sum.and(last.price), wide.follows(last.width)
		}
	}
	for p.at < len(p.in) && p.in[p.at] != '|' && p.in[p.at] != ')' {
		if f.verbose && p.skipVerbose() {
			continue
		}
		r, ok, err := p.repeat()
		if err != nil {
			return piece{}, err
		}
		if ok {
			if last, err = p.repeated(last, r); err != nil {
				return piece{}, err
			}
			continue
		}
		next, err := p.atom(f)
		if err != nil {
			return piece{}, err
		}
		if next.kind == character {
			next.width = one
		}
		if next.kind != nothing {
			flush()
			last = &next
		}
	}
	flush()
	return piece{source: done.String(), price: sum, width: wide}, nil
}

func (p *parser) skipVerbose() bool {
	switch c := p.in[p.at]; {
	case strings.ContainsRune(" \t\n\r\v\f", c):
		p.at++
	case c == '#':
		for p.at < len(p.in) && p.in[p.at] != '\n' {
			p.at++
		}
	default:
		return false
	}
	return true
}

func (p *parser) atom(f flags) (piece, error) {
	c := p.in[p.at]
	p.at++
	switch c {
	case '.':
		return piece{source: ".", kind: character}, nil
	case '^', '$':
		return piece{source: string(c), kind: assertion}, nil
	case '(':
		return p.group(f)
	case '[':
		return p.class(f)
	case '\\':
		return p.escape(f)
	default:
		return piece{source: matches(c, f), kind: character}, nil
	}
}

// literal writes a character so that it never means anything else.
func literal(c rune) string {
	switch {
	case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return string(c)
	case c < 0x80:
		return fmt.Sprintf(`\x%02x`, c)
	case c >= 0xd800 && c < 0xe000:
		return fmt.Sprintf(`\u%04x`, c)
	default:
		return string(c)
	}
}

func (p *parser) has(text string) bool {
	return strings.HasPrefix(string(p.in[p.at:min(len(p.in), p.at+len(text))]), text)
}

// take goes behind the text if it stands here. It is ASCII.
func (p *parser) take(text string) bool {
	if !p.has(text) {
		return false
	}
	p.at += len(text)
	return true
}

// until gives what stands before a character, and goes behind it.
func (p *parser) until(end rune) (string, error) {
	for i := p.at; i < len(p.in); i++ {
		if p.in[i] == end {
			text := string(p.in[p.at:i])
			p.at = i + 1
			return text, nil
		}
	}
	return "", fmt.Errorf("%q is missing", end)
}

// digits takes up to a number of digits of a base.
func (p *parser) digits(most int, base int) string {
	end := p.at
	for end < len(p.in) && end < p.at+most {
		if _, err := strconv.ParseUint(string(p.in[end]), base, 8); err != nil {
			break
		}
		end++
	}
	text := string(p.in[p.at:end])
	p.at = end
	return text
}
