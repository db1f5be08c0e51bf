package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// natsCommand makes this program a node of NATS. An installed nats-server does as well; this one needs no installing.
const natsCommand = "nats"

// startNATS starts the nodes and answers the URLs of their clients.
func (c *cluster) startNATS(ctx context.Context) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var urls, routes []string
	addresses := make([][3]string, c.options.nodes) // of clients, of other nodes, of probes
	for i := range addresses {
		for j := range addresses[i] {
			if addresses[i][j], err = freeAddress(); err != nil {
				return nil, err
			}
		}
		urls = append(urls, "nats://"+addresses[i][0])
		routes = append(routes, "nats://"+addresses[i][1])
	}
	for i, a := range addresses {
		name := fmt.Sprintf("nats-%d", i+1)
		p := &process{
			name: name, log: filepath.Join(c.data, name+".log"), ready: "http://" + a[2] + "/healthz",
			args: []string{self, natsCommand, "-name", name, "-client", a[0], "-cluster", a[1], "-http", a[2], "-routes", strings.Join(routes, ",")},
		}
		if err := p.start(); err != nil {
			return nil, err
		}
		c.nats = append(c.nats, p)
	}
	for _, p := range c.nats {
		if err := p.await(ctx); err != nil {
			return nil, err
		}
	}
	return urls, nil
}

// runNATS is one node, until SIGTERM.
func runNATS(args []string) error {
	flags := flag.NewFlagSet(natsCommand, flag.ExitOnError)
	name := flags.String("name", "", "name of the node")
	client := flags.String("client", "", "address for clients")
	peers := flags.String("cluster", "", "address for other nodes")
	probes := flags.String("http", "", "address of /healthz")
	routes := flags.String("routes", "", "URLs of the nodes, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o := &server.Options{ServerName: *name, NoSigs: true, Routes: server.RoutesFromStr(*routes), Cluster: server.ClusterOpts{Name: "patchbay"}}
	for _, a := range []struct {
		address string
		host    *string
		port    *int
	}{{*client, &o.Host, &o.Port}, {*peers, &o.Cluster.Host, &o.Cluster.Port}, {*probes, &o.HTTPHost, &o.HTTPPort}} {
		host, port, err := net.SplitHostPort(a.address)
		if err != nil {
			return err
		}
		*a.host = host
		if *a.port, err = strconv.Atoi(port); err != nil {
			return err
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(startLimit) {
		return errors.New("NATS does not start")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
