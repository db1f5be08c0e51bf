package egress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// startProxy serves a proxy, and gives a client that asks it alone.
func startProxy(t *testing.T, p *Proxy) (address string, client *http.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Serve(ctx, l)
	}()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()})}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		<-ended
	})
	return l.Addr().String(), &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func ask(t *testing.T, c *http.Client, url string) (int, string, error) {
	t.Helper()
	response, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func TestProxyPassesOnWhatMayBeReached(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.2", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.Host, " ", r.URL.RequestURI(), " ", string(text), " ", r.Header.Get("Proxy-Connection"))
	})
	_, c := startProxy(t, NewProxy(Config{Allowed: networks("127.0.0.2/32"), MaxBody: 1 << 20}))
	response, err := c.Post(s.URL+"/a%2Fb?c;d=1", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, _ := io.ReadAll(response.Body); string(text) != "POST "+strings.TrimPrefix(s.URL, "http://")+" /a%2Fb?c;d=1 body " {
		t.Errorf("%q", text)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secure") }))
	secure.Listener = listenAt(t, "127.0.0.2")
	secure.StartTLS()
	defer secure.Close()
	c.Transport.(*http.Transport).TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	// The certificate is for another address of this machine.
	c.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
	if status, text, err := ask(t, c, secure.URL); err != nil || status != http.StatusOK || text != "secure" {
		t.Errorf("%d %q %v", status, text, err)
	}
}

func listenAt(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skipf("this machine has no %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestProxyRefusesWhatIsNotPublic(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { t.Error("it was reached") })
	_, c := startProxy(t, NewProxy(Config{MaxBody: 1 << 20, Resolver: rebinding(t, "127.0.0.1")}))
	port := s.Listener.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "rebinding.test"} {
		status, text, err := ask(t, c, fmt.Sprintf("http://%s:%d/", host, port))
		if err != nil || status != http.StatusForbidden || !strings.Contains(text, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES") {
			t.Errorf("%s: %d %q %v", host, status, text, err)
		}
		if _, _, err := ask(t, c, fmt.Sprintf("https://%s:%d/", host, port)); err == nil || !strings.Contains(err.Error(), "may not be requested") {
			t.Errorf("a tunnel to %s: %v", host, err)
		}
	}
}

// raw speaks to a proxy byte by byte.
func raw(t *testing.T, address, request string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return conn, reader, response
}

func TestProxyTellsWhatNobodyCouldAsk(t *testing.T) {
	t.Parallel()
	address, _ := startProxy(t, NewProxy(Config{MaxBody: 1 << 20}))
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":               http.StatusBadRequest,
		"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n":        http.StatusBadRequest,
		"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n":           http.StatusBadRequest,
		"CONNECT :1 HTTP/1.1\r\nHost: a\r\n\r\n":          http.StatusBadRequest,
		"CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]\r\n\r\n": http.StatusForbidden,
		"nonsense\r\n\r\n":                                http.StatusBadRequest,
	} {
		if _, _, response := raw(t, address, request); response.StatusCode != want {
			t.Errorf("%q: %s", request, response.Status)
		}
	}
}

// tunnel opens one to a server of the test's, and gives both ends.
func tunnel(t *testing.T, p *Proxy) (near net.Conn, far net.Conn) {
	t.Helper()
	l := listenAt(t, "127.0.0.2")
	address, _ := startProxy(t, p)
	near, _, response := raw(t, address, "CONNECT "+l.Addr().String()+" HTTP/1.1\r\n\r\n")
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(20 * time.Second))
	return near, far
}

func TestTunnelsAreBounded(t *testing.T) {
	t.Parallel()
	allowed := Config{Allowed: networks("127.0.0.2/32"), MaxBody: 1000}
	t.Run("in size", func(t *testing.T) {
		t.Parallel()
		near, far := tunnel(t, NewProxy(allowed))
		go func() { _, _ = far.Write(make([]byte, 5000)) }()
		if got, _ := io.ReadAll(near); len(got) != 1000 {
			t.Errorf("%d bytes came", len(got))
		}
	})
	t.Run("in silence", func(t *testing.T) {
		t.Parallel()
		p := NewProxy(allowed)
		p.silent = 50 * time.Millisecond
		near, far := tunnel(t, p)
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Error("the near end goes on")
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("the far end goes on")
		}
	})
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		p := NewProxy(allowed)
		p.tunnel = 50 * time.Millisecond
		near, _ := tunnel(t, p)
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Error("it goes on")
		}
	})
	t.Run("in number", func(t *testing.T) {
		t.Parallel()
		p := NewProxy(allowed)
		p.connections = 1
		address, _ := startProxy(t, p)
		l := listenAt(t, "127.0.0.2")
		request := "CONNECT " + l.Addr().String() + " HTTP/1.1\r\n\r\n"
		first, _, _ := raw(t, address, request)
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		second, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = second.Close() }()
		if _, err := io.WriteString(second, request); err != nil {
			t.Fatal(err)
		}
		_ = second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, _ := second.Read(make([]byte, 1)); n > 0 {
			t.Error("the second connection is served beside the first")
		}
		_, _ = first.Close(), far.Close()
		_ = second.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := second.Read(make([]byte, 1)); n == 0 {
			t.Errorf("the second connection is not served after the first: %v", err)
		}
	})
}

func TestTunnelsCarryWhatIsSentBeforeAnEnd(t *testing.T) {
	t.Parallel()
	near, far := tunnel(t, NewProxy(Config{Allowed: networks("127.0.0.2/32"), MaxBody: 1 << 20}))
	go func() {
		_, _ = io.WriteString(near, "question")
		_ = near.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(far); err != nil || string(got) != "question" {
		t.Errorf("%q %v", got, err)
	}
	_, _ = io.WriteString(far, "answer")
	_ = far.Close()
	if got, err := io.ReadAll(near); err != nil || string(got) != "answer" {
		t.Errorf("%q %v", got, err)
	}
}

func TestNothingOfAProxyIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far := listenAt(t, "127.0.0.2")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		NewProxy(Config{Allowed: networks("127.0.0.2/32"), MaxBody: 1}).Serve(ctx, l)
	}()
	near, _, _ := raw(t, l.Addr().String(), "CONNECT "+far.Addr().String()+" HTTP/1.1\r\n\r\n")
	cancel()
	<-ended
	if _, err := near.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel goes on")
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}
