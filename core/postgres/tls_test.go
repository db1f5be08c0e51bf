package postgres

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
)

// front puts a TCP port with or without TLS before a server, answering the request for TLS as Postgres does.
func front(t *testing.T, s *Server, config *tls.Config) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { relay(client, filepath.Join(s.socket, socketName), config) })
		}
	})
	return listener.Addr().String()
}

func relay(client net.Conn, socket string, config *tls.Config) {
	defer func() { _ = client.Close() }()
	request := make([]byte, 8)
	if _, err := io.ReadFull(client, request); err != nil {
		return
	}
	answer := "N"
	if config != nil {
		answer = "S"
	}
	if _, err := io.WriteString(client, answer); err != nil {
		return
	}
	if config != nil {
		client = tls.Server(client, config)
	}
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	_, _ = io.Copy(client, server)
	_ = client.Close()
	copying.Wait()
}

// As libpq's sslmode=prefer, which is also what no sslmode means.
func TestOpenUsesTLSWhereTheServerOffersIt(t *testing.T) {
	t.Parallel()
	s := start(t, room(t))
	defer s.Stop()
	certified := httptest.NewTLSServer(nil)
	config := &tls.Config{Certificates: certified.TLS.Certificates}
	certified.Close()
	for name, test := range map[string]struct {
		config *tls.Config
		mode   string
		works  bool
	}{
		"no TLS, none asked for":        {nil, "", true},
		"no TLS, preferred":             {nil, "?sslmode=prefer", true},
		"no TLS, required":              {nil, "?sslmode=require", false},
		"TLS, none asked for":           {config, "", true},
		"TLS, required":                 {config, "?sslmode=require", true},
		"TLS of a stranger, to be true": {config, "?sslmode=verify-full", false},
	} {
		db := open(t, "postgres://"+role+":"+s.password+"@"+front(t, s, test.config)+"/"+role+test.mode)
		if err := Check(t.Context(), db); (err == nil) != test.works {
			t.Errorf("%s: %v", name, err)
		}
		_ = db.Close()
	}
}
