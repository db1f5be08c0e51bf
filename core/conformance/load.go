package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Checks of what a plugin bears: much at once, for long, and what it does not know.

const (
	bigValue  = 10 << 20 // bytes
	atOnce    = 1000
	roundRuns = 500
	rounds    = 80
	grows     = 2 << 20 // bytes that are no growth; nor is a twelfth, between two collections of garbage
)

func (s *suite) bigValues() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	tried := 0
	var last string
	for _, p := range s.probes {
		input, ok := enlarged(p.input)
		if !ok || p.took >= quick {
			continue
		}
		if tried++; tried > 10 {
			break
		}
		start := &proto.Start{Block: p.block.Id, Input: input, Credit: plenty}
		if s.offer.BulkValues {
			start.InputBulk = "bulk"
		}
		r, err := session.start(start)
		if err != nil {
			return "", err
		}
		if err := r.wait(s.ctx, s.pace.big); err != nil {
			return "", fmt.Errorf("block %q with a value of %d MiB: %w", p.block.Name, bigValue>>20, err)
		}
		for _, o := range r.outputs {
			if len(o.Value) >= bigValue {
				return fmt.Sprintf("%d MiB went through %q and came back", bigValue>>20, p.block.Name), s.works()
			}
		}
		last = fmt.Sprintf("%d MiB went into %q, which ended with %.100s", bigValue>>20, p.block.Name, ending(r))
	}
	if tried == 0 {
		return "", skipError("no block declares an example with text in its input that works without network, files and credentials")
	}
	return last, s.works()
}

// enlarged is an input whose first text is a big one.
func enlarged(input []byte) ([]byte, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(input, &members) != nil {
		return nil, false
	}
	var first string
	for name, value := range members {
		if len(value) > 0 && value[0] == '"' && (first == "" || name < first) {
			first = name
		}
	}
	if first == "" {
		return nil, false
	}
	members[first] = append(append([]byte{'"'}, bytes.Repeat([]byte("x"), bigValue)...), '"')
	text, err := json.Marshal(members)
	return text, err == nil
}

func (s *suite) unknown() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	frame := &proto.SessionRequest{}
	frame.ProtoReflect().SetUnknown(unknownField(900))
	for _, r := range []*proto.SessionRequest{
		frame,
		{Frame: &proto.SessionRequest_Credit{Credit: &proto.Credit{Run: 3, N: 1}}},
		{Frame: &proto.SessionRequest_Cancel{Cancel: &proto.Cancel{Run: 3}}},
		{Frame: &proto.SessionRequest_Reply{Reply: &proto.Reply{Run: 3, Number: 1}}},
	} {
		if err := session.send(r); err != nil {
			return "", err
		}
	}
	p, err := s.probe(0)
	if err != nil {
		return "", s.works()
	}
	start := &proto.Start{Block: p.block.Id, Input: p.input, Credit: plenty}
	start.ProtoReflect().SetUnknown(unknownField(901))
	r, err := session.start(start)
	if err != nil {
		return "", err
	}
	if err := r.wait(s.ctx, s.pace.run); err != nil {
		return "", err
	}
	return "", p.compare(r)
}

// concurrency has runs wait for credit, all at once, and another one get by.
func (s *suite) concurrency() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	p, err := s.probe(1)
	if err != nil {
		return "", err
	}
	began := time.Now()
	runs := make([]*run, atOnce)
	for i := range runs {
		if runs[i], err = session.start(&proto.Start{Block: p.block.Id, Input: p.input}); err != nil {
			return "", err
		}
	}
	if err := s.works(); err != nil {
		return "", fmt.Errorf("a run beside %d that wait for credit: %w", atOnce, err)
	}
	for _, r := range runs {
		if err := r.allow(plenty); err != nil {
			return "", err
		}
	}
	for _, r := range runs {
		if err := r.wait(s.ctx, s.pace.load); err != nil {
			return "", err
		}
		if err := p.compare(r); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d runs of %q in %d ms", atOnce, p.block.Name, time.Since(began).Milliseconds()), nil
}

// memory runs an example in rounds until the process no longer grows: until it has not been larger in the later half of
// the rounds than in the earlier one. Garbage collectors let a heap grow for a while before they look. The process is a
// new one: big values may have left room in which much can be lost.
func (s *suite) memory() (string, error) {
	s.forget()
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	p, err := s.probe(0)
	if err != nil {
		return "", err
	}
	if _, ok := s.process.resident(); !ok {
		return "", skipError("this system does not tell the memory of a process")
	}
	var sizes []int64 // after each round
	for len(sizes) < rounds {
		const beside = 20
		for range roundRuns / beside {
			var runs [beside]*run
			for i := range runs {
				if runs[i], err = session.start(&proto.Start{Block: p.block.Id, Input: p.input, Credit: plenty}); err != nil {
					return "", err
				}
			}
			for _, r := range runs {
				if err := r.wait(s.ctx, s.pace.run); err != nil {
					return "", err
				}
			}
		}
		size, _ := s.process.resident()
		sizes = append(sizes, size)
		half := len(sizes) / 2
		if half < 3 {
			continue
		}
		if was := slices.Max(sizes[:half]); slices.Max(sizes[half:]) <= was+max(grows, was/12) {
			return fmt.Sprintf("%d MiB after %d runs", size>>20, len(sizes)*roundRuns), nil
		}
	}
	return "", fmt.Errorf("%d runs of block %q let the process grow from %d to %d MiB, and it goes on", rounds*roundRuns, p.block.Name,
		sizes[0]>>20, sizes[len(sizes)-1]>>20)
}

func (s *suite) standardOutput() (string, error) {
	if s.process == nil {
		return "", skipError("an earlier check has ended the process")
	}
	if text := s.process.stdout.last(); text != "" {
		return "", fmt.Errorf("behind the line of the handshake came %.500q", text)
	}
	return "", nil
}

func (s *suite) endOfSession() (string, error) {
	return s.ends(func() error { return s.session.stream.CloseSend() })
}

func (s *suite) endOfHost() (string, error) {
	return s.ends(func() error { return s.process.conn.Close() })
}

// ends ends the session while a run waits in it, and watches the process go.
func (s *suite) ends(end func() error) (string, error) {
	s.forget()
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	if p, err := s.probe(1); err == nil {
		if _, err := session.start(&proto.Start{Block: p.block.Id, Input: p.input}); err != nil {
			return "", err
		}
	}
	if err := s.works(); err != nil {
		return "", err
	}
	began := time.Now()
	if err := end(); err != nil {
		return "", err
	}
	if !s.process.exits(s.pace.exit) {
		return "", fmt.Errorf("the process still runs %s after that", s.pace.exit)
	}
	took := time.Since(began)
	if s.process.cell.Left() {
		return "", errors.New("the process has left others behind")
	}
	s.forget()
	return fmt.Sprintf("gone after %d ms", took.Milliseconds()), nil
}
