package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// startLimit is how long PROTOCOL.md gives a plugin for its handshake.
const startLimit = 10 * time.Second

// process is a plugin that was started as servers start it and greeted as PROTOCOL.md says, by nothing that a plugin's own
// libraries may share.
type process struct {
	cell    *plugin.Cell
	folder  string // its working folder, with its socket
	began   time.Time
	conn    *grpc.ClientConn
	client  proto.PluginClient
	first   chan string // has the first line on standard output
	stdout  tail        // what came after it: nothing may
	stderr  tail
	started time.Duration // until the handshake
	streams []io.Closer   // that are read
	drained sync.WaitGroup
	exited  chan struct{}
}

// start starts the plugin and shakes hands with it. On an error the process is what is left of it, to be killed; nil: nothing.
func (s *suite) start() (*process, error) {
	variables := []string{proto.Handshake.MagicCookieKey + "=" + proto.Handshake.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=" + strconv.Itoa(proto.Version)}
	var config *tls.Config
	if s.manifest.AutoMTLS {
		certificate, text, err := certificate()
		if err != nil {
			return nil, err
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}, ServerName: "localhost", MinVersion: tls.VersionTLS12}
		variables = append(variables, "PLUGIN_CLIENT_CERT="+text)
	}
	p, err := s.spawn(variables...)
	if err != nil {
		return p, err
	}
	line, err := p.greeting(s.ctx)
	if err != nil {
		return p, err
	}
	return p, p.connect(line, config)
}

// spawn starts a process of the plugin.
func (s *suite) spawn(variables ...string) (p *process, err error) {
	p = &process{exited: make(chan struct{}), first: make(chan string, 1)}
	if p.folder, err = s.launcher.Folder(); err != nil {
		return nil, err
	}
	sockets := filepath.Join(p.folder, "s")
	if err = os.Mkdir(sockets, 0o700); err == nil {
		variables = append(variables, "PLUGIN_UNIX_SOCKET_DIR="+sockets)
		p.cell, err = s.launcher.Prepare(plugin.Installation{Name: s.manifest.Name, Folder: s.folder}, p.folder, variables, sockets)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.folder))
	}
	return p, p.run()
}

// run starts the process and reads what it writes.
func (p *process) run() error {
	stdout, out, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, errs, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdout.Close(), out.Close())
	}
	p.streams = []io.Closer{stdout, stderr}
	p.cell.Command.Stdout, p.cell.Command.Stderr = out, errs
	p.began = time.Now()
	err = p.cell.Start()
	_, _ = out.Close(), errs.Close()
	if p.cell.Command.Process == nil {
		return fmt.Errorf("start the executable: %w", err)
	}
	go func() {
		_ = p.cell.Command.Wait()
		close(p.exited)
	}()
	p.drained.Go(func() { p.stderr.fill(stderr) })
	p.drained.Go(func() {
		reader := bufio.NewReaderSize(stdout, 64<<10)
		text, _ := reader.ReadString('\n')
		p.first <- text
		p.stdout.fill(reader)
	})
	return err
}

// greeting waits for the first line of the process.
func (p *process) greeting(ctx context.Context) (line string, err error) {
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case line = <-p.first:
	case <-timer.C:
		return "", fmt.Errorf("no line came on standard output within %s", startLimit)
	case <-ctx.Done():
		return "", ctx.Err()
	}
	p.started = time.Since(p.began)
	if line == "" {
		return "", errors.New("the process closed its standard output without the line of the handshake")
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// connect reads the line of the handshake, and opens the connection that it offers.
func (p *process) connect(line string, config *tls.Config) error {
	fields := strings.Split(line, "|")
	switch {
	case len(fields) < 6:
		return fmt.Errorf("the first line on standard output has %d fields between |, not 6: %.200q", len(fields), line)
	case fields[0] != "1":
		return fmt.Errorf("the handshake's first field is %q, not the version of the line, 1: %.200q", fields[0], line)
	case fields[1] != strconv.Itoa(proto.Version):
		return fmt.Errorf("the handshake's second field chooses protocol %q, and %d was offered", fields[1], proto.Version)
	case fields[2] != "unix":
		return fmt.Errorf("the handshake's third field is %q, not unix", fields[2])
	case fields[4] != "grpc":
		return fmt.Errorf("the handshake's fifth field is %q, not grpc", fields[4])
	case config == nil && fields[5] != "":
		return errors.New("the handshake brings a certificate, and the manifest does not declare auto_mtls")
	case config != nil && fields[5] == "":
		return errors.New("the manifest declares auto_mtls, and the handshake brings no certificate")
	}
	address := fields[3]
	transport := insecure.NewCredentials()
	if config != nil {
		der, err := base64.RawStdEncoding.DecodeString(fields[5])
		if err != nil {
			return fmt.Errorf("the certificate in the handshake is not base64 without padding: %w", err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("the certificate in the handshake is not one: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AddCert(parsed)
		transport = credentials.NewTLS(config)
	}
	if !filepath.IsAbs(address) {
		address = filepath.Join(p.folder, address)
	}
	var err error
	p.conn, err = grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return p.cell.Dial(ctx, "unix", address)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(proto.MaxMessage), grpc.MaxCallSendMsgSize(proto.MaxMessage)))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	p.client = proto.NewPluginClient(p.conn)
	return nil
}

// certificate makes what a host shows to a plugin: a key of curve P-521, as servers have it.
func certificate() (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, SerialNumber: big.NewInt(time.Now().UnixNano()),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign,
		NotBefore:   time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text), nil
}

// exits waits for the end of the process.
func (p *process) exits(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// kill ends all that is left, and forgets it. It says which limit the process has met, if any.
func (p *process) kill() (verdict string) {
	if p.cell.Command.Process != nil {
		_ = syscall.Kill(-p.cell.Command.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
	verdict, _ = p.cell.Close()                            // what cannot be removed goes with the suite's folder
	closing := time.AfterFunc(time.Second, p.closeStreams) // somebody who has left the group may hold them
	p.drained.Wait()
	closing.Stop()
	p.closeStreams()
	if p.conn != nil {
		_ = p.conn.Close()
	}
	return verdict
}

func (p *process) closeStreams() {
	for _, stream := range p.streams {
		_ = stream.Close()
	}
}

// resident is the memory in bytes of the process and what it has started, where the system tells.
func (p *process) resident() (int64, bool) {
	total, found := int64(0), false
	statuses, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range statuses {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:])) // state, parent, group, …
		if len(fields) < 22 || fields[2] != strconv.Itoa(p.cell.Command.Process.Pid) {
			continue
		}
		if p.cell.PID() != p.cell.Command.Process.Pid && path == fmt.Sprintf("/proc/%d/stat", p.cell.Command.Process.Pid) {
			continue // it has started the process, and waits
		}
		if pages, err := strconv.ParseInt(fields[21], 10, 64); err == nil {
			total, found = total+pages*int64(os.Getpagesize()), true
		}
	}
	return total, found
}

// tail keeps the last of a stream.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 256 << 10

func (t *tail) fill(from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		t.mu.Lock()
		t.text = append(t.text, buffer[:n]...)
		if extra := len(t.text) - tailSize; extra > 0 {
			t.text = slices.Delete(t.text, 0, extra)
		}
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// last is as much of it as people read.
func (t *tail) last() string {
	text := strings.TrimSpace(t.String())
	return text[max(0, len(text)-2000):]
}
