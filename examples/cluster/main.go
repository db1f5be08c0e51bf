// Command cluster runs a cluster of Patchbay on this machine, as plain processes: three servers that share one Postgres,
// three nodes of NATS, and a load balancer.
//
//	make build
//	go run ./examples/cluster
//
// SIGHUP (kill -HUP) starts each server anew in turn, which is an upgrade where bin/patchbay was replaced; no request fails
// meanwhile. Ctrl-C stops everything. With -try it puts the cluster under load, does all that, and says what came of it.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/postgres"
)

type options struct {
	binary, data, addr string
	servers, nodes     int
	try                bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == natsCommand {
		if err := runNATS(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	var o options
	flag.StringVar(&o.binary, "binary", "bin/patchbay", "the program of the servers")
	flag.StringVar(&o.data, "data", "", "folder of everything; a temporary one unless set")
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address of the load balancer")
	flag.IntVar(&o.servers, "servers", 3, "how many servers")
	flag.IntVar(&o.nodes, "nats", 3, "how many nodes of NATS")
	flag.BoolVar(&o.try, "try", false, "start every server anew under load, check that nothing fails, and end")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "patchbay-cluster-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(o.data) }()
	}
	c := &cluster{options: o}
	defer c.stop()
	if err := c.start(ctx); err != nil {
		return err
	}
	if o.try {
		return try(ctx, c)
	}
	fmt.Printf("\n  The cluster is ready at http://%s, and its WebSocket at ws://%[1]s/ws.\n\n    TOKEN=$(PATCHBAY_JWT_SECRET_FILE=%s %s token --user 00000000-0000-4000-8000-000000000001)\n\n"+
		"  kill -HUP %d starts each server anew in turn.  Ctrl-C stops all.\n\n", o.addr, c.secret("jwt-secret"), o.binary, os.Getpid())
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	for {
		select {
		case <-again:
			if err := c.roll(ctx); err != nil {
				log.Print(err)
			}
		case failure := <-c.balancer.failed:
			return failure
		case <-ctx.Done():
			return nil
		}
	}
}

// cluster is all processes.
type cluster struct {
	options
	postgres *postgres.Server
	nats     []*process
	servers  []*process
	balancer *balancer
}

func (c *cluster) start(ctx context.Context) error {
	if err := os.MkdirAll(c.data, 0o711); err != nil {
		return err
	}
	if err := os.Chmod(c.data, 0o711); err != nil { // Postgres must get through where this runs as root
		return err
	}
	for name, bytes := range map[string]int{"jwt-secret": 48, "encryption-keys": 32} {
		if err := keep(c.secret(name), bytes); err != nil {
			return err
		}
	}
	database := os.Getenv("PATCHBAY_DATABASE_URL")
	if database == "" {
		var err error
		c.postgres, err = postgres.Start(ctx, postgres.Config{Dir: filepath.Join(c.data, "postgres"), Logger: hclog.New(&hclog.LoggerOptions{Name: "postgres", Level: hclog.Warn})})
		if err != nil {
			return err
		}
		database = c.postgres.DSN()
	}
	urls, err := c.startNATS(ctx)
	if err != nil {
		return err
	}
	var backends []string
	for i := range c.options.servers {
		addr, err := freeAddress()
		if err != nil {
			return err
		}
		folder := filepath.Join(c.data, fmt.Sprintf("server-%d", i+1))
		p := &process{
			name: fmt.Sprintf("server-%d", i+1), args: []string{c.binary, "serve"}, log: folder + ".log", ready: "http://" + addr + "/readyz",
			env: []string{
				"PATCHBAY_ADDR=" + addr, "PATCHBAY_WS_ADDR=" + addr, "PATCHBAY_BASE_URL=http://" + c.addr, "PATCHBAY_DATA_DIR=" + folder,
				"PATCHBAY_DATABASE_URL=" + database, "PATCHBAY_NATS_URL=" + strings.Join(urls, ","),
				"PATCHBAY_JWT_SECRET_FILE=" + c.secret("jwt-secret"), "PATCHBAY_ENCRYPTION_KEYS_FILE=" + c.secret("encryption-keys"),
				"PATCHBAY_TRUSTED_PROXIES=127.0.0.1", "PATCHBAY_SHUTDOWN_DELAY=" + noticed.String(),
			},
		}
		if c.try { // its load is more than a user may ask for
			p.env = append(p.env, "PATCHBAY_RATE_LIMIT_GENERAL=0", "PATCHBAY_RATE_LIMIT_EXECUTION=0", "PATCHBAY_RATE_LIMIT_ANONYMOUS=0", "PATCHBAY_SHUTDOWN_GRACE=1s")
		}
		c.servers = append(c.servers, p)
		backends = append(backends, addr)
	}
	for _, p := range c.servers { // they migrate the database once, whoever comes first
		if err := p.start(); err != nil {
			return err
		}
	}
	for _, p := range c.servers {
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	if c.balancer, err = openBalancer(c.addr, backends); err != nil {
		return err
	}
	c.addr = c.balancer.addr()
	return nil
}

func (c *cluster) secret(name string) string { return filepath.Join(c.data, name) }

// roll starts one server after the other anew.
func (c *cluster) roll(ctx context.Context) error {
	for _, p := range c.servers {
		if err := c.renew(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// renew stops and starts a server, and returns when it gets requests again.
func (c *cluster) renew(ctx context.Context, p *process) error {
	began := time.Now()
	p.stop()
	if err := p.start(); err != nil {
		return err
	}
	if err := p.await(ctx); err != nil {
		return err
	}
	if err := c.balancer.await(ctx, p.ready); err != nil {
		return err
	}
	log.Printf("%s is new after %s", p.name, time.Since(began).Round(time.Millisecond))
	return nil
}

func (c *cluster) stop() {
	if c.balancer != nil {
		c.balancer.close()
	}
	stopAll(c.servers)
	stopAll(c.nats)
	if c.postgres != nil {
		c.postgres.Stop()
	}
}

// keep makes a secret where there is none.
func keep(path string, bytes int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	secret := make([]byte, bytes)
	_, _ = rand.Read(secret) // it never fails
	if _, err := file.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n"); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers says whether a GET is answered with 200.
func answers(ctx context.Context, url string, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
