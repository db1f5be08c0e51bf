package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	gproto "google.golang.org/protobuf/proto"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// services answer every call for a key with the key itself, once release is closed.
type services struct {
	release chan struct{} // nil: at once
	begun   chan struct{}

	mu      sync.Mutex
	atOnce  int
	most    int
	numbers []uint64
	closed  []uint64
	emitted []uint64
	from    string
}

func (s *services) Call(ctx context.Context, from *block.Block, c *proto.Call) *proto.Reply {
	s.mu.Lock()
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	s.numbers = append(s.numbers, c.GetNumber())
	s.from = from.Plugin.Name
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.atOnce--
		s.mu.Unlock()
	}()
	if s.release != nil {
		s.begun <- struct{}{}
		select {
		case <-s.release:
		case <-ctx.Done():
		}
	}
	if c.GetGetKey() == nil {
		return &proto.Reply{}
	}
	key, _ := json.Marshal(c.GetGetKey().GetKey())
	return &proto.Reply{Result: &proto.Reply_KeyValue{KeyValue: &proto.KeyValue{Found: true, Value: key}}}
}

func (s *services) Close(handle uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = append(s.closed, handle)
}

func (s *services) Emitted(lastCall uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emitted = append(s.emitted, lastCall)
}

func (h *testHost) call(ctx context.Context, blockID, input string, s Services) (Result, []string) {
	return h.doRun(ctx, Run{Block: blockID, Input: json.RawMessage(input), Services: s})
}

func TestAThousandCallsOfARun(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	s := &services{}
	r, got := h.call(t.Context(), blockKeys, `{"n":1000}`, s)
	var values []string
	if r.Err != nil || len(got) != 1 || json.Unmarshal([]byte(got[0]), &values) != nil || len(values) != 1000 {
		t.Fatalf("%v, %d outputs", r.Err, len(got))
	}
	for i, v := range values {
		if v != fmt.Sprint(i) {
			t.Fatalf("value %d is %s", i, v)
		}
	}
	slices.Sort(s.numbers)
	if s.most > maxCalls || s.numbers[0] != 1 || s.numbers[999] != 1000 || s.from != "good" {
		t.Errorf("%d at once, numbers %d to %d, of %s", s.most, s.numbers[0], s.numbers[999], s.from)
	}
	if used := h.plugins[0].current.Load().calling.used; used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

func TestOutputsTellTheCallsBeforeThem(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	s := &services{}
	if r, got := h.doRun(t.Context(), Run{Block: blockKeys, Input: json.RawMessage(`{"n":5,"text":"k"}`), Services: s, Streaming: true}); r.Err != nil || len(got) != 5 {
		t.Fatalf("%v, %d outputs", r.Err, len(got))
	}
	if want := []uint64{0, 1, 2, 3, 4}; !slices.Equal(s.emitted, want) {
		t.Errorf("the last calls before the outputs are %v", s.emitted)
	}
}

func TestRunsWithoutServicesAndPureOnesAreRefused(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	if r, _ := h.call(t.Context(), blockKeys, `{"n":1}`, nil); !strings.Contains(r.Err.GetMessage(), "no services") {
		t.Errorf("%v", r.Err)
	}
	b, _ := h.Block(blockKeys)
	b.Traits.Pure = true // nobody else uses this host
	s := &services{}
	if r, _ := h.call(t.Context(), blockKeys, `{"n":1}`, s); !strings.Contains(r.Err.GetMessage(), "pure") || len(s.numbers) != 0 {
		t.Errorf("%v after %d calls", r.Err, len(s.numbers))
	}
}

// A call that takes its time holds up no other run, and ends with its own.
func TestSlowCallsHoldUpNobody(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(h *testHost, cancel func()){
		"cancelled": func(_ *testHost, cancel func()) { cancel() },
		"killed":    func(h *testHost, _ func()) { h.do(blockExit, `{"text":"kill"}`) },
		"answered":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, "good")
			s := &services{release: make(chan struct{}), begun: make(chan struct{}, 100)}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			results := make(chan Result, 1)
			go func() {
				r, _ := h.call(ctx, blockKeys, `{"n":40}`, s)
				results <- r
			}()
			for range maxCalls {
				<-s.begun
			}
			for range 50 {
				h.mustDo(blockEcho, `{"value":1}`)
			}
			if end == nil {
				close(s.release)
			} else {
				end(h, cancel)
			}
			r := await(t, results)
			switch {
			case name == "killed" && r.Crashed == nil, name == "cancelled" && r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED, name == "answered" && r.Err != nil:
				t.Errorf("%v %+v", r.Err, r.Crashed)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.atOnce != 0 {
				t.Errorf("%d calls go on after the run's end", s.atOnce)
			}
		})
	}
}

func TestHostileCallsHurtOnlyTheirSender(t *testing.T) {
	t.Parallel()
	for mode, crash := range map[string]string{
		"call": "", "callunknown": "", "callclose": "",
		"callback":     "call 2 of run 1 after call 2",
		"calllate":     "late",
		"callstranger": "does not go on",
		"callmany":     "more than 16 calls",
		"calllarge":    "at most 2097152",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := start(t, "raw_a")
			s := &services{}
			if mode == "callmany" {
				s.release, s.begun = make(chan struct{}), make(chan struct{}, 100)
			}
			r, _ := h.call(t.Context(), blockRaw, fmt.Sprintf(`{"mode":%q}`, mode), s)
			switch {
			case crash == "late":
				eventually(t, "another process", func() bool { return h.status("raw_a").Restarts > 0 })
			case crash == "" && (r.Err != nil || r.Crashed != nil),
				crash != "" && (r.Crashed == nil || !strings.Contains(r.Crashed.Detail, crash)):
				t.Errorf("%v %+v", r.Err, r.Crashed)
			}
			if mode == "callclose" && len(s.closed) != 1000 {
				t.Errorf("%d handles were closed", len(s.closed))
			}
			h.mustDo(blockRaw, `{"mode":"nothing"}`)
		})
	}
}

// silentStream takes whatever the host sends.
type silentStream struct{ proto.Plugin_SessionClient }

func (silentStream) Send(*proto.SessionRequest) error { return nil }
func (silentStream) CloseSend() error                 { return nil }

// Whatever frames come, the session goes on or names what is wrong, and what it charges it gives back.
func FuzzFramesAreHandled(f *testing.F) {
	frames := func(list ...*proto.SessionResponse) []byte {
		var b []byte
		for _, frame := range list {
			raw, err := gproto.Marshal(frame)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(raw))), raw...)
		}
		return b
	}
	call := func(number uint64) *proto.SessionResponse {
		return &proto.SessionResponse{Frame: &proto.SessionResponse_Call{Call: &proto.Call{Run: 1, Number: number, Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Key: "k"}}}}}
	}
	output := &proto.SessionResponse{Frame: &proto.SessionResponse_Output{Output: &proto.Output{Run: 1, Pin: "output", Value: []byte(`1`)}}}
	done := &proto.SessionResponse{Frame: &proto.SessionResponse_Done{Done: &proto.Done{Run: 1}}}
	f.Add(frames(call(1), output, call(2), done))
	f.Add(frames(call(2), call(1)))
	f.Add(frames(&proto.SessionResponse{Frame: &proto.SessionResponse_Call{Call: &proto.Call{Run: 1, Number: 1, Service: &proto.Call_Close{Close: &proto.Close{Handle: 3}}}}}, done, done))
	f.Add(frames(&proto.SessionResponse{Frame: &proto.SessionResponse_Progress{Progress: &proto.Progress{Run: 1, Text: "t"}}}, &proto.SessionResponse{}))
	b, err := block.New(block.Definition{
		ID: blockRaw, Name: "Raw", Kind: block.Standard,
		InputSchema: json.RawMessage(`{"type":"object","properties":{}}`), OutputSchema: json.RawMessage(`{"type":"object","properties":{"output":{}}}`),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &session{
			stream: silentStream{}, log: hclog.NewNullLogger(), veil: &veil{}, kill: func(string) {}, ctx: ctx, cancel: cancel,
			queue: make(chan outgoing, 1000), runs: map[uint64]*run{}, closing: make(chan struct{}),
		}
		s.pending.init(maxPending)
		s.calling.init(maxCalling)
		s.writer.Go(s.write)
		r := &run{
			spec:  &Run{Services: &services{}, Progress: func(*proto.Progress) {}, Output: func(string, json.RawMessage) error { return nil }},
			block: b, session: s, signal: make(chan struct{}, 1), allowed: credit,
		}
		end := r.begin(ctx)
		s.add(r)
		broken := false
		for len(stream) > 0 && !broken {
			n := min(int(stream[0]), len(stream)-1)
			frame := &proto.SessionResponse{}
			if gproto.Unmarshal(stream[1:1+n], frame) == nil {
				broken = s.handle(frame) != nil
			}
			stream = stream[1+n:]
		}
		r.drop()
		end()
		s.cut()
		if used := s.calling.used; used != 0 && !broken {
			t.Errorf("calls of %d bytes are still charged", used)
		}
		if r.calls.open != 0 {
			t.Errorf("%d calls are still open", r.calls.open)
		}
	})
}
