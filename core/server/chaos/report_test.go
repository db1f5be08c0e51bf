//go:build linux

package chaos

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what came of a round.
type report struct {
	seed                             uint64
	shape                            shape
	faults                           int
	accepted, completed, interrupted int
	events                           int64
	violations                       int
	took                             time.Duration
}

// report says what happened, and prints it.
func (s *storm) report(seed uint64) *report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &report{
		seed: seed, shape: s.shape, faults: len(s.log), accepted: len(s.crowd.runs), events: s.crowd.seen.Load(),
		violations: len(s.violations), took: time.Since(s.began),
	}
	for _, f := range s.crowd.runs {
		switch f.details.Status {
		case "COMPLETED":
			r.completed++
		case "FAILED":
			r.interrupted++
		}
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nchaos: seed %d\n", seed)
	fmt.Fprintf(out, "  cluster     %s\n", s.shape)
	fmt.Fprintf(out, "  executions  %d accepted: %d completed, %d failed\n", r.accepted, r.completed, r.interrupted)
	fmt.Fprintf(out, "  events      %d\n", r.events)
	fmt.Fprintf(out, "  faults      %d\n", r.faults)
	fmt.Fprintf(out, "  violations  %d\n", r.violations)
	fmt.Fprintf(out, "  time        %s\n", r.took.Round(time.Second))
	for _, lack := range s.lacks {
		fmt.Fprintf(out, "  not here    %s\n", lack)
	}
	fmt.Fprintln(out, "\n  at\tfault\tlasted\tgot over in")
	slices.SortFunc(s.log, func(a, b struck) int { return int(a.at - b.at) })
	for _, f := range s.log {
		line := fmt.Sprintf("  %.1f s\t%s\t%s\t%s", f.at.Seconds(), f.what, f.held.Round(time.Millisecond), f.after.Round(time.Millisecond))
		if f.err != nil {
			line += "  " + f.err.Error()
		}
		fmt.Fprintln(out, line)
	}
	for n, v := range s.violations {
		fmt.Fprintf(out, "\n  violation %d: %s\n", n+1, strings.ReplaceAll(fmt.Sprintf("%.1000s", v), "\n", "\n    "))
	}
	_ = out.Flush()
	return r
}

// sum prints one line of each round.
func sum(all []*report) {
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "\nchaos: rounds\n  seed\ttime\tfaults\texecutions\tevents\tviolations\tcluster")
	for _, r := range all {
		fmt.Fprintf(out, "  %d\t%s\t%d\t%d\t%d\t%d\t%s\n", r.seed, r.took.Round(time.Second), r.faults, r.accepted, r.events, r.violations, r.shape)
	}
	_ = out.Flush()
}
