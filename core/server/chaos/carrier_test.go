//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// natsOptions tell a process of this test binary to be a member of NATS, and which.
const natsOptions = "CHAOS_NATS"

// natsMember is what one is told.
type natsMember struct {
	Name         string
	Client, Peer string // addresses to listen at
	Routes       string // to the other members
}

// serveNATS runs a member until standard input ends, which it does with whoever started this process.
func serveNATS(text string) int {
	var m natsMember
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return 2
	}
	// Members tell neither clients nor each other of further addresses, which would lead past the proxies.
	o := &server.Options{ServerName: m.Name, NoLog: true, NoSigs: true, Routes: server.RoutesFromStr(m.Routes)}
	o.Cluster = server.ClusterOpts{Name: "chaos", NoAdvertise: true, Advertise: "127.0.0.1:1"}
	for _, a := range []struct {
		address string
		host    *string
		port    *int
	}{{m.Client, &o.Host, &o.Port}, {m.Peer, &o.Cluster.Host, &o.Cluster.Port}} {
		host, port, err := net.SplitHostPort(a.address)
		if err != nil {
			return 2
		}
		*a.host = host
		if *a.port, err = strconv.Atoi(port); err != nil {
			return 2
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return 2
	}
	s.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// nats is a NATS of one member or more. Each is started again, where it was, when it has died.
type nats struct {
	members []*member
}

// member is a process of NATS.
type member struct {
	*servertest.Kept
	natsMember
	space *space   // that it runs in; nil: this process's
	peers []*proxy // between it and others, whoever connects
}

// startNATS starts members, each in a space of its own, which reach each other by proxies.
func startNATS(t *testing.T, host string, members int, space func() *space) *nats {
	t.Helper()
	n := &nats{}
	for i := range members {
		m := &member{natsMember: natsMember{Name: fmt.Sprint(i + 1)}, space: space()}
		at := "127.0.0.1"
		if m.space != nil {
			at = m.space.address
		}
		for _, address := range []*string{&m.Client, &m.Peer} {
			free, err := servertest.FreeAddress("127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(free)
			*address = net.JoinHostPort(at, port)
		}
		n.members = append(n.members, m)
	}
	for _, m := range n.members {
		var routes []string
		for _, other := range n.members {
			if other == m {
				continue
			}
			way := newProxy(t, host, func() (net.Conn, error) { return net.DialTimeout("tcp", other.Peer, natsDial) }, nil)
			routes = append(routes, "nats://"+way.address())
			m.peers, other.peers = append(m.peers, way), append(other.peers, way)
		}
		m.Routes = strings.Join(routes, ",")
	}
	for _, m := range n.members {
		told, err := json.Marshal(m.natsMember)
		if err != nil {
			t.Fatal(err)
		}
		m.Kept = servertest.Keep(os.Stderr, func() *exec.Cmd {
			cmd := m.space.command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), natsOptions+"="+string(told))
			return servertest.Lifeline(cmd)
		})
		t.Cleanup(m.Finish)
	}
	return n
}

// natsDial is how long it may take to reach a member whose link may be down.
const natsDial = 2 * time.Second

func (m *member) dial() (net.Conn, error) { return net.DialTimeout("tcp", m.Client, natsDial) }

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
