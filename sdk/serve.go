package sdk

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

const (
	// sessionWait is how long a process waits for its session before it takes itself for forgotten.
	sessionWait = time.Minute
	// watchInterval is how often a process looks whether the server that started it still lives.
	watchInterval = time.Second
	// quietIntervals without a new run are idleness.
	quietIntervals = 10
	// runsWait is how long runs may take to end after the session did.
	runsWait = 2 * time.Second
)

// Serve makes a plugin of this process: the whole of main. It returns when the server ends the session.
// With the argument "manifest" the process prints its plugin.json and exits; started by hand it says what it is.
func Serve(p Plugin) {
	description, err := p.Describe()
	if err != nil {
		fmt.Fprintf(os.Stderr, "Plugin %q is not right:\n%v\n", p.Name, err)
		os.Exit(1)
	}
	if wantsManifest() {
		manifest, _ := json.MarshalIndent(p.manifest(), "", "  ") // strings, a number and a bool
		fmt.Fprintf(handshake, "%s\n", manifest)
		return
	}
	if os.Getenv(proto.Handshake.MagicCookieKey) != proto.Handshake.MagicCookieValue {
		fmt.Fprintf(os.Stderr, "This is the Patchbay plugin %q %s. It is started by a Patchbay server: install it with\n\n"+
			"    patchbay plugin install <folder of this program>\n\n", p.Name, p.Version)
		os.Exit(1)
	}
	logger := hclog.New(&hclog.LoggerOptions{
		Name: p.Name, Level: hclog.Trace, Output: os.Stderr, JSONFormat: true,
	}).With("plugin", p.Name)
	s, err := newServer(p, description, logger)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Plugin %q is not right:\n%v\n", p.Name, err)
		os.Exit(1)
	}
	defer runtime.KeepAlive(ballast())
	go s.watch()
	os.Stdout = handshake // go-plugin prints its line there
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  proto.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{proto.Version: {proto.Kind: s}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			s.grpc = grpc.NewServer(append(options,
				grpc.MaxRecvMsgSize(proto.MaxMessage), grpc.MaxSendMsgSize(proto.MaxMessage),
				// Windows of their own size: gRPC would look for a better one by a ping beside nearly every frame.
				grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(4<<20))...)
			return s.grpc
		},
		Logger: logger,
	})
	s.waitForRuns(runsWait)
}

// ballast is memory that counts for the garbage collector, which runs when what lives has doubled: in a plugin with a few
// megabytes, all the time while it works. It is never touched, so that the system gives none for it.
func ballast() []byte { return make([]byte, 8<<20) }

func wantsManifest() bool { return len(os.Args) == 2 && os.Args[1] == "manifest" }
