// Package natstest runs servers of NATS for tests, in the test's own process.
package natstest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const startLimit = 30 * time.Second

// Node is a server of NATS that can be stopped and started again at its address.
type Node struct {
	t       *testing.T
	options *server.Options
	server  *server.Server
}

// Start runs one server.
func Start(t *testing.T) *Node {
	t.Helper()
	return start(t, &server.Options{})
}

// Cluster runs n servers that carry for each other.
func Cluster(t *testing.T, n int) []*Node {
	t.Helper()
	nodes := make([]*Node, n)
	var routes []*url.URL
	for i := range nodes {
		nodes[i] = start(t, &server.Options{
			ServerName: fmt.Sprint("n", i), Routes: routes,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT},
		})
		routes = append(routes, &url.URL{Scheme: "nats", Host: nodes[i].server.ClusterAddr().String()})
	}
	for _, node := range nodes {
		for deadline := time.Now().Add(startLimit); node.server.NumRoutes() < n-1; {
			if time.Now().After(deadline) {
				t.Fatalf("a server of NATS has %d routes", node.server.NumRoutes())
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nodes
}

func start(t *testing.T, o *server.Options) *Node {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	n := &Node{t: t, options: o}
	n.Start()
	t.Cleanup(n.Stop)
	return n
}

// Start starts the server again, where it was.
func (n *Node) Start() {
	n.t.Helper()
	s, err := server.NewServer(n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(startLimit) {
		n.t.Fatal("NATS does not start")
	}
	n.server, n.options.Port = s, s.Addr().(*net.TCPAddr).Port
}

// Stop ends the server and its connections.
func (n *Node) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// URL is the address of the nodes.
func URL(nodes ...*Node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.server.ClientURL())
	}
	return strings.Join(all, ",")
}
