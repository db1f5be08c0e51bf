package rest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// endless is a body that never ends and counts what was read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestBodyIsReadNoFurtherThanItsLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	f := newFixture(t, func(c *Config) { c.MaxBody = limit })
	for token, want := range map[string]int{"ann": http.StatusRequestEntityTooLarge, "bad": http.StatusUnauthorized} {
		body := &endless{}
		r := httptest.NewRequest(http.MethodPost, "/api/v2/builder/graphs", io.NopCloser(body))
		r.ContentLength = -1
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		f.api.ServeHTTP(w, r)
		if w.Code != want || body.read > 2*limit || w.Header().Get("Connection") != "close" {
			t.Errorf("%s: %d after %d bytes, Connection %q", token, w.Code, body.read, w.Header().Get("Connection"))
		}
	}
}

func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := httptest.NewServer(f.api)
	t.Cleanup(s.Close)
	never, unused := io.Pipe()
	t.Cleanup(func() { _ = unused.Close() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/api/v2/builder/graphs", io.MultiReader(strings.NewReader(`{"name":`), never))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 100
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s", response.Status)
	}
}

func TestDatabaseThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	gone := errors.New("the database system is starting up")
	f := newFixture(t, func(c *Config) { c.Away = func(err error) bool { return errors.Is(err, gone) } })
	f.memory.errs["list"] = gone
	if w := f.do(http.MethodGet, "/api/v2/builder/graphs", ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "UNAVAILABLE") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Many HTTP libraries read nothing before they have sent all.
func TestRefusalReachesClientsThatSendAllFirst(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	f := newFixture(t, func(c *Config) { c.MaxBody = limit })
	s := httptest.NewServer(f.api)
	t.Cleanup(s.Close)
	const size = 3 * limit // more than the buffers of two sockets
	for name, test := range map[string]struct {
		path, token, length string
		status              int
	}{
		"of a length too large": {"/api/v2/builder/graphs", "ann", fmt.Sprintf("Content-Length: %d", size), http.StatusRequestEntityTooLarge},
		"of unknown length":     {"/api/v2/builder/graphs", "ann", "Transfer-Encoding: chunked", http.StatusRequestEntityTooLarge},
		"of somebody unknown":   {"/api/v2/builder/graphs", "bad", fmt.Sprintf("Content-Length: %d", size), http.StatusUnauthorized},
		"to nowhere":            {"/api/v2/nowhere", "ann", fmt.Sprintf("Content-Length: %d", size), http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", test.path, test.token, test.length)
			spaces := bytes.Repeat([]byte(" "), size)
			if strings.HasPrefix(test.length, "Transfer-Encoding") {
				fmt.Fprintf(c, "%x\r\n", size)
				spaces = append(spaces, "\r\n0\r\n\r\n"...)
			}
			if _, err := c.Write(spaces); err != nil {
				t.Fatalf("the body could not be sent: %v", err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); answer.StatusCode != test.status || err != nil || !strings.Contains(string(body), `"error"`) {
				t.Errorf("%s %s (%v)", answer.Status, body, err)
			}
		})
	}
}
