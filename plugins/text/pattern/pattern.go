// Package pattern searches text by regular expressions as Python's re knows them, for agents that were written for it.
// It translates them for an engine that backtracks, and bounds what that can cost: every search ends within a time
// limit, and one whose backtracking could fill the memory is refused before it begins. It must never let a foreign
// pattern harm the process.
package pattern

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlclark/regexp2"
)

// TimeLimit bounds the whole of one Find.
const TimeLimit = 5 * time.Second

const (
	// clockTick is how late the engine may notice that its time is over: its clock ticks ten times a second.
	clockTick = 250 * time.Millisecond
	// maxCost bounds what the engine may remember for going back, in words of 8 bytes. Its stacks grow by doubling.
	maxCost = 32 << 20
	// largeCost is what makes a search large: few of those may run at a time.
	largeCost = 1 << 20
)

// large has a place for each large search that may run at a time, so that their memory has a bound together.
var large = make(chan struct{}, 2)

// Errors of a search whose pattern is well formed. All others say what is wrong with the pattern.
var (
	ErrTimeLimit = fmt.Errorf("the search did not end within %s: the pattern backtracks too much", TimeLimit)
	ErrTooCostly = errors.New("the pattern would take too much memory for a text of this length")
)

// Options are flags beside those that the pattern itself sets.
type Options struct {
	IgnoreCase bool
	DotAll     bool // a dot matches line ends too
}

// Find yields each match, from left to right, as re.finditer does: what its group took (0: the whole match), and
// false when the group took no part in the match or is not there. It ends when yield returns false.
func Find(ctx context.Context, pattern, text string, options Options, group int, yield func(found []rune, ok bool) bool) error {
	runes := []rune(text)
	t, err := translate(pattern, options, len(runes))
	if err != nil {
		return err
	}
	cost := t.cost(len(runes))
	if cost > maxCost {
		return ErrTooCostly
	}
	if max(cost, float64(len(runes))) > largeCost {
		select {
		case large <- struct{}{}:
			defer func() { <-large }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s := search{translation: t, text: runes, end: time.Now().Add(TimeLimit - clockTick)}
	deadline, ok := ctx.Deadline()
	first := ok && deadline.Before(s.end)
	if first {
		s.end = deadline
	}
	err = s.run(ctx, group, yield)
	if first && errors.Is(err, ErrTimeLimit) { // the engine's clock was ahead of the context's
		return context.DeadlineExceeded
	}
	return err
}

// search is one Find under way.
type search struct {
	translation
	text []rune
	end  time.Time
	// any finds the next match; longer, made when it is needed, finds one that does not end where the search begins.
	any, longer *regexp2.Regexp
}

func (s *search) run(ctx context.Context, group int, yield func([]rune, bool) bool) error {
	var err error
	if s.any, err = s.compile(s.source); err != nil {
		return err
	}
	empty := false // whether the match before was
	for at := 0; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		match, err := s.next(at, empty)
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || match == nil {
			return err
		}
		var found []rune
		taken := match.GroupByNumber(group)
		ok := taken != nil && len(taken.Captures) > 0
		if ok {
			found = taken.Runes()
		}
		if !yield(found, ok) {
			return nil
		}
		at, empty = match.Index+match.Length, match.Length == 0
	}
}

// next searches from a position on. Behind an empty match Python looks for one that is not empty at the same place.
func (s *search) next(at int, behindEmpty bool) (*regexp2.Match, error) {
	re := s.any
	if behindEmpty {
		if s.longer == nil {
			var err error
			// \G is where the search begins. What matches may not end there.
			if s.longer, err = s.compile("(?:" + s.source + `)(?!\G)`); err != nil {
				return nil, err
			}
		}
		re = s.longer
	}
	if re.MatchTimeout = time.Until(s.end); re.MatchTimeout <= 0 {
		return nil, ErrTimeLimit
	}
	match, err := re.FindRunesMatchStartingAt(s.text, at)
	if err != nil { // it has no other errors, and this one holds the whole text
		return nil, ErrTimeLimit
	}
	return match, nil
}

func (s *search) compile(source string) (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(source, s.options)
	if err != nil {
		return nil, fmt.Errorf("the pattern cannot be used: %w", err)
	}
	return re, nil
}
