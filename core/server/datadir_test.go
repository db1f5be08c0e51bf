package server

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// said is a log that tells when something is written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
	some chan struct{}
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.Len() == 0 {
		close(s.some)
	}
	return s.text.Write(b)
}

func TestAServerWaitsForACommandAndNotForAServer(t *testing.T) {
	t.Parallel()
	ctx, path := context.Background(), t.TempDir()
	command, err := openDataDir(ctx, path, aCommand, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	log := &said{some: make(chan struct{})}
	opened := make(chan *dataDir)
	go func() {
		d, err := openDataDir(ctx, path, aServer, hclog.New(&hclog.LoggerOptions{Output: log}))
		if err != nil {
			t.Error(err)
		}
		opened <- d
	}()
	<-log.some
	if !strings.Contains(log.text.String(), "waiting for a command") {
		t.Errorf("it says %s", log.text.String())
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = openDataDir(gone, path, aServer, hclog.NewNullLogger())
	if used, ok := errors.AsType[*InUseError](err); !ok || !used.Command || !strings.Contains(err.Error(), "a command of patchbay (pid ") {
		t.Errorf("one who does not wait: %v", err)
	}
	command.close()
	server := <-opened
	if server == nil {
		return
	}
	defer server.close()
	_, err = openDataDir(ctx, path, aCommand, hclog.NewNullLogger())
	if used, ok := errors.AsType[*InUseError](err); !ok || used.Command || !strings.Contains(err.Error(), "a running server (pid ") {
		t.Errorf("a command beside a server: %v", err)
	}
}
