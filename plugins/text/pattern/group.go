package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// group reads what stands behind an opening parenthesis.
func (p *parser) group(f flags) (piece, error) {
	switch {
	case p.take("?P<"):
		name, err := p.until('>')
		if err != nil {
			return piece{}, err
		}
		return p.named(f, name)
	case p.take("?P="):
		name, err := p.until(')')
		if err != nil {
			return piece{}, err
		}
		n, ok := p.names[name]
		if !ok {
			return piece{}, fmt.Errorf("there is no group named %.50q before it", name)
		}
		return p.reference(n)
	case p.take("?#"):
		_, err := p.until(')')
		return piece{kind: nothing}, err
	case p.take("?:"):
		return p.inside(f, "(?:")
	case p.take("?>"):
		return p.inside(f, "(?>")
	case p.take("?("):
		return p.conditional(f)
	case p.has("?"):
		for look, read := range map[string]func(flags, string) (piece, error){
			"?=": p.inside, "?!": p.inside, "?<=": p.lookBehind, "?<!": p.lookBehind,
		} {
			if p.take(look) {
				inside, err := read(f, "("+look)
				inside.price, inside.width = inside.ahead(p.length), width{}
				return inside, err
			}
		}
		return p.scoped(f)
	default:
		return p.capture(f)
	}
}

// inside reads a group up to its end.
func (p *parser) inside(f flags, begin string) (piece, error) {
	inside, err := p.alternatives(f)
	if err != nil {
		return piece{}, err
	}
	if !p.take(")") {
		return piece{}, errors.New("a group does not end")
	}
	return piece{source: begin + inside.source + ")", price: inside.price, width: inside.width}, nil
}

func (p *parser) named(f flags, name string) (piece, error) {
	if !isIdentifier(name) {
		return piece{}, fmt.Errorf("%.50q is no name for a group", name)
	}
	if _, twice := p.names[name]; twice {
		return piece{}, fmt.Errorf("two groups are named %.50q", name)
	}
	p.names[name] = p.groups + 1
	return p.capture(f)
}

func (p *parser) capture(f flags) (piece, error) {
	p.groups++
	number := p.groups
	p.open[number] = true
	group, err := p.inside(f, "(")
	delete(p.open, number)
	p.widths[number] = group.width
	group.price = group.plus(priceOfCapture)
	return group, err
}

func isIdentifier(name string) bool {
	for i, c := range name {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
			return false
		}
	}
	return name != ""
}

func (p *parser) reference(group int) (piece, error) {
	switch {
	case group > p.groups:
		return piece{}, fmt.Errorf("there is no group %d before it", group)
	case p.open[group]:
		return piece{}, fmt.Errorf("group %d is not closed yet", group)
	case p.behind > 0 && group >= p.behind:
		return piece{}, fmt.Errorf("group %d is part of what looks behind, which must not refer to it", group)
	}
	return piece{source: `\k<` + strconv.Itoa(group) + ">", width: p.widths[group]}, nil
}

// conditional reads "(?(group)yes|no)".
func (p *parser) conditional(f flags) (piece, error) {
	name, err := p.until(')')
	if err != nil {
		return piece{}, err
	}
	group, known := p.names[name]
	if !known {
		n, err := strconv.ParseUint(name, 10, 16)
		if err != nil || n == 0 {
			return piece{}, fmt.Errorf("there is no group %.50q before it", name)
		}
		group = int(n)
	}
	if p.behind > 0 && group >= p.behind {
		return piece{}, fmt.Errorf("group %d is part of what looks behind, which must not refer to it", group)
	}
	p.condition = max(p.condition, group)
	if p.nesting++; p.nesting > maxNesting {
		return piece{}, fmt.Errorf("the groups are nested deeper than %d levels", maxNesting)
	}
	defer func() { p.nesting-- }()
	yes, err := p.sequence(f)
	if err != nil {
		return piece{}, err
	}
	no := piece{}
	if p.take("|") {
		if no, err = p.sequence(f); err != nil {
			return piece{}, err
		}
	}
	if !p.take(")") {
		return piece{}, errors.New("a conditional group has more than two branches, or no end")
	}
	source := "(?(" + strconv.Itoa(group) + ")" + yes.source + "|" + no.source + ")"
	return piece{source: source, price: yes.or(no.price), width: yes.either(no.width)}, nil
}

// scoped reads a group with flags, "(?i-s:…)".
func (p *parser) scoped(f flags) (piece, error) {
	p.at++
	on, seen := true, 0
	for ; p.at < len(p.in); p.at++ {
		switch c := p.in[p.at]; {
		case c == '-' && on:
			on = false
		case strings.ContainsRune("imsx", c) || on && strings.ContainsRune("au", c):
			f.set(c, on)
			seen++
		case c == ':' && seen > 0:
			p.at++
			return p.inside(f, f.scope())
		case c == ')' && seen > 0:
			return piece{}, errors.New("flags for the whole pattern stand at its beginning only")
		default:
			return piece{}, fmt.Errorf("there is no group that begins with %q", "(?"+string(c))
		}
	}
	return piece{}, errors.New("a group does not end")
}

// scope begins a group in which these flags hold.
func (f flags) scope() string {
	on, off := "(?", "-"
	for _, flag := range []struct {
		letter string
		set    bool
	}{{"i", f.ignoreCase}, {"m", f.multiline}, {"s", f.dotAll}} {
		if flag.set {
			on += flag.letter
		} else {
			off += flag.letter
		}
	}
	return strings.TrimSuffix(on+off, "-") + ":"
}
