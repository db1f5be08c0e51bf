package chaos

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

// natsPort tells a process of this test binary to be a NATS.
const natsPort = "CHAOS_NATS_PORT"

// serveNATS runs a NATS until standard input ends, which it does with whoever started this process.
func serveNATS(port string) int {
	number, err := strconv.Atoi(port)
	if err != nil {
		return 2
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: number, NoLog: true, NoSigs: true})
	if err != nil {
		return 2
	}
	s.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// natsProcess is a NATS that can be killed. It is started again, where it was, when it has died.
type natsProcess struct {
	port string
	mu   sync.Mutex
	cmd  *exec.Cmd
	end  bool
	done chan struct{}
}

func startNATS(t *testing.T) *natsProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	n := &natsProcess{port: port, done: make(chan struct{})}
	go n.run()
	t.Cleanup(func() {
		n.mu.Lock()
		n.end = true
		n.mu.Unlock()
		n.kill()
		<-n.done
	})
	return n
}

func (n *natsProcess) run() {
	defer close(n.done)
	for {
		n.mu.Lock()
		if n.end {
			n.mu.Unlock()
			return
		}
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), natsPort+"="+n.port)
		lifeline, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			n.mu.Unlock()
			return
		}
		n.cmd = cmd
		n.mu.Unlock()
		_ = cmd.Wait()
		_ = lifeline.Close()
		time.Sleep(20 * time.Millisecond) // it may have died because the port is not free yet
	}
}

func (n *natsProcess) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
	}
}

func (n *natsProcess) dial() (net.Conn, error) { return net.Dial("tcp", "127.0.0.1:"+n.port) }

// scramble carries what a NATS says to one of its clients, and loses, doubles and reorders messages among it.
func scramble(seed uint64) func(to io.Writer, from io.Reader) error {
	return func(to io.Writer, from io.Reader) error {
		r := rand.New(rand.NewPCG(seed, 1))
		in := bufio.NewReaderSize(from, 64<<10)
		var held [][]byte // messages that come later
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return err
			}
			if !bytes.HasPrefix(line, []byte("MSG ")) {
				if _, err := to.Write(line); err != nil {
					return err
				}
				continue
			}
			words := bytes.Fields(line)
			size, err := strconv.Atoi(string(words[len(words)-1]))
			if err != nil {
				return fmt.Errorf("a message of NATS: %w", err)
			}
			message := append(line, make([]byte, size+2)...)
			if _, err := io.ReadFull(in, message[len(line):]); err != nil {
				return err
			}
			var now [][]byte
			switch r.IntN(10) {
			case 0: // lost
			case 1, 2:
				now = append(now, message, message)
			case 3, 4, 5:
				held = append(held, message)
			default:
				now = append(now, message)
			}
			for len(held) > 0 && (len(held) > 20 || r.IntN(3) == 0) {
				at := r.IntN(len(held))
				now = append(now, held[at])
				held = append(held[:at], held[at+1:]...)
			}
			for _, m := range now {
				if _, err := to.Write(m); err != nil {
					return err
				}
			}
		}
	}
}

// echo hears what servers tell each other by NOTIFY and says it again, late and out of order, until ctx ends.
func echo(ctx context.Context, db *bun.DB, r *rand.Rand) {
	for ctx.Err() == nil {
		_ = echoOnce(ctx, db, r)
		_ = pause(ctx) // the database may be away
	}
}

func echoOnce(ctx context.Context, db *bun.DB, r *rand.Rand) error {
	listener := pgdriver.NewListener(db)
	defer func() { _ = listener.Close() }()
	if err := listener.Listen(ctx, "patchbay"); err != nil {
		return err
	}
	var heard []string
	said := map[string]bool{} // by this one
	for {
		_, text, err := listener.ReceiveTimeout(ctx, time.Second)
		if err != nil {
			return err // also where it was silent for long
		}
		if said[text] || !strings.Contains(text, " ") {
			delete(said, text)
			continue
		}
		if heard = append(heard, text); len(heard) < 5 {
			continue
		}
		at := r.IntN(len(heard))
		again := heard[at]
		heard = append(heard[:at], heard[at+1:]...)
		said[again] = true
		if _, err := db.ExecContext(ctx, `SELECT pg_notify('patchbay', ?)`, again); err != nil {
			return err
		}
	}
}
