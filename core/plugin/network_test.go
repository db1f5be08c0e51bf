//go:build linux

package plugin

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/egress"
)

const withNetwork = `{"name":%q,"version":"1.0.0","protocol":1,"permissions":{"network":true}}`

// guarded lets plugins reach one address of this machine beside the public ones.
func guarded(allowed string) Proxy {
	return egress.NewProxy(egress.Config{Allowed: []netip.Prefix{netip.MustParsePrefix(allowed)}, MaxBody: 1 << 20})
}

// serveAt starts an HTTP server on an address of this machine, and counts its requests.
func serveAt(t *testing.T, address string) (url string, hits *atomic.Int32) {
	t.Helper()
	hits = &atomic.Int32{}
	s := &httptest.Server{
		Listener: listen(t, "tcp", net.JoinHostPort(address, "0")),
		Config:   &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { hits.Add(1); fmt.Fprint(w, "here") })},
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, hits
}

func TestHostilePluginWithTheNetworkGetsThroughTheGuardAlone(t *testing.T) {
	t.Parallel()
	dir := install(t, "good")
	put(t, dir, "good", fmt.Sprintf(withNetwork, "good"))
	h := startHost(t, Config{Dirs: []string{dir}, Proxy: guarded("127.0.0.2/32")}, testPace())
	needs(t, h.launcher.system, "egress", "system calls")
	allowed, hits := serveAt(t, "127.0.0.2")
	private, reached := serveAt(t, "127.0.0.1")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	abstract := listen(t, "unix", "@patchbay-test-"+filepath.Base(dir))
	refused := []target{
		{"tcp", strings.TrimPrefix(private, "http://")}, {"tcp", strings.TrimPrefix(allowed, "http://")}, {"tcp", "169.254.169.254:80"}, {"tcp", "1.1.1.1:443"},
		{"udp", "169.254.169.254:53"}, {"udp", "1.1.1.1:53"}, {"unix", abstract.Addr().String()}, {"vsock", ""}, {"namespace", ""}, {"root", ""},
		{"http", private}, {"http", "http://169.254.169.254/latest/meta-data/"}, {"http", "https://169.254.169.254/"}, {"http", "http://localhost:80/"},
	}
	if done := h.attack(refused...); len(done) > 0 {
		t.Errorf("it could %s", strings.Join(done, "\n"))
	}
	h.attack(target{"udp", udp.LocalAddr().String()}) // nobody hears it
	_ = udp.SetReadDeadline(time.Now())
	if n, _, err := udp.ReadFrom(make([]byte, 100)); err == nil || n > 0 {
		t.Error("its datagram came")
	}
	if done := h.attack(target{"http", allowed}); len(done) != 1 || hits.Load() != 1 {
		t.Errorf("it could not reach what is allowed, or otherwise: %d requests came", hits.Load())
	}
	if reached.Load() != 0 {
		t.Error("the private server was reached")
	}
}

func TestPluginWithTheNetworkHasNoneWithoutAProxy(t *testing.T) {
	t.Parallel()
	dir := install(t, "good")
	put(t, dir, "good", fmt.Sprintf(withNetwork, "good"))
	h := startHost(t, Config{Dirs: []string{dir}}, testPace())
	allowed, _ := serveAt(t, "127.0.0.2")
	if done := h.attack(target{"http", allowed}); len(done) > 0 {
		t.Errorf("it could %v", done)
	}
}

// What people use for HTTP finds the way by the environment.
func TestInterpretersReachTheNetworkByTheirOwnClients(t *testing.T) {
	t.Parallel()
	allowed, _ := serveAt(t, "127.0.0.2")
	for name, script := range map[string]string{
		"python3": `#!/usr/bin/env python3
import sys, urllib.request
sys.exit(7 if urllib.request.urlopen("URL", timeout=10).read() == b"here" else 1)
`,
		"curl": `#!/bin/sh
test "$(curl -s --max-time 10 URL)" = here && exit 7
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(filepath.Join("/usr/bin", name)); err != nil {
				t.Skip("it is not installed as a part of the system")
			}
			dir := t.TempDir()
			put(t, dir, "script", fmt.Sprintf(withNetwork, "script"))
			if err := os.WriteFile(filepath.Join(dir, "script", "script"), []byte(strings.ReplaceAll(script, "URL", allowed)), 0o755); err != nil {
				t.Fatal(err)
			}
			h := startHost(t, Config{Dirs: []string{dir}, Proxy: guarded("127.0.0.2/32")}, testPace())
			if st := h.status("script"); !strings.Contains(st.Error, "exit status 7") {
				t.Errorf("%+v", st)
			}
		})
	}
}
