package server

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveRefusing answers on connections such as the server's until the test ends.
func serveRefusing(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: time.Minute, Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(refusing{l})
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

// What never becomes a request is refused as all else is.
func TestRefusalsOfBrokenRequestsHaveTheEnvelope(t *testing.T) {
	t.Parallel()
	address := serveRefusing(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "HTTP/1.1 400 is what "+r.URL.Path+" says")
	})
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"no HTTP":           {"nonsense\r\n\r\n", 400, "VALIDATION_ERROR"},
		"no host":           {"GET / HTTP/1.1\r\n\r\n", 400, "VALIDATION_ERROR"},
		"odd header":        {"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400, "VALIDATION_ERROR"},
		"odd length":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400, "VALIDATION_ERROR"},
		"long header":       {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2*maxHeaderBytes) + "\r\n\r\n", 431, "PAYLOAD_TOO_LARGE"},
		"odd encoding":      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "VALIDATION_ERROR"},
		"version to come":   {"GET / HTTP/3.7\r\nHost: x\r\n\r\n", 505, "VALIDATION_ERROR"},
		"a handler's words": {"GET /it HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			go io.WriteString(conn, c.request) // more than the server reads
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != c.status {
				t.Fatalf("%d %q, %v", response.StatusCode, body, err)
			}
			if c.code == "" {
				if string(body) != "HTTP/1.1 400 is what /it says" {
					t.Errorf("%q", body)
				}
				return
			}
			var envelope struct {
				Error struct {
					Code, Message string
					Details       map[string]any
				}
			}
			if err := json.Unmarshal(body, &envelope); err != nil || envelope.Error.Code != c.code || envelope.Error.Message == "" || envelope.Error.Details == nil {
				t.Errorf("%s, %v", body, err)
			}
			if response.Header.Get("Content-Type") != "application/json" || response.Header.Get("X-Request-Id") == "" {
				t.Errorf("%v", response.Header)
			}
		})
	}
}
