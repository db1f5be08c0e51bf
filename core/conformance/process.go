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
	"os/exec"
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

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// startLimit is how long PROTOCOL.md gives a plugin for its handshake.
const startLimit = 10 * time.Second

// process is a plugin that was started as PROTOCOL.md says, by nothing that a plugin's own libraries may share.
type process struct {
	command *exec.Cmd
	folder  string // its working folder, with its socket
	conn    *grpc.ClientConn
	client  proto.PluginClient
	stdout  tail // what came after the handshake: nothing may
	stderr  tail
	started time.Duration // until the handshake
	streams []io.Closer   // that are read
	drained sync.WaitGroup
	exited  chan struct{}
}

// start starts a plugin and shakes hands with it.
func start(ctx context.Context, executable string, mutualTLS bool) (p *process, err error) {
	folder, err := os.MkdirTemp("", "pb")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the plugin: %w", err)
	}
	p = &process{command: exec.Command(executable), folder: folder, exited: make(chan struct{})}
	defer func() {
		if err != nil {
			p.kill()
		}
	}()
	for _, name := range []string{"s", "tmp"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			close(p.exited)
			return p, err
		}
	}
	var config *tls.Config
	p.command.Dir = folder
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.command.Env = append(environment(folder), proto.Handshake.MagicCookieKey+"="+proto.Handshake.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS="+strconv.Itoa(proto.Version), "PLUGIN_UNIX_SOCKET_DIR="+filepath.Join(folder, "s"))
	if mutualTLS {
		certificate, text, err := certificate()
		if err != nil {
			close(p.exited)
			return p, err
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}, ServerName: "localhost", MinVersion: tls.VersionTLS12}
		p.command.Env = append(p.command.Env, "PLUGIN_CLIENT_CERT="+text)
	}
	line, err := p.run(ctx)
	if err != nil {
		return p, err
	}
	return p, p.connect(line, config)
}

func environment(folder string) []string {
	env := []string{"HOME=" + folder, "TMPDIR=" + filepath.Join(folder, "tmp")}
	for _, name := range []string{"PATH", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// run starts the process and waits for its first line.
func (p *process) run(ctx context.Context) (line string, err error) {
	stdout, theirs, err := os.Pipe()
	if err != nil {
		close(p.exited)
		return "", err
	}
	p.command.Stdout = theirs
	stderr, errs, err := os.Pipe()
	if err != nil {
		close(p.exited)
		return "", errors.Join(err, stdout.Close(), theirs.Close())
	}
	p.command.Stderr = errs
	began := time.Now()
	err = p.command.Start()
	_, _ = theirs.Close(), errs.Close()
	if err != nil {
		close(p.exited)
		_, _ = stdout.Close(), stderr.Close()
		return "", fmt.Errorf("start the executable: %w", err)
	}
	go func() {
		_ = p.command.Wait()
		close(p.exited)
	}()
	p.streams = []io.Closer{stdout, stderr}
	p.drained.Go(func() { p.stderr.fill(stderr) })
	first := make(chan string, 1)
	p.drained.Go(func() {
		reader := bufio.NewReaderSize(stdout, 64<<10)
		text, _ := reader.ReadString('\n')
		first <- text
		p.stdout.fill(reader)
	})
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case line = <-first:
	case <-timer.C:
		return "", fmt.Errorf("no line came on standard output within %s", startLimit)
	case <-ctx.Done():
		return "", ctx.Err()
	}
	p.started = time.Since(began)
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
	case fields[2] != "unix" && fields[2] != "tcp":
		return fmt.Errorf("the handshake's third field is %q, neither unix nor tcp", fields[2])
	case fields[4] != "grpc":
		return fmt.Errorf("the handshake's fifth field is %q, not grpc", fields[4])
	case config == nil && fields[5] != "":
		return errors.New("the handshake brings a certificate, and the manifest does not declare auto_mtls")
	case config != nil && fields[5] == "":
		return errors.New("the manifest declares auto_mtls, and the handshake brings no certificate")
	}
	network, address := fields[2], fields[3]
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
	if network == "unix" && !filepath.IsAbs(address) {
		address = filepath.Join(p.folder, address)
	}
	var err error
	p.conn, err = grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
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

// orphans says whether something of the process's group outlives it.
func (p *process) orphans() bool {
	return p.command.Process != nil && syscall.Kill(-p.command.Process.Pid, 0) == nil
}

// kill ends all that is left, and forgets it.
func (p *process) kill() {
	if p.command.Process != nil {
		_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
		<-p.exited
		closing := time.AfterFunc(time.Second, p.closeStreams) // somebody who has left the group may hold them
		p.drained.Wait()
		closing.Stop()
		p.closeStreams()
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
	_ = os.RemoveAll(p.folder)
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
		if len(fields) < 22 || fields[2] != strconv.Itoa(p.command.Process.Pid) {
			continue
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
