package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// lifeVariable makes the test binary a server of its own process, which a test kills.
const lifeVariable = "PATCHBAY_TEST_LIFE"

// life is what such a process is told.
type life struct {
	DSN     string    `json:"dsn"`
	Server  uuid.UUID `json:"server"`
	Plugin  string    `json:"plugin"`
	Control string    `json:"control"`
	Runtime string    `json:"runtime"`
}

// live is the main function of such a process. It prints its address, and ends with its standard input.
func live(told string) error {
	var l life
	if err := json.Unmarshal([]byte(told), &l); err != nil {
		return err
	}
	h, err := startHost(l.Plugin, l.Control, l.Runtime)
	if err != nil {
		return err
	}
	defer h.Close()
	s, err := startServer(context.Background(), l.DSN, l.Server, h, 0)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	front := &http.Server{Handler: s.api}
	go func() { _ = front.Serve(listener) }()
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = front.Close()
	return s.close()
}

// firstLife is a server process on a world that has no other server yet.
type firstLife struct {
	*world
	process *exec.Cmd
	base    string
}

// startLife starts a server process. Its world has no server in this process before the other one is killed.
func startLife(t *testing.T, h *host) *firstLife {
	t.Helper()
	f := &firstLife{world: &world{dsn: postgrestest.DSN(t), id: uuid.New(), host: h}}
	told, err := json.Marshal(life{f.dsn, f.id, h.name, gates.path, runtimeFolder(t)})
	if err != nil {
		t.Fatal(err)
	}
	f.process = exec.Command(os.Args[0])
	f.process.Env = append(os.Environ(), lifeVariable+"="+string(told))
	f.process.Stderr = os.Stderr
	input, err := f.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := f.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = f.process.Process.Kill()
		_ = f.process.Wait()
	})
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the server process does not start: %v", err)
	}
	f.base = "http://" + strings.TrimSpace(address)
	return f
}

func (f *firstLife) client() *client {
	c := newClient(nil)
	c.base = f.base
	return c
}

// kill ends the process as nothing can prevent, and its plugins with it.
func (f *firstLife) kill(t *testing.T) {
	t.Helper()
	if err := f.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = f.process.Wait()
}

// rise starts the server again, in this process, with the same identity.
func (f *firstLife) rise(t *testing.T, clients ...*client) {
	t.Helper()
	f.start(t, 0)
	for _, c := range clients {
		c.handler, c.base = f.api, ""
	}
}
