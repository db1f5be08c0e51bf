package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// instance is a running process of a plugin with its connection and its session.
type instance struct {
	process *process
	conn    *grpc.ClientConn
	offer   *offer
	session *session
	started time.Time

	stdio sync.WaitGroup // of what goes on beside the session
	death death          // valid once gone is closed
	gone  chan struct{}  // closed when nothing of the process is left and all its runs have been told
}

// death is how an instance ended.
type death struct {
	detail string
	runs   int  // how many were in the process
	served bool // some run had ended properly before
}

// launch starts a process, lets it describe itself, sets it up and opens its session. When it fails nothing is left
// of the process.
func (s *supervisor) launch(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, s.host.pace.start)
	defer cancel()
	dir, err := s.host.launcher.Folder()
	if err != nil {
		return nil, err
	}
	p := newProcess(s.host, s.found, dir, s.log)
	unwatch := context.AfterFunc(ctx, func() { p.kill("its start took too long") })
	in, err := s.connect(ctx, p)
	if err == nil && !unwatch() {
		err = fmt.Errorf("start: %w", context.Cause(ctx))
		in.session.cut()
	}
	if err != nil {
		unwatch()
		if p.pid() != 0 && !p.await(100*time.Millisecond) { // it may be about to say why
			p.kill("its start failed")
			p.await(5 * time.Second)
		}
		if in != nil {
			_ = in.conn.Close()
			in.stdio.Wait()
		}
		p.release()
		return nil, explain(err, p)
	}
	in.started = time.Now()
	in.stdio.Go(func() { in.heed(s.host.pace.ask, s.host.pace.answer) })
	go in.serve()
	return in, nil
}

// explain adds what the process said and how it ended. That the host killed it for failing is no news.
func explain(err error, p *process) error {
	if said := p.tail.String(); strings.HasPrefix(said, isolation.Refusal) && p.pid() != 0 && p.ended() {
		if why := Uninterpreted(p.path, said); why != nil {
			return fmt.Errorf("%s %s", isolation.Refusal, why)
		}
		return errors.New(said) // it has not become the plugin yet
	}
	if unset, ok := errors.AsType[*unsetError](err); ok {
		return permanent(unset)
	}
	text := strings.TrimSpace(printable(err.Error()))
	if p.pid() != 0 && p.ended() && p.verdict != "" {
		text += ": " + p.verdict
	}
	if p.pid() != 0 && p.ended() && p.ending != "exit status 0" && !strings.Contains(p.ending, "signal: killed") {
		text += ": " + p.ending
	}
	if t := p.tail.String(); t != "" {
		text += "\n" + t
	}
	if isPermanent(err) {
		return permanent(errors.New(text))
	}
	return errors.New(text)
}

// silence is what go-plugin says of a process that ends without a word.
var silence = []string{"Failed to read any lines", "exited before we could connect"}

// connect takes the process through its start. On an error the instance is not nil if it holds a connection.
func (s *supervisor) connect(ctx context.Context, p *process) (*instance, error) {
	config := &goplugin.ClientConfig{
		HandshakeConfig:  proto.Handshake,
		VersionedPlugins: proto.Versions(),
		RunnerFunc:       p.prepare,
		SkipHostEnv:      true,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         s.AutoMTLS,
		StartTimeout:     2 * s.host.pace.start, // ctx ends before
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.dir},
		Logger:           hclog.NewNullLogger(),
	}
	// The client is used for the handshake alone. Its own connection would open a broker, through which a plugin
	// could make the host grow. It is never killed: what it started ends with the process.
	address, err := goplugin.NewClient(config).Start()
	switch {
	case err != nil && p.pid() == 0:
		return nil, fmt.Errorf("%s %w", isolation.Refusal, err)
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("handshake: it did not answer within %s", s.host.pace.start)
	case err != nil && slices.ContainsFunc(silence, func(text string) bool { return strings.Contains(err.Error(), text) }):
		return nil, errors.New("handshake: it ended before it answered")
	case err != nil:
		return nil, fmt.Errorf("handshake: %w", err)
	}
	transport := insecure.NewCredentials()
	if config.TLSConfig != nil {
		if config.TLSConfig.RootCAs == nil {
			return nil, permanent(fmt.Errorf("the plugin does not do AutoMTLS, which its %s declares", manifestName))
		}
		transport = credentials.NewTLS(config.TLSConfig)
	}
	conn, err := grpc.NewClient("passthrough:///"+s.name,
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return p.cell.Dial(ctx, address.Network(), address.String())
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(proto.MaxMessage), grpc.MaxCallSendMsgSize(proto.MaxMessage)),
		grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(4<<20),
	)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	in := &instance{process: p, conn: conn, gone: make(chan struct{})}
	client := proto.NewPluginClient(conn)
	description, err := client.Describe(ctx, &proto.DescribeRequest{})
	// The plugin knows the deadline too, and may be the first to say that it is over.
	if err != nil && (errors.Is(ctx.Err(), context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded) {
		return in, fmt.Errorf("describe: it did not answer within %s", s.host.pace.start)
	}
	if err != nil {
		return in, fmt.Errorf("describe: %w", err)
	}
	if in.offer, err = s.examine(description); err != nil {
		return in, err
	}
	settings, err := s.settings(description)
	if err != nil {
		return in, err
	}
	if _, err := client.Configure(ctx, &proto.ConfigureRequest{Settings: settings}); err != nil {
		return in, fmt.Errorf("configure: %w", err)
	}
	if in.session, err = openSession(client, description.GetBulkValues(), s.host.pace.cancel, s.log, &s.host.veil); err != nil {
		return in, fmt.Errorf("open session: %w", err)
	}
	in.session.kill, in.session.gate = p.kill, p.gate
	in.stdio.Go(func() { in.forwardStdio(s.log) })
	return in, nil
}

// serve owns the instance: it reads the session to its end, sees to it that the process ends too, and tells the
// runs that were in it.
func (in *instance) serve() {
	defer close(in.gone)
	// A process that is dead cannot say more: what it had sent is read, and then the stream ends by itself, unless
	// somebody who escaped holds the connection.
	over := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() {
		select {
		case <-over:
			return
		case <-in.process.exited:
		}
		t := time.NewTimer(time.Second)
		defer t.Stop()
		select {
		case <-over:
		case <-t.C:
			in.session.cut()
		}
	})
	err := in.session.read()
	close(over)
	guard.Wait()
	in.session.cut()
	// A process that dies takes the connection along. Any other end of the session is the plugin's choice or fault.
	if status.Code(err) != codes.Unavailable || !in.process.await(500*time.Millisecond) {
		in.process.kill("its session ended: " + printable(err.Error()))
		in.process.await(5 * time.Second)
	}
	in.death.detail = in.process.epitaph()
	in.death.runs, in.death.served = in.session.bury(in.death.detail)
	_ = in.conn.Close()
	in.stdio.Wait()
	in.process.release()
}

// stop ends the instance and waits for its end: by the end of its session, and by force when that does not do.
func (in *instance) stop(grace time.Duration) {
	in.session.close()
	in.process.stop(grace)
	<-in.gone
}

// forwardStdio logs what go-plugin's server in the plugin catches of its standard streams. Such a server blocks the
// plugin's prints until somebody takes them; plugins that have none say so, and that is the end of it.
func (in *instance) forwardStdio(log hclog.Logger) {
	stream, err := in.conn.NewStream(in.session.ctx, &grpc.StreamDesc{ServerStreams: true}, "/plugin.GRPCStdio/StreamStdio")
	if err != nil {
		return
	}
	if stream.SendMsg(&emptypb.Empty{}) != nil || stream.CloseSend() != nil {
		return
	}
	for {
		// message StdioData { Channel channel = 1; bytes data = 2; }, which go-plugin keeps to itself
		var m emptypb.Empty
		if err := stream.RecvMsg(&m); err != nil {
			if !errors.Is(err, io.EOF) {
				log.Trace("no standard streams from plugin", "error", err)
			}
			return
		}
		for b := []byte(m.ProtoReflect().GetUnknown()); len(b) > 0; {
			field, kind, n := protowire.ConsumeTag(b)
			if n < 0 {
				break
			}
			size := protowire.ConsumeFieldValue(field, kind, b[n:])
			if size < 0 {
				break
			}
			if field == 2 && kind == protowire.BytesType {
				data, _ := protowire.ConsumeBytes(b[n:])
				for line := range strings.Lines(string(data)) {
					if line = strings.TrimRight(line, "\r\n"); line != "" && in.process.gate.pass(len(line)) {
						log.Info(in.process.veil.hide(logged([]byte(line))), "stream", "stdio")
					}
				}
			}
			b = b[n+size:]
		}
	}
}
