// Faulty speaks the plugin protocol by hand, with the one fault that the name of its executable tells: none for
// faulty_none.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func main() {
	fault := strings.TrimPrefix(filepath.Base(os.Args[0]), "faulty_")
	if fault == "hand" && os.Getenv(proto.Handshake.MagicCookieKey) == "" {
		return
	}
	out := os.Stdout
	if fault == "greets" {
		fmt.Println("welcome to my plugin")
	}
	limit := proto.MaxMessage
	if fault == "small" {
		limit = 4 << 20
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  proto.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{proto.Version: {proto.Kind: &faulty{fault: fault, stdout: out}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit))...)
		},
	})
}

type faulty struct {
	goplugin.NetRPCUnsupportedPlugin
	proto.UnimplementedPluginServer
	fault  string
	stdout *os.File

	mu        sync.Mutex
	described int
	kept      [][]byte
	runs      map[uint64]*run
	one       sync.Mutex // with the fault "serial"
	send      sync.Mutex
}

type run struct {
	credit    chan struct{}
	cancelled chan struct{}
}

func (f *faulty) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterPluginServer(s, f)
	return nil
}

func (f *faulty) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (f *faulty) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.described++
	schema := `{"type":"object","properties":{"text":{"type":"string"}}}`
	example := &proto.Example{Input: []byte(`{"text":"hi"}`), Outputs: []*proto.PinValue{{Pin: "text", Value: []byte(`"hi"`)}, {Pin: "text", Value: []byte(`"hi"`)}}}
	d := &proto.DescribeResponse{
		Name: "faulty_" + f.fault, Version: "1.0.0", ProtocolVersion: 1,
		Blocks: []*proto.BlockDescription{
			{Id: "eeeeeeee-0000-4000-8000-000000000001", Name: "Twice", InputSchema: []byte(schema), OutputSchema: []byte(schema), Examples: []*proto.Example{example}},
			{
				Id: "eeeeeeee-0000-4000-8000-000000000002", Name: "Secretive", OutputSchema: []byte(schema),
				InputSchema: []byte(`{"type":"object","properties":{"credentials":{"type":"object"}}}`),
				Credentials: []*proto.CredentialsField{{Pin: "credentials", Providers: []string{"acme"}, Types: []string{"api_key"}}},
			},
		},
	}
	switch {
	case f.fault == "changes" && f.described > 1:
		d.Description = "otherwise"
	case f.fault == "misfit":
		example.Input = []byte(`{"text":1}`)
	case f.fault == "pins":
		example.Input = []byte(`{"text":"hi","nosuch":1}`)
	case f.fault == "option": // a wrong example of a block that runs without credentials too
		d.Blocks[0].InputSchema = []byte(`{"type":"object","properties":{"text":{"type":"string"},"credentials":{"type":"object"}}}`)
		d.Blocks[0].Credentials = []*proto.CredentialsField{{Pin: "credentials", Providers: []string{"acme"}, Types: []string{"api_key"}, Optional: true}}
		example.Outputs[1].Value = []byte(`"ho"`)
	case f.fault == "example":
		example.Outputs[1].Value = []byte(`"ho"`)
	}
	return d, nil
}

func (f *faulty) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	return &proto.ConfigureResponse{}, nil
}

func (f *faulty) Session(stream proto.Plugin_SessionServer) error {
	f.runs = map[uint64]*run{}
	if f.fault == "orphan" {
		if err := exec.Command("sleep", "60").Start(); err != nil {
			return err
		}
	}
	go func() {
		<-stream.Context().Done()
		if f.fault != "stays" {
			os.Exit(0)
		}
	}()
	for {
		request, err := stream.Recv()
		if err != nil {
			if f.fault == "stays" {
				select {}
			}
			return err
		}
		f.mu.Lock()
		switch frame := request.Frame.(type) {
		case *proto.SessionRequest_Start:
			r := &run{credit: make(chan struct{}, 1<<4), cancelled: make(chan struct{})}
			f.runs[frame.Start.Run] = r
			r.allow(frame.Start.Credit)
			go f.run(stream, frame.Start, r)
		case *proto.SessionRequest_Credit:
			if r := f.runs[frame.Credit.Run]; r != nil {
				r.allow(frame.Credit.N)
			}
		case *proto.SessionRequest_Cancel:
			if r := f.runs[frame.Cancel.Run]; r != nil && f.fault != "cancel" {
				close(r.cancelled)
				delete(f.runs, frame.Cancel.Run)
			}
		case nil:
			if f.fault == "strict" {
				os.Exit(3)
			}
		}
		f.mu.Unlock()
	}
}

func (r *run) allow(n uint32) {
	for range min(n, 4) { // it never sends more
		r.credit <- struct{}{}
	}
}

func (f *faulty) run(stream proto.Plugin_SessionServer, start *proto.Start, r *run) {
	if f.fault == "serial" {
		f.one.Lock()
		defer f.one.Unlock()
	}
	done := &proto.Done{Run: start.Run}
	text := strings.TrimSuffix(strings.TrimPrefix(string(start.Input), `{"text":`), "}")
	fail := func(kind proto.ErrorKind, message string) { done.Error = &proto.Error{Kind: kind, Message: message} }
	switch {
	case start.Block == "eeeeeeee-0000-4000-8000-000000000002":
		switch {
		case len(start.Credentials) == 0 && f.fault == "open":
		case len(start.Credentials) == 0:
			fail(proto.ErrorKind_ERROR_KIND_AUTHENTICATION, "credentials are missing")
		case f.fault == "secret":
			fail(proto.ErrorKind_ERROR_KIND_PERMANENT, "the key "+start.Credentials[0].GetApiKey().GetKey()+" is bad")
		}
	case start.Block != "eeeeeeee-0000-4000-8000-000000000001", !strings.HasPrefix(text, `"`):
		if f.fault == "crash" {
			os.Exit(3)
		}
		fail(proto.ErrorKind_ERROR_KIND_INVALID_INPUT, "no such thing")
	default:
		for range 2 {
			if f.fault != "credit" {
				select {
				case <-r.credit:
				case <-r.cancelled:
					fail(proto.ErrorKind_ERROR_KIND_CANCELLED, "cancelled")
				}
			}
			if done.Error == nil {
				f.frame(stream, &proto.SessionResponse{Frame: &proto.SessionResponse_Output{Output: &proto.Output{Run: start.Run, Pin: "text", Value: []byte(text)}}})
			}
		}
	}
	switch f.fault {
	case "leaks":
		kept := make([]byte, 16<<10)
		for i := range kept {
			kept[i] = 1
		}
		f.mu.Lock()
		f.kept = append(f.kept, kept)
		f.mu.Unlock()
	case "prints":
		fmt.Fprintln(f.stdout, "a run has ended")
	}
	f.mu.Lock()
	delete(f.runs, start.Run)
	f.mu.Unlock()
	f.frame(stream, &proto.SessionResponse{Frame: &proto.SessionResponse_Done{Done: done}})
	if f.fault == "late" {
		f.frame(stream, &proto.SessionResponse{Frame: &proto.SessionResponse_Done{Done: done}})
	}
}

func (f *faulty) frame(stream proto.Plugin_SessionServer, response *proto.SessionResponse) {
	f.send.Lock()
	defer f.send.Unlock()
	_ = stream.Send(response)
}
