package sdk

import (
	"context"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// server answers the host.
type server struct {
	proto.UnimplementedPluginServer
	goplugin.NetRPCUnsupportedPlugin

	description *proto.DescribeResponse
	blocks      map[string]bound // by id
	providers   map[string]Provider
	logger      hclog.Logger
	grpc        *grpc.Server
	bulk        *bulk
	restore     sync.Once

	mu       sync.Mutex
	settings map[string]string
	begun    bool // the session
	runs     sync.WaitGroup

	started atomic.Uint64 // runs
}

func newServer(p Plugin, description *proto.DescribeResponse, logger hclog.Logger) (*server, error) {
	s := &server{
		description: description, logger: logger, bulk: newBulk(),
		blocks: make(map[string]bound, len(p.Blocks)), providers: make(map[string]Provider, len(p.Providers)), settings: map[string]string{},
	}
	for i, definition := range p.Blocks {
		block, err := bind(definition, description.Blocks[i])
		if err != nil {
			return nil, err
		}
		s.blocks[description.Blocks[i].Id] = block
	}
	for _, provider := range p.Providers {
		s.providers[provider.Name] = provider
	}
	for _, setting := range p.settings() {
		s.settings[setting.Name] = setting.Default
	}
	return s, nil
}

// GRPCServer registers the service. It is called when the cookie has been checked, so that the cookie can go: a
// process that a block starts is no plugin.
func (s *server) GRPCServer(_ *goplugin.GRPCBroker, to *grpc.Server) error {
	if err := os.Unsetenv(proto.Handshake.MagicCookieKey); err != nil {
		return err
	}
	proto.RegisterPluginServer(to, s)
	return nil
}

// GRPCClient is the host's side.
func (s *server) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, status.Error(codes.Unimplemented, "a plugin is no host")
}

func (s *server) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	s.restore.Do(restoreStdio)
	return s.description, nil
}

func (s *server) Configure(_ context.Context, r *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	s.restore.Do(restoreStdio)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return nil, status.Error(codes.FailedPrecondition, "the session has begun")
	}
	for name, value := range r.Settings {
		s.settings[name] = value
	}
	return &proto.ConfigureResponse{}, nil
}

// Session lives as long as the process: its end stops the server, and with it Serve.
func (s *server) Session(stream proto.Plugin_SessionServer) error {
	s.restore.Do(restoreStdio)
	s.mu.Lock()
	second := s.begun
	s.begun = true
	s.mu.Unlock()
	if second {
		return status.Error(codes.FailedPrecondition, "this process has its session")
	}
	// Stop closes every connection, this stream's too, so it waits until the stream has its answer.
	go func() {
		<-stream.Context().Done()
		s.grpc.Stop()
	}()
	err := newSession(s, stream).serve()
	if err != nil {
		s.logger.Debug("the session broke off", "error", err)
	}
	return err
}

// waitForRuns lets cancelled runs end.
func (s *server) waitForRuns(atMost time.Duration) {
	ended := make(chan struct{})
	go func() {
		s.runs.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(atMost):
		s.logger.Warn("runs did not end when they were cancelled")
	}
}

// watch ends a process whose server died or forgot it. A session ends with its server; this is for the time before it,
// and for a connection that something else holds open. It also gives memory back when runs have been few: a server
// keeps many plugins that idle most of the time, and Go alone would take minutes to notice.
func (s *server) watch() {
	parent, started := os.Getppid(), time.Now()
	seen, quiet := uint64(0), 0
	for range time.Tick(watchInterval) {
		if os.Getppid() != parent {
			s.logger.Error("the server that started this plugin is gone")
			os.Exit(1)
		}
		s.mu.Lock()
		begun := s.begun
		s.mu.Unlock()
		if !begun && time.Since(started) > sessionWait {
			s.logger.Error("no session was opened", "within", sessionWait)
			os.Exit(1)
		}
		if n := s.started.Load(); n != seen {
			seen, quiet = n, 0
		} else if quiet++; quiet == quietIntervals {
			debug.FreeOSMemory()
		}
	}
}
