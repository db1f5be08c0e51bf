package hostservice

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/egress"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func (a *attempt) create(nth uint32) (uri string, handle uint64) {
	a.h.t.Helper()
	reply := a.must(&proto.Call{Service: &proto.Call_CreateFile{CreateFile: &proto.CreateFile{Nth: nth, Name: "a.txt", MediaType: "text/plain"}}})
	return reply.GetFileCreated().GetUri(), a.last
}

func (a *attempt) write(handle uint64, data string, last bool) *proto.Reply {
	return a.next(a.h.t.Context(), &proto.Call{Service: &proto.Call_Write{Write: &proto.Write{Handle: handle, Data: []byte(data), Last: last}}})
}

func (a *attempt) openFile(uri string) *proto.Reply {
	return a.next(a.h.t.Context(), &proto.Call{Service: &proto.Call_OpenFile{OpenFile: &proto.OpenFile{Uri: uri}}})
}

// readAll reads a handle to its end, or to an error.
func (a *attempt) readAll(handle uint64) (string, *proto.Error) {
	var b bytes.Buffer
	for {
		reply := a.next(a.h.t.Context(), &proto.Call{Service: &proto.Call_Read{Read: &proto.Read{Handle: handle, Max: 1000}}})
		if reply.GetError() != nil {
			return b.String(), reply.GetError()
		}
		b.Write(reply.GetPiece().GetData())
		if reply.GetPiece().GetEnd() {
			return b.String(), nil
		}
	}
}

func (a *attempt) request(r *proto.HttpRequest) *proto.Reply {
	return a.next(a.h.t.Context(), &proto.Call{Service: &proto.Call_HttpRequest{HttpRequest: r}})
}

func TestFilesOfAttempts(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	first := h.attempt(run, false)
	uri, handle := first.create(1)
	if e := first.openFile(uri).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
		t.Errorf("a file that is not complete can be opened: %v", e)
	}
	for _, piece := range []string{strings.Repeat("x", 100_000), strings.Repeat("y", 100_000)} {
		if e := first.write(handle, piece, strings.HasPrefix(piece, "y")).GetError(); e != nil {
			t.Fatal(e)
		}
	}
	if e := first.write(handle, "more", true).GetError(); e == nil {
		t.Error("a complete file is written on")
	}
	half, handle := first.create(2)
	first.write(handle, "half", false)
	first.Attempt.Close(handle)
	_, handle = first.create(3)
	first.write(handle, "half", false)
	first.End() // gives up the third too

	second := h.attempt(run, false)
	again, handle := second.create(1)
	if again != uri || second.write(handle, "second", true).GetError() != nil {
		t.Errorf("the repetition makes %s of %s", again, uri)
	}
	opened := second.openFile(uri)
	if f := opened.GetFileOpened(); f.GetName() != "a.txt" || f.GetMediaType() != "text/plain" || f.GetSize() != 6 {
		t.Errorf("opened %v", opened)
	}
	if got, e := second.readAll(second.last); got != "second" || e != nil {
		t.Errorf("%q %v", got, e)
	}
	for what, stranger := range map[string]*proto.RunContext{"another user": h.execution("v")} {
		if e := h.attempt(stranger, false).openFile(uri).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
			t.Errorf("%s: %v", what, e)
		}
	}
	for _, uri := range []string{half, "workspace://" + uuid.NewString(), "workspace:///etc/passwd", "file:///etc/passwd", ""} {
		if e := second.openFile(uri).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
			t.Errorf("%q: %v", uri, e)
		}
	}
	second.End()
	var files, drafts int
	if err := h.DB.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM file_draft)`).Scan(&files, &drafts); err != nil || files != 1 || drafts != 0 {
		t.Errorf("%d files and %d drafts are left, %v", files, drafts, err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		w.Header().Set("X-Odd", "\xff")
		_, _ = io.Copy(w, r.Body)
	}))
	defer s.Close()
	h := newHarness(t)
	a := h.attempt(h.execution("u"), false)
	defer a.End()
	reply := a.request(&proto.HttpRequest{Method: "POST", Url: s.URL, Body: []byte("short")})
	if got, e := a.readAll(a.last); reply.GetHttpResponse().GetStatus() != 200 || got != "short" || e != nil {
		t.Errorf("%v: %q %v", reply, got, e)
	}
	reply = a.request(&proto.HttpRequest{Method: "GET", Url: s.URL + "/redirect"})
	if reply.GetHttpResponse().GetStatus() != http.StatusFound {
		t.Errorf("a redirect was followed: %v", reply)
	}
	if reply := a.request(&proto.HttpRequest{Method: "PUT", Url: s.URL, BodyFollows: true}); reply.GetError() != nil || reply.GetHttpResponse() != nil {
		t.Errorf("%v", reply)
	}
	handle := a.last
	if _, e := a.readAll(handle); e == nil {
		t.Error("a request without a response can be read")
	}
	for i := range 20 {
		if e := a.write(handle, strings.Repeat("z", 10_000), i == 19).GetError(); e != nil {
			t.Fatal(e)
		}
	}
	reply = a.must(&proto.Call{Service: &proto.Call_AwaitResponse{AwaitResponse: &proto.AwaitResponse{Handle: handle}}})
	if got, e := a.readAll(handle); reply.GetHttpResponse().GetStatus() != 200 || len(got) != 200_000 || e != nil {
		t.Errorf("%v: %d bytes, %v", reply, len(got), e)
	}
	for name, r := range map[string]*proto.HttpRequest{
		"method": {Method: "NO GO", Url: s.URL}, "url": {Method: "GET", Url: "http://\x00"},
		"body": {Method: "POST", Url: s.URL, Body: make([]byte, proto.CallPiece+1)},
	} {
		if e := a.request(r).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
			t.Errorf("%s: %v", name, e)
		}
	}
	if e := a.request(&proto.HttpRequest{Method: "GET", Url: "http://127.0.0.1:1/"}).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_TEMPORARY {
		t.Errorf("nobody there: %v", e)
	}
}

func TestRequestsAreGuarded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	guarded := egress.New(egress.Config{MaxBody: 1 << 20})
	defer guarded.Close()
	h.HTTP = guarded
	a := h.attempt(h.execution("u"), false)
	defer a.End()
	for _, url := range []string{"http://127.0.0.1:1/", "http://169.254.169.254/latest", "http://[::1]/", "ftp://example.com/"} {
		if e := a.request(&proto.HttpRequest{Method: "GET", Url: url}).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
			t.Errorf("%s: %v", url, e)
		}
	}
}

// Whatever goes on when an attempt ends is broken off, and nothing is left.
func TestEndBreaksEverythingOff(t *testing.T) {
	t.Parallel()
	begun, broken := make(chan string, 4), make(chan string, 4)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/answers" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		}
		begun <- r.URL.Path
		if r.URL.Path == "/reads" {
			_, _ = io.Copy(io.Discard, r.Body)
		} else {
			<-r.Context().Done()
		}
		broken <- r.URL.Path
	}))
	defer s.Close()
	h := newHarness(t)
	ctx, cancel := context.WithCancel(t.Context())
	a := h.attempt(h.execution("u"), false)
	var calls sync.WaitGroup
	call := func(number uint64, c *proto.Call) {
		c.Number = number
		calls.Go(func() {
			if reply := a.Call(ctx, h.from, c); reply.GetError() == nil && number != 2 {
				t.Errorf("call %d succeeded", number)
			}
		})
	}
	call(1, &proto.Call{Service: &proto.Call_HttpRequest{HttpRequest: &proto.HttpRequest{Method: "GET", Url: s.URL + "/waits"}}})
	call(2, &proto.Call{Service: &proto.Call_HttpRequest{HttpRequest: &proto.HttpRequest{Method: "GET", Url: s.URL + "/answers"}}})
	a.last = 10
	if e := a.request(&proto.HttpRequest{Method: "POST", Url: s.URL + "/reads", BodyFollows: true}).GetError(); e != nil {
		t.Fatal(e)
	}
	handle := a.last
	if e := a.write(handle, "some", false).GetError(); e != nil {
		t.Fatal(e)
	}
	for range 3 {
		<-begun
	}
	call(20, &proto.Call{Service: &proto.Call_AwaitResponse{AwaitResponse: &proto.AwaitResponse{Handle: handle}}})
	a.Attempt.Close(handle)
	cancel()
	calls.Wait()
	a.End()
	for range 3 {
		select {
		case <-broken:
		case <-time.After(20 * time.Second):
			t.Fatal("a request goes on")
		}
	}
	if e := a.request(&proto.HttpRequest{Method: "GET", Url: s.URL}).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED {
		t.Errorf("after the end: %v", e)
	}
}

func TestHandlesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.attempt(h.execution("u"), false)
	defer a.End()
	var first uint64
	for i := range uint32(maxHandles) {
		_, handle := a.create(i + 1)
		if i == 0 {
			first = handle
		}
	}
	again := &proto.Call{Service: &proto.Call_CreateFile{CreateFile: &proto.CreateFile{Nth: 100}}}
	if e := a.next(t.Context(), again).GetError(); !strings.Contains(e.GetMessage(), "64 files and requests") {
		t.Errorf("%v", e)
	}
	a.Attempt.Close(first)
	a.Attempt.Close(first)
	a.Attempt.Close(12345)
	a.must(again)
	for name, c := range map[string]*proto.Call{
		"read nothing":     {Service: &proto.Call_Read{Read: &proto.Read{Handle: first}}},
		"read what writes": {Service: &proto.Call_Read{Read: &proto.Read{Handle: first + 1}}},
		"write nothing":    {Service: &proto.Call_Write{Write: &proto.Write{Handle: first}}},
		"a large piece":    {Service: &proto.Call_Write{Write: &proto.Write{Handle: first + 1, Data: make([]byte, proto.CallPiece+1)}}},
		"no request":       {Service: &proto.Call_AwaitResponse{AwaitResponse: &proto.AwaitResponse{Handle: first + 1}}},
		"file 0":           {Service: &proto.Call_CreateFile{CreateFile: &proto.CreateFile{Nth: 0}}},
		"file 1001":        {Service: &proto.Call_CreateFile{CreateFile: &proto.CreateFile{Nth: 1001}}},
		"a later service":  {},
	} {
		if e := a.next(t.Context(), c).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// A block that runs without an execution makes requests and files, and keeps nothing else.
func TestServicesOfABlockAlone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := &proto.RunContext{UserId: "u", ExecutionId: uuid.NewString(), NodeId: "b", NodeExecutionId: uuid.NewString()}
	a := &attempt{Attempt: h.OpenAlone(t.Context(), run), h: h}
	uri, handle := a.create(1)
	if e := a.write(handle, "text", true).GetError(); e != nil {
		t.Fatal(e)
	}
	if got := a.openFile(uri).GetFileOpened(); got.GetSize() != 4 {
		t.Errorf("opened %v", got)
	}
	if got := a.remember(1, `1`).GetRemembered().GetValue(); string(got) != `1` {
		t.Errorf("remembered as %s", got)
	}
	if got := a.remember(1, `2`).GetRemembered().GetValue(); string(got) != `1` {
		t.Errorf("what was remembered becomes %s", got)
	}
	for what, reply := range map[string]*proto.Reply{
		"set": a.set(proto.KeyScope_KEY_SCOPE_USER, "k", `1`),
		"get": a.next(t.Context(), &proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: proto.KeyScope_KEY_SCOPE_NODE, Key: "k"}}}),
	} {
		if e := reply.GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT || e.GetMessage() != "a block that runs alone has no keys; run it in an agent" {
			t.Errorf("%s a key: %v", what, reply)
		}
	}
	if writes := a.End(); len(writes) != 0 {
		t.Errorf("it leaves %v", writes)
	}
	var files, remembered int
	err := h.DB.QueryRowContext(t.Context(), `
		SELECT (SELECT count(*) FROM file WHERE execution_id IS NULL AND expires_at < now() + interval '25 hours'), (SELECT count(*) FROM remembered)`).Scan(&files, &remembered)
	if err != nil || files != 1 || remembered != 0 {
		t.Errorf("%d files and %d remembered values, %v", files, remembered, err)
	}
}
