package pattern

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// price bounds from above what the engine remembers for going back while it matches a part of a pattern, in words: so
// much in any case, and so much for each character that the part takes. A loop gives its memory back only when it
// fails, so that the time limit alone would let it grow by gigabytes.
type price struct{ once, each float64 }

// What the engine remembers for one of each, rounded up.
const (
	priceOfLoop    = 4
	priceOfBranch  = 2
	priceOfCapture = 8
)

func (p price) cost(length int) float64 { return p.once + p.each*float64(length) }

// and is the price of two parts one behind the other: each character is taken by one of them.
func (p price) and(q price) price { return price{p.once + q.once, math.Max(p.each, q.each)} }

// or is the price of two alternatives.
func (p price) or(q price) price {
	return price{math.Max(p.once, q.once) + priceOfBranch, math.Max(p.each, q.each)}
}

func (p price) plus(once float64) price { return price{p.once + once, p.each} }

// ahead is the price of a part that looks at the text without taking it, so that others look at the same again.
func (p price) ahead(length float64) price {
	return price{once: p.once + p.each*length + priceOfBranch}
}

// times is the price of a loop. Rounds that take nothing end it, but for those that it must make.
func (p price) times(r repeat, length float64) price {
	round := p.once + priceOfLoop
	bounded := price{round * r.most, p.each}
	if looped := (price{round * (r.least + 1), p.each + round}); looped.once+looped.each*length < bounded.once+bounded.each*length {
		return looped
	}
	return bounded
}

// repeat is a quantifier. Without an upper bound most is infinite.
type repeat struct {
	least, most float64
	mode        string // "", "?" for lazy, "+" for possessive
}

// repeat reads a quantifier, if there is one here: braces around anything else are text.
func (p *parser) repeat() (r repeat, ok bool, err error) {
	begin := p.at
	switch {
	case p.take("*"):
		r = repeat{least: 0, most: math.Inf(1)}
	case p.take("+"):
		r = repeat{least: 1, most: math.Inf(1)}
	case p.take("?"):
		r = repeat{least: 0, most: 1}
	case p.take("{"):
		least := p.digits(len(p.in), 10)
		most, comma := least, p.take(",")
		if comma {
			most = p.digits(len(p.in), 10)
		}
		if !p.take("}") || !comma && least == "" {
			p.at = begin
			return repeat{}, false, nil
		}
		if r, err = bounds(least, most); err != nil {
			return repeat{}, false, err
		}
	default:
		return repeat{}, false, nil
	}
	for _, mode := range []string{"?", "+"} {
		if r.mode == "" && p.take(mode) {
			r.mode = mode
		}
	}
	return r, true, nil
}

// bounds reads the two numbers of a quantifier. Nothing stands for none.
func bounds(least, most string) (repeat, error) {
	r := repeat{least: 0, most: math.Inf(1)}
	for _, bound := range []struct {
		text string
		to   *float64
	}{{least, &r.least}, {most, &r.most}} {
		if bound.text == "" {
			continue
		}
		n, err := strconv.ParseInt(bound.text, 10, 32)
		if err != nil || n == math.MaxInt32 {
			return repeat{}, fmt.Errorf("the repeat number %.20s is too large", bound.text)
		}
		*bound.to = float64(n)
	}
	if r.least > r.most {
		return repeat{}, errors.New("the least number of repeats is greater than the greatest")
	}
	return r, nil
}

func (r repeat) String() string {
	if math.IsInf(r.most, 1) {
		return fmt.Sprintf("{%.0f,}", r.least)
	}
	return fmt.Sprintf("{%.0f,%.0f}", r.least, r.most)
}

func (p *parser) repeated(what *piece, r repeat) (*piece, error) {
	switch {
	case what == nil || what.kind == assertion:
		return nil, errors.New("there is nothing to repeat")
	case what.kind == repeated:
		return nil, errors.New("a repeat is repeated")
	}
	loop := piece{kind: repeated, width: what.rounds(r)}
	if what.kind == character {
		loop.price = what.plus(priceOfLoop)
	} else {
		loop.price = what.times(r, p.length)
	}
	if loop.source = what.source + r.String() + r.mode; r.mode == "+" {
		loop.source = "(?>" + what.source + r.String() + ")"
	}
	return &loop, nil
}
