package conformance

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Checks of runs: what they put out, and how they end.

const (
	plenty = 1 << 16     // credit that no example needs
	quick  = time.Second // probes that take longer are not used by the hundred
)

// examples runs all examples. Those that ask for something that is not here are left out.
func (s *suite) examples() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	var wrong []error
	ran, without := 0, map[string]int{}
	for _, b := range s.offer.Blocks {
		for i, e := range b.Examples {
			p := probe{block: b, input: e.Input, want: values(e.Outputs)}
			began := time.Now()
			start := &proto.Start{Block: b.Id, Input: e.Input, Credit: plenty}
			if needsCredentials(b) {
				start.Credentials = madeUp(b)
			}
			r, err := session.start(start)
			if err != nil {
				return "", err
			}
			if err := r.wait(s.ctx, s.pace.run); err != nil {
				return "", fmt.Errorf("block %q, example %d: %w", b.Name, i+1, err)
			}
			p.took = time.Since(began)
			err = p.compare(r)
			switch {
			case err == nil:
				ran++
				if len(r.asked) == 0 && !needsCredentials(b) {
					s.probes = append(s.probes, p)
				}
			case s.denied(r.failure.GetMessage()) != "":
				wrong = append(wrong, fmt.Errorf("block %q, example %d: %w", b.Name, i+1, err))
			case r.outside:
				s.outsiders = append(s.outsiders, p)
				without["a server in the network"]++
			case slices.Contains(r.asked, "OpenFile"):
				without["a file"]++
			case needsCredentials(b), len(b.Credentials) > 0 && r.failure.GetKind() == proto.ErrorKind_ERROR_KIND_AUTHENTICATION:
				without["credentials"]++
			default:
				wrong = append(wrong, fmt.Errorf("block %q, example %d: %w", b.Name, i+1, err))
			}
		}
	}
	slices.SortStableFunc(s.probes, func(a, b probe) int { return int(a.took - b.took) })
	detail := []string{fmt.Sprintf("%d work", ran)}
	for _, what := range slices.Sorted(maps.Keys(without)) {
		detail = append(detail, fmt.Sprintf("%d need %s and were left out", without[what], what))
	}
	if ran+len(without)+len(wrong) == 0 {
		return "", skipError("no block declares an example; with one or two, more could be checked")
	}
	return strings.Join(detail, ", "), errors.Join(wrong...)
}

func values(outputs []*proto.PinValue) []sdk.Value {
	all := make([]sdk.Value, len(outputs))
	for i, o := range outputs {
		all[i] = sdk.Value{Pin: o.Pin, Value: o.Value}
	}
	return all
}

// compare says in what a run that has ended differs from the example.
func (p probe) compare(r *run) error {
	if r.failure != nil {
		return fmt.Errorf("%.200s: the run ended with %s: %s", p.input, kindOf(r.failure), r.failure.Message)
	}
	equal, err := blocktest.Equal(p.want, r.outputs)
	if err == nil && !equal {
		err = fmt.Errorf("input %.500s\ngot  %s\nwant %s", p.input, shown(r.outputs), shown(p.want))
	}
	return err
}

func kindOf(e *proto.Error) string { return strings.TrimPrefix(e.Kind.String(), "ERROR_KIND_") }

func shown(values []sdk.Value) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("%s=%.200s", v.Pin, v.Value))
	}
	return strings.Join(all, " ")
}

// probe is the quickest example with at least n outputs.
func (s *suite) probe(n int) (probe, error) {
	for _, p := range s.probes {
		if len(p.want) >= n && p.took < quick {
			return p, nil
		}
	}
	return probe{}, skipError(fmt.Sprintf("no block declares an example that works without network, files and credentials and has %s or more", count(n, "output")))
}

// works makes sure that the plugin still does what it did.
func (s *suite) works() error {
	session, err := s.ready()
	if err != nil {
		return err
	}
	p, err := s.probe(0)
	if err != nil { // there is no block to try: it must at least answer
		_, err := s.process.client.Describe(s.ctx, &proto.DescribeRequest{})
		return err
	}
	r, err := session.start(&proto.Start{Block: p.block.Id, Input: p.input, Credit: plenty})
	if err != nil {
		return err
	}
	if err := r.wait(s.ctx, s.pace.run); err != nil {
		return err
	}
	return p.compare(r)
}

func (s *suite) errors() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	starts := map[string]*proto.Start{
		"a block that is not there": {Block: "00000000-0000-4000-8000-00000000dead", Input: []byte("{}"), Credit: 1},
	}
	if len(s.offer.Blocks) > 0 {
		first := s.offer.Blocks[0].Id
		starts["an input that is no JSON"] = &proto.Start{Block: first, Input: []byte(`{"a":`), Credit: plenty}
	}
	for what, start := range starts {
		r, err := session.start(start)
		if err != nil {
			return "", err
		}
		if err := r.wait(s.ctx, s.pace.run); err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		if r.failure == nil {
			return "", fmt.Errorf("the run of %s ended well", what)
		}
	}
	return "", s.works()
}

func (s *suite) credit() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	p, err := s.probe(2)
	if err != nil {
		if p, err = s.probe(1); err != nil {
			return "", err
		}
	}
	r, err := session.start(&proto.Start{Block: p.block.Id, Input: p.input})
	if err != nil {
		return "", err
	}
	for n := range p.want {
		if err := s.works(); err != nil { // another run gets by meanwhile
			return "", err
		}
		if got := r.sent(); got > n {
			return "", fmt.Errorf("block %q sent %s with credit for %d", p.block.Name, count(got, "output"), n)
		}
		if err := r.allow(1); err != nil {
			return "", err
		}
		if err := r.until(s.ctx, s.pace.run, "send its output", func() bool { return len(r.outputs) > n }); err != nil {
			return "", fmt.Errorf("block %q with credit for %d: %w", p.block.Name, n+1, err)
		}
	}
	if err := r.wait(s.ctx, s.pace.run); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s of %q, one by one", count(len(p.want), "output"), p.block.Name), p.compare(r)
}

// noAnswer is a network in which nobody answers.
type noAnswer struct{}

func (noAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func (s *suite) cancel() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	var r *run
	p, err := s.probe(1)
	switch {
	case err == nil: // it waits for credit
		r, err = session.start(&proto.Start{Block: p.block.Id, Input: p.input})
	case len(s.outsiders) > 0: // it waits for an answer from outside
		p = s.outsiders[0]
		session.outside = noAnswer{}
		defer func() { session.outside = nil }()
		r, err = session.start(&proto.Start{Block: p.block.Id, Input: p.input, Credentials: madeUp(p.block), Credit: plenty})
		if err == nil {
			err = r.until(s.ctx, s.pace.run, "ask for the world outside", func() bool { return r.outside })
		}
	}
	if err != nil {
		return "", err
	}
	if err := s.works(); err != nil {
		return "", err
	}
	began := time.Now()
	if err := r.cancel(); err != nil {
		return "", err
	}
	if err := r.wait(s.ctx, s.pace.cancel); err != nil {
		return "", fmt.Errorf("a run of block %q that waits was cancelled: %w", p.block.Name, err)
	}
	took := time.Since(began)
	if r.failure == nil {
		return "", fmt.Errorf("a run of block %q ended well without what it waits for", p.block.Name)
	}
	if r.failure.Kind != proto.ErrorKind_ERROR_KIND_CANCELLED {
		return "", fmt.Errorf("a cancelled run ended with %s, not CANCELLED: %s", kindOf(r.failure), r.failure.Message)
	}
	if err := r.cancel(); err != nil { // of a run that has ended
		return "", err
	}
	return fmt.Sprintf("after %d ms", took.Milliseconds()), s.works()
}
