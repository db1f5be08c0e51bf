package egress

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server on an address of this machine.
func serve(t *testing.T, address string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skipf("this machine has no %s: %v", address, err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func newTransport(t *testing.T, c Config) *Transport {
	if c.MaxBody == 0 {
		c.MaxBody = 1 << 20
	}
	transport := New(c)
	t.Cleanup(transport.Close)
	return transport
}

func networks(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// fetch makes a request, without redirects, and reads the answer.
func fetch(t *testing.T, c http.RoundTripper, method, url string, header http.Header) (string, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := c.RoundTrip(r)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), response, err
}

func get(t *testing.T, c http.RoundTripper, url string) (string, error) {
	t.Helper()
	text, _, err := fetch(t, c, http.MethodGet, url, nil)
	return text, err
}

func TestAddressesThatAreNotPublicAreRefused(t *testing.T) {
	t.Parallel()
	c := newTransport(t, Config{})
	for _, host := range []string{
		"127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",
		"168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]",
		"[2001:0:7f00:1::]", "[2001:db8::1]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[ff02::1]",
	} {
		_, err := get(t, c, "http://"+host+":1/secret?key=value")
		refused, ok := errors.AsType[*Refused](err)
		if !ok {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES") || !strings.Contains(text, refused.Address.String()) || strings.Contains(text, "secret") {
			t.Errorf("%s: the error reads %q", host, text)
		}
	}
}

func TestOddFormsOfLoopbackReachNothing(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	s := serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	port := s.Listener.Addr().(*net.TCPAddr).Port
	c := newTransport(t, Config{})
	for _, host := range []string{"2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "127.0.1", "localhost", "LOCALHOST.", "１２７.0.0.1", "①②⑦.0.0.1"} {
		if _, err := get(t, c, fmt.Sprintf("http://%s:%d/", host, port)); err == nil {
			t.Errorf("%s was reached", host)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("the server was reached %d times", hits.Load())
	}
}

func TestConfiguredNetworksAreReached(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.URL.Path) })
	for _, network := range []string{"127.0.0.0/8", "127.0.0.1/32", "::ffff:127.0.0.1/128"} {
		text, _, err := fetch(t, newTransport(t, Config{Allowed: networks(network)}), http.MethodPut, s.URL+"/a", nil)
		if err != nil || text != "PUT /a" {
			t.Errorf("%s: %q, %v", network, text, err)
		}
	}
	if _, err := get(t, newTransport(t, Config{Allowed: networks("127.0.0.2/32", "::1/128")}), s.URL); err == nil {
		t.Error("a network that is not configured was reached")
	}
	six := serve(t, "::1", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "six") })
	if text, err := get(t, newTransport(t, Config{Allowed: networks("::1/128")}), six.URL); err != nil || text != "six" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestRedirectsAreJudgedLikeRequests(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	private := serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	public := serve(t, "127.0.0.2", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, private.URL+"/admin?token=abc", http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/same":
			http.Redirect(w, r, "/end", http.StatusFound)
		default:
			fmt.Fprint(w, "end")
		}
	})
	transport := newTransport(t, Config{Allowed: networks("127.0.0.2/32")})
	follow := func(path string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, public.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		return string(text), err
	}
	_, err := follow("/away")
	if refused, ok := errors.AsType[*Refused](err); !ok || refused.Host != "127.0.0.1" {
		t.Errorf("redirect to loopback: %v", err)
	}
	if _, err := follow("/file"); err == nil || !strings.Contains(err.Error(), "only http and https") {
		t.Errorf("redirect to a file: %v", err)
	}
	if text, err := follow("/same"); err != nil || text != "end" {
		t.Errorf("%q, %v", text, err)
	}
	if _, response, err := fetch(t, transport, http.MethodGet, public.URL+"/away", nil); err != nil || response.StatusCode != http.StatusFound {
		t.Errorf("the transport itself: %v", err)
	}
	if hits.Load() != 0 {
		t.Errorf("the private server was reached %d times", hits.Load())
	}
}

func TestHeadersOfTheConnectionAreNotTheAgents(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	s := serve(t, "127.0.0.1", func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	asked := http.Header{
		"Host": {"elsewhere"}, "Connection": {"X-Kept"}, "Upgrade": {"h2c"}, "Content-Length": {"7"}, "Transfer-Encoding": {"chunked"},
		"Proxy-Authorization": {"Basic x"}, "X-Kept": {"a", "b"}, "Authorization": {"Bearer t"},
	}
	if _, _, err := fetch(t, newTransport(t, Config{Allowed: networks("127.0.0.0/8")}), http.MethodGet, s.URL, asked); err != nil {
		t.Fatal(err)
	}
	got := <-seen
	if got.Host != strings.TrimPrefix(s.URL, "http://") || got.ContentLength != 0 || len(got.TransferEncoding) != 0 {
		t.Errorf("host %q, %d bytes", got.Host, got.ContentLength)
	}
	want := http.Header{"X-Kept": {"a", "b"}, "Authorization": {"Bearer t"}, "User-Agent": {"Patchbay"}, "Accept-Encoding": {"gzip"}}
	if !reflect.DeepEqual(got.Header, want) {
		t.Errorf("headers %v", got.Header)
	}
	if asked.Get("Host") == "" {
		t.Error("the request was changed")
	}
}

// rebinding is a DNS server whose answers change from one question to the next; an empty one knows nothing.
func rebinding(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; answers[0] == "" {
				m.RCode = dnsmessage.RCodeNameError
			} else if q.Type == dnsmessage.TypeA {
				i := min(int(asked.Add(1)), len(answers))
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(answers[i-1]).As4()},
				}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestANameThatMovesToAPrivateAddressIsRefused(t *testing.T) {
	t.Parallel()
	public := serve(t, "127.0.0.2", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "public")
	})
	c := newTransport(t, Config{Allowed: networks("127.0.0.2/32"), Resolver: rebinding(t, "127.0.0.2", "127.0.0.1")})
	url := fmt.Sprintf("http://rebinding.test:%d/", public.Listener.Addr().(*net.TCPAddr).Port)
	if text, err := get(t, c, url); err != nil || text != "public" {
		t.Fatalf("%q, %v", text, err)
	}
	_, err := get(t, c, url)
	refused, ok := errors.AsType[*Refused](err)
	if !ok || refused.Host != "rebinding.test" || refused.Address.String() != "127.0.0.1" {
		t.Errorf("after the name moved: %v", err)
	}
}

func TestRequestsThatNobodyCouldMake(t *testing.T) {
	t.Parallel()
	c := newTransport(t, Config{Allowed: networks("127.0.0.0/8")})
	for url, want := range map[string]string{
		"ftp://example.com/": "only http and https",
		"/path":              "only http and https",
		"http:///path":       "names no host",
		"http://a/" + strings.Repeat("x", 20_000): "longer than",
	} {
		_, err := get(t, c, url)
		if _, ok := errors.AsType[*Invalid](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", url, err)
		}
	}
	if _, _, err := fetch(t, c, http.MethodConnect, "http://127.0.0.1:1/", nil); err == nil || !strings.Contains(err.Error(), "method") {
		t.Errorf("CONNECT: %v", err)
	}
	for _, h := range []http.Header{{"A": {strings.Repeat("x", maxHeader)}}, {"A b": {"c"}}, {"A": {"b\r\nC: d"}}} {
		if _, _, err := fetch(t, c, http.MethodGet, "http://127.0.0.1:1/", h); err == nil || !strings.Contains(err.Error(), "header") {
			t.Errorf("%.40v: %v", h, err)
		}
	}
}

func TestErrorsTellNoSecret(t *testing.T) {
	t.Parallel()
	c := newTransport(t, Config{Allowed: networks("127.0.0.0/8"), Resolver: rebinding(t, "")})
	for url, want := range map[string]string{
		"http://user:secret@127.0.0.1:1/?key=secret": "request to 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused",
		"http://nowhere.test/?key=secret":            "the host nowhere.test cannot be found: no such host",
	} {
		if _, err := get(t, c, url); err == nil || err.Error() != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	s := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			_, _ = w.Write(make([]byte, 2000))
		case "/streamed":
			for range 20 {
				_, _ = w.Write(make([]byte, 100))
				_ = http.NewResponseController(w).Flush()
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 10<<20))
			_ = z.Close()
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
		case "/silent":
			_, _ = w.Write([]byte("begin"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		}
	})
	c := newTransport(t, Config{Allowed: networks("127.0.0.0/8"), MaxBody: 1999})
	roomy := newTransport(t, Config{Allowed: networks("127.0.0.0/8"), MaxBody: 2000})
	roomy.silent = 50 * time.Millisecond
	for _, path := range []string{"/long", "/streamed", "/bomb"} {
		if text, err := get(t, c, s.URL+path); !errors.Is(err, ErrTooLarge) || len(text) > 1999 {
			t.Errorf("%s: %d bytes, %v", path, len(text), err)
		}
	}
	for _, path := range []string{"/long", "/streamed"} {
		if text, err := get(t, roomy, s.URL+path); err != nil || len(text) != 2000 {
			t.Errorf("%s: %d bytes, %v", path, len(text), err)
		}
	}
	if _, response, err := fetch(t, c, http.MethodHead, s.URL+"/long", nil); err != nil || response.ContentLength != 2000 {
		t.Errorf("HEAD: %v", err)
	}
	if _, err := get(t, c, s.URL+"/headers"); err == nil {
		t.Error("headers without bounds were taken")
	}
	if text, err := get(t, roomy, s.URL+"/silent"); !errors.Is(err, errSilent) || text != "begin" {
		t.Errorf("a silent server: %q, %v", text, err)
	}
	endless := newTransport(t, Config{Allowed: networks("127.0.0.0/8"), MaxBody: 2000})
	endless.whole = 50 * time.Millisecond
	if text, err := get(t, endless, s.URL+"/silent"); !errors.Is(err, errLate) || text != "begin" && text != "" {
		t.Errorf("an answer without an end: %q, %v", text, err)
	}
}

func TestTheCallersEndEndsARequest(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	s := serve(t, "127.0.0.1", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/?key=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newTransport(t, Config{Allowed: networks("127.0.0.0/8")}).RoundTrip(r)
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	<-gone
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	var hits atomic.Int32
	proxy := serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	_, err := get(t, newTransport(t, Config{Allowed: networks("127.0.0.0/8"), Resolver: rebinding(t, "127.0.0.9")}), "http://somewhere.test:1/")
	if err == nil || hits.Load() != 0 {
		t.Errorf("%d requests to the proxy, %v", hits.Load(), err)
	}
}

func FuzzHosts(f *testing.F) {
	for _, host := range []string{
		"127.0.0.1", "[::1]", "0x7f.1", "2130706433", "localhost", "a@127.0.0.1", "127.0.0.1#@example.com", "[::ffff:7f00:1%25lo]", "①②⑦.⓪.⓪.①", "8.8.8.8", "[2001:4860::8888]",
	} {
		f.Add(host)
	}
	// Nothing is looked up and nothing dialled: the fuzzer asks what would be.
	unconnected := errors.New("not dialled")
	var passed netip.Addr
	guard := newGuard(nil)
	transport := New(Config{})
	transport.http.DialContext = (&net.Dialer{
		Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, unconnected }},
		Control: func(network, address string, c syscall.RawConn) error {
			if err := guard.check(network, address, c); err != nil {
				return err
			}
			passed = netip.MustParseAddrPort(address).Addr()
			return unconnected
		},
	}).DialContext
	f.Fuzz(func(t *testing.T, host string) {
		passed = netip.Addr{}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/", nil)
		if err != nil {
			return
		}
		if _, err := transport.RoundTrip(r); err == nil {
			t.Fatal("something answered")
		}
		if passed.IsValid() && (passed.IsLoopback() || passed.IsPrivate() || passed.IsUnspecified() || !passed.IsGlobalUnicast() || passed.Zone() != "") {
			t.Errorf("%q would reach %s", host, passed)
		}
	})
}
