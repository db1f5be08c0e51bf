package blocktest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// answerFirst answers before it reads the body, which it does read: a connection that is closed on who still writes
// loses the answer now and then.
func answerFirst(w http.ResponseWriter, r *http.Request, answer func()) {
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex()
	answer()
	_ = c.Flush()
	_, _ = io.Copy(io.Discard, r.Body)
}

// do runs a function as a block, so that it has what blocks have.
func do(ctx context.Context, t *testing.T, f func(ctx context.Context) error) error {
	t.Helper()
	_, err := blocktest.RunContext(ctx, t, sdk.Block[struct{}]{
		ID: "5d6a36fe-6a64-4c7c-8b9c-0000000000ff", Name: "Test",
		Run: func(ctx context.Context, _ struct{}, _ sdk.Emitter) error { return f(ctx) },
	}, `{}`)
	return err
}

// echo answers with the body that it gets, and says under /slow nothing until it has all of it.
func echo(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/redirect":
		answerFirst(w, r, func() { http.Redirect(w, r, "/echo?redirected", http.StatusTemporaryRedirect) })
		return
	case "/missing":
		http.NotFound(w, r)
		return
	case "/early":
		answerFirst(w, r, func() { w.WriteHeader(http.StatusRequestEntityTooLarge) })
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="../e.txt"`)
	w.Header().Add("X-Twice", "1")
	w.Header().Add("X-Twice", "2")
	w.Header().Set("X-Saw", r.Host+" "+r.Header.Get("X-Asked")+" "+r.URL.RawQuery)
	_, _ = w.Write(body)
}

func serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(s.Close)
	return s.URL
}

func TestServicesThroughAProcess(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	host := &blocktest.Host{Transport: &http.Transport{DisableKeepAlives: true}}
	input, _ := json.Marshal(map[string]any{"n": 1000, "url": serve(t)})
	var deadlines []string
	for attempt := range 2 {
		call, err := p.Call(ctx, blocktest.Request{
			Block: "Services", Input: input, Host: host,
			Run: sdk.Run{UserID: "u", GraphID: "g", NodeID: "n", NodeExecutionID: "x.1", Attempt: attempt + 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		deadline, err := call.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		deadlines = append(deadlines, string(deadline.Value))
		if got, err := call.Next(ctx); err != nil || string(got.Value) != `["digits.txt","text/plain",2000000,200,true]` {
			t.Errorf("%s, %v", got.Value, err)
		}
		if _, err := call.Next(ctx); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	if deadlines[0] != deadlines[1] {
		t.Errorf("the deadline moved: %v", deadlines)
	}
	if n := host.Files(); n != 1 {
		t.Errorf("two attempts left %d files", n)
	}
}

func TestKeysAreScoped(t *testing.T) {
	t.Parallel()
	host := &blocktest.Host{}
	run := func(r sdk.Run, f func(ctx context.Context) error) {
		t.Helper()
		if err := do(sdk.WithRun(sdk.WithHost(t.Context(), host), r), t, f); err != nil {
			t.Error(err)
		}
	}
	first := sdk.Run{UserID: "u", GraphID: "g", NodeID: "n"}
	exact := json.RawMessage(`{"b":1e400, "a":12345678901234567890}`)
	run(first, func(ctx context.Context) error {
		for _, scope := range []sdk.KeyScope{sdk.NodeKeys, sdk.AgentKeys, sdk.UserKeys} {
			if err := sdk.Keys(scope).Set(ctx, "k", exact); err != nil {
				return err
			}
		}
		return nil
	})
	for name, test := range map[string]struct {
		run               sdk.Run
		node, agent, user bool
	}{
		"the same node":   {first, true, true, true},
		"another node":    {sdk.Run{UserID: "u", GraphID: "g", NodeID: "m"}, false, true, true},
		"another agent":   {sdk.Run{UserID: "u", GraphID: "h", NodeID: "n"}, false, false, true},
		"somebody else":   {sdk.Run{UserID: "v", GraphID: "g", NodeID: "n"}, false, false, false},
		"another attempt": {sdk.Run{UserID: "u", GraphID: "g", NodeID: "n", Attempt: 2}, true, true, true},
	} {
		run(test.run, func(ctx context.Context) error {
			for scope, want := range map[sdk.KeyScope]bool{sdk.NodeKeys: test.node, sdk.AgentKeys: test.agent, sdk.UserKeys: test.user} {
				got, ok, err := sdk.Keys(scope).Get(ctx, "k")
				if err != nil || ok != want || ok && !bytes.Equal(got, exact) {
					t.Errorf("%s, scope %d: %s %t %v", name, scope, got, ok, err)
				}
			}
			return nil
		})
	}
	run(first, func(ctx context.Context) error {
		if err := sdk.Keys(sdk.NodeKeys).Delete(ctx, "k"); err != nil {
			return err
		}
		_, ok, err := sdk.Keys(sdk.NodeKeys).Get(ctx, "k")
		if ok {
			t.Error("the key is still there")
		}
		return err
	})
}

func TestRequests(t *testing.T) {
	t.Parallel()
	url := serve(t)
	host := &blocktest.Host{Transport: &http.Transport{DisableKeepAlives: true}}
	long := strings.Repeat("long ", 40_000) // less than a server reads of what it does not want
	for name, test := range map[string]struct {
		method, path, body string
		status             int
	}{
		"get":               {http.MethodGet, "/echo?q=1", "", 200},
		"short body":        {http.MethodPut, "/echo", "short", 200},
		"long body":         {http.MethodPost, "/echo", long, 200},
		"redirected":        {http.MethodPost, "/redirect", "short", 200},
		"redirected, long":  {http.MethodPost, "/redirect", long, 200},
		"answered too soon": {http.MethodPost, "/early", long, 413},
		"not found":         {http.MethodGet, "/missing", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := do(sdk.WithHost(t.Context(), host), t, func(ctx context.Context) error {
				request, err := http.NewRequestWithContext(ctx, test.method, url+test.path, strings.NewReader(test.body))
				if err != nil {
					return err
				}
				request.Header.Set("X-Asked", "yes")
				request.Host = "elsewhere"
				response, err := sdk.HTTPClient(ctx).Do(request)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != test.status {
					t.Errorf("%s, %v", response.Status, err)
				}
				if test.status != 200 {
					return nil
				}
				if string(body) != test.body || response.ContentLength != int64(len(body)) && len(body) < 2048 ||
					len(response.Header.Values("X-Twice")) != 2 || !strings.Contains(response.Header.Get("X-Saw"), "yes") {
					t.Errorf("%d bytes of %d, %v", len(body), response.ContentLength, response.Header)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRequestThatIsCancelledIsBrokenOff(t *testing.T) {
	t.Parallel()
	begun, broken := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(broken)
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(sdk.WithHost(t.Context(), &blocktest.Host{Transport: &http.Transport{DisableKeepAlives: true}}))
	go func() { <-begun; cancel() }()
	err := do(ctx, t, func(ctx context.Context) error {
		_, err := sdk.OpenFile(ctx, s.URL)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-broken:
	case <-time.After(20 * time.Second):
		t.Error("the request goes on")
	}
}

// failing is a body that breaks off.
type failing struct{ io.Reader }

func (failing) Close() error { return nil }

func TestErrorsOfBodies(t *testing.T) {
	t.Parallel()
	host := &blocktest.Host{Transport: &http.Transport{DisableKeepAlives: true}}
	url := serve(t)
	broken := errors.New("broken off")
	for name, size := range map[string]int{"at once": 0, "later": 1 << 20} {
		err := do(sdk.WithHost(t.Context(), host), t, func(ctx context.Context) error {
			body := failing{io.MultiReader(bytes.NewReader(make([]byte, size)), errorReader{broken})}
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
			if err != nil {
				return err
			}
			_, err = sdk.HTTPClient(ctx).Do(request)
			return err
		})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		err = do(sdk.WithHost(t.Context(), host), t, func(ctx context.Context) error {
			_, err := sdk.StoreFile(ctx, "f", "", io.MultiReader(bytes.NewReader(make([]byte, size)), errorReader{broken}))
			return err
		})
		if !errors.Is(err, broken) || host.Files() != 0 {
			t.Errorf("%s: %v, %d files", name, err, host.Files())
		}
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestOpenFile(t *testing.T) {
	t.Parallel()
	host := &blocktest.Host{Transport: &http.Transport{DisableKeepAlives: true}}
	url := serve(t)
	stored := host.AddFile(blocktest.StoredFile{Name: "a.bin", MediaType: "application/x-a", Data: bytes.Repeat([]byte("ab"), 100_000)})
	for ref, want := range map[string]struct {
		name, mediaType, content string
		kind                     proto.ErrorKind // of the error
	}{
		stored:                {"a.bin", "application/x-a", strings.Repeat("ab", 100_000), 0},
		"workspace://unknown": {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		url + "/echo":         {"e.txt", "text/plain", "", 0},
		url + "/missing":      {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		"data:,a%20b":         {"data", "text/plain", "a b", 0},
		"data:image/png;name=p%20q.png;base64,AAEC": {"p q.png", "image/png", "\x00\x01\x02", 0},
		"data:;base64,AA==":                         {"data", "text/plain", "\x00", 0},
		"data:image/png;base64,A":                   {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		"data:image/png":                            {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		"data:,%zz":                                 {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		"/etc/passwd":                               {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		"file:///etc/passwd":                        {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
		"":                                          {kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT},
	} {
		err := do(sdk.WithHost(t.Context(), host), t, func(ctx context.Context) error {
			f, err := sdk.OpenFile(ctx, ref)
			if err != nil {
				return err
			}
			defer f.Close()
			content, err := io.ReadAll(f)
			if err != nil || string(content) != want.content || f.Name != want.name || f.MediaType != want.mediaType || f.Size != int64(len(content)) {
				t.Errorf("%.80s: %q %q, %d bytes of %d, %v", ref, f.Name, f.MediaType, len(content), f.Size, err)
			}
			return nil
		})
		var known *sdk.Error
		if want.kind == 0 && err != nil || want.kind != 0 && (!errors.As(err, &known) || known.Kind != want.kind) {
			t.Errorf("%.80s: %v", ref, err)
		}
	}
}

func FuzzDataURIs(f *testing.F) {
	for _, s := range []string{",a", "a/b;base64,AAEC", ";name=%zz,x", "a/b;name=\"x\";charset=\xff;base64, A A = =", strings.Repeat(";a=b", 100) + ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := sdk.OpenFile(t.Context(), "data:"+s)
		if err != nil {
			return
		}
		content, err := io.ReadAll(file)
		if err != nil || int64(len(content)) != file.Size || len(content) > len(s) || file.MediaType == "" || file.Name == "" {
			t.Errorf("%q gave %d of %d bytes, %q %q, %v", s, len(content), file.Size, file.Name, file.MediaType, err)
		}
	})
}

func TestBlocksWithoutAHost(t *testing.T) {
	t.Parallel()
	_, _, err := sdk.Keys(sdk.UserKeys).Get(t.Context(), "k")
	_, remember := sdk.Remember(t.Context(), 1)
	_, store := sdk.StoreFile(t.Context(), "n", "", strings.NewReader(""))
	_, open := sdk.OpenFile(t.Context(), "http://127.0.0.1:1/")
	for i, err := range []error{err, remember, store, open} {
		if !errors.Is(err, sdk.ErrNoHost) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
