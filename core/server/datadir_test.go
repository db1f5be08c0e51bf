package server

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// said is a log that hands over what is written.
type said chan string

func (s said) Write(b []byte) (int, error) {
	s <- string(b)
	return len(b), nil
}

func TestAServerWaitsForACommandAndNotForAServer(t *testing.T) {
	t.Parallel()
	ctx, path := context.Background(), t.TempDir()
	command, err := openDataDir(ctx, path, aCommand, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	log := make(said, 10)
	opened := make(chan *dataDir)
	go func() {
		d, err := openDataDir(ctx, path, aServer, hclog.New(&hclog.LoggerOptions{Output: log}))
		if err != nil {
			t.Error(err)
		}
		opened <- d
	}()
	if text := <-log; !strings.Contains(text, "waiting for a command") {
		t.Errorf("it says %s", text)
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

// A server that was killed has its data folder until the system has cleared it away.
func TestAServerWaitsAMomentForOneThatWasKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		killed, err := openDataDir(t.Context(), path, aServer, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = openDataDir(t.Context(), path, aServer, hclog.NewNullLogger())
		if used, ok := errors.AsType[*InUseError](err); !ok || used.PID != os.Getpid() {
			t.Errorf("a server beside one that runs: %v", err)
		}
		if waited := time.Since(began); waited > 2*moment {
			t.Errorf("it was refused after %v", waited)
		}
		opened := make(chan error)
		go func() {
			d, err := openDataDir(t.Context(), path, aServer, hclog.NewNullLogger())
			if err == nil {
				d.close()
			}
			opened <- err
		}()
		synctest.Wait()
		killed.close()
		if err := <-opened; err != nil {
			t.Errorf("the next server: %v", err)
		}
	})
}
