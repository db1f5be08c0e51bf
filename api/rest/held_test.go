package rest

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Bodies that come slowly hold no more memory than the share of their user: the next one is read when one has come.
func TestSlowBodiesHoldTheirUsersShare(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.MaxBody = 1 << 20 })
	held := f.api.bodies
	server := httptest.NewServer(f.api)
	t.Cleanup(server.Close)
	const size = 1 << 20 // half a share
	body := `{"name":"` + strings.Repeat("n", size-11) + `"}`
	// send sends a request but for the last bytes of its body.
	send := func(user string, left int) net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			_, _ = fmt.Fprintf(c, "POST /api/v2/builder/graphs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", user, size, body[:size-left])
		}()
		return c
	}
	until := func(what string, bytes, waiting int) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
			b, w := held.Held()
			if b == bytes && w == waiting {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d bytes are held and %d wait", what, b, w)
			}
		}
	}
	answered := func(c net.Conn) {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		status := make([]byte, len("HTTP/1.1 422"))
		if _, err := io.ReadFull(c, status); err != nil || string(status) != "HTTP/1.1 422" { // the name is too long
			t.Fatalf("%s, %v", status, err)
		}
	}
	first, second := send("ann", 1), send("ann", 1)
	until("two", 2*size, 0)
	third := send("ann", 0)
	until("the third waits for one of them", 2*size, 1)
	answered(send("bob", 0))
	for _, c := range []net.Conn{first, second} {
		if _, err := io.WriteString(c, body[size-1:]); err != nil {
			t.Fatal(err)
		}
		answered(c)
	}
	answered(third)
	until("nothing is left", 0, 0)
}
