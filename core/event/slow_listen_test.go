package event_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/event"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// A database may come to LISTEN long after it was sent, when others have said something meanwhile. What was said then is
// looked at, and the address is not taken for one over which nothing can be heard.
func TestListeningMayBeginLate(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	db, err := postgres.Open(dsn, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	direct, release := delayed(t, dsn, "LISTEN")
	bus, err := event.Open(t.Context(), event.Config{DB: db, Direct: direct, Server: uuid.New(), Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	began := make(chan struct{})
	bus.Start(t.Context(), event.Handlers{
		Changed: func(ids []uuid.UUID) {
			if ids == nil {
				close(began)
			}
		},
		Stop: func() {}, Work: func() {}, Watched: func([]uuid.UUID) {}, Progress: func(uuid.UUID, json.RawMessage) {},
	})
	asked := false
	for deadline := time.Now().Add(30 * time.Second); !asked; {
		if time.Now().After(deadline) {
			t.Fatal("it never asks to hear itself")
		}
		if err := db.QueryRow(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_notify(%' AND state = 'idle')`).Scan(&asked); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-began:
		t.Error("it believes that it listens")
	default:
	}
	release()
	select {
	case <-began:
	case <-time.After(9 * time.Second): // sooner than it takes an address for deaf
		t.Error("it does not notice that it listens")
	}
}

// delayed is the address of the same database, by which what holds a text is kept, with all that follows, until release.
func delayed(t *testing.T, dsn, text string) (through string, release func()) {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	socket := filepath.Join(query.Get("host"), ".s.PGSQL.5432")
	dir, err := os.MkdirTemp("", "listen")
	if err != nil {
		t.Fatal(err)
	}
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	var all sync.WaitGroup
	t.Cleanup(func() {
		release()
		_ = listener.Close()
		all.Wait()
		_ = os.RemoveAll(dir)
	})
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
			all.Go(func() {
				defer server.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := client.Read(buffer)
					if bytes.Contains(buffer[:n], []byte(text)) {
						<-released
					}
					if _, err := server.Write(buffer[:n]); err != nil {
						return
					}
					if err != nil {
						return
					}
				}
			})
		}
	})
	return u.String(), release
}
