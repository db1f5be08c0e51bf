package pattern

import (
	"errors"
	"math"
)

// width is how many characters a part of a pattern takes, at least and at most. Python looks behind for parts of one
// width only.
type width struct{ low, high float64 }

var one = width{1, 1}

// follows is the width of two parts one behind the other.
func (w width) follows(v width) width { return width{w.low + v.low, w.high + v.high} }

// either is the width of two alternatives.
func (w width) either(v width) width { return width{math.Min(w.low, v.low), math.Max(w.high, v.high)} }

func (w width) rounds(r repeat) width {
	if w.high == 0 { // no matter how often
		return w
	}
	return width{w.low * r.least, w.high * r.most}
}

// lookBehind reads a group that looks behind.
func (p *parser) lookBehind(f flags, begin string) (piece, error) {
	outer := p.behind
	if outer == 0 {
		p.behind = p.groups + 1
	}
	inside, err := p.inside(f, begin)
	p.behind = outer
	if err == nil && inside.low != inside.high {
		err = errors.New("what looks behind must always take the same number of characters")
	}
	return inside, err
}
