// Rawplugin speaks the plugin protocol by hand and answers with frames that no SDK would send. Its name is that of its
// executable.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// raw answers the host with frames that no SDK would send.
type raw struct {
	goplugin.NetRPCUnsupportedPlugin
	proto.UnimplementedPluginServer
	name string
}

func main() {
	name := filepath.Base(os.Args[0])
	if name == "raw_stray" {
		fmt.Println("welcome to my plugin")
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  proto.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{proto.Version: {proto.Kind: &raw{name: name}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(proto.MaxMessage), grpc.MaxSendMsgSize(math.MaxInt32))...)
		},
	})
}

func (r *raw) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterPluginServer(s, r)
	return nil
}

func (r *raw) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (r *raw) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	schema := []byte(`{"type":"object","properties":{"output":{}}}`)
	block := &proto.BlockDescription{
		Id: "bbbbbbbb-0000-4000-8000-000000000001", Name: "Raw", InputSchema: schema, OutputSchema: schema,
	}
	d := &proto.DescribeResponse{
		Name: r.name, Version: "1.0.0", ProtocolVersion: 1, Blocks: []*proto.BlockDescription{block}, BulkValues: true,
	}
	switch r.name {
	case "raw_liar":
		d.Name, d.Version, d.ProtocolVersion = "somebody_else", "2.0.0", 7
		block.Id, block.InputSchema = "no-uuid", []byte(`{"type":`)
		d.Settings = []*proto.SettingDescription{{Name: "Bad Name"}}
	case "raw_small":
		d.BulkValues = false
	case "raw_slow":
		time.Sleep(time.Hour)
	}
	return d, nil
}

func (r *raw) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	return &proto.ConfigureResponse{}, nil
}

func (r *raw) Put(stream proto.Plugin_PutServer) error {
	for {
		if _, err := stream.Recv(); err == io.EOF {
			return stream.SendAndClose(&proto.PutResponse{})
		} else if err != nil {
			return err
		}
	}
}

// Fetch gives ten bytes of JSON whatever it is asked for.
func (r *raw) Fetch(_ *proto.FetchRequest, stream proto.Plugin_FetchServer) error {
	return stream.Send(&proto.FetchResponse{Piece: []byte(`"12345678"`)})
}

func (r *raw) Session(stream proto.Plugin_SessionServer) error {
	go func() {
		<-stream.Context().Done()
		os.Exit(0)
	}()
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		if start := request.GetStart(); start != nil {
			var in struct{ Mode string }
			_ = json.Unmarshal(start.Input, &in)
			r.answer(stream, start.Run, in.Mode)
		}
	}
}

func output(run uint64, value string) *proto.SessionResponse {
	return &proto.SessionResponse{Frame: &proto.SessionResponse_Output{
		Output: &proto.Output{Run: run, Pin: "output", Value: []byte(value)},
	}}
}

func done(run uint64) *proto.SessionResponse {
	return &proto.SessionResponse{Frame: &proto.SessionResponse_Done{Done: &proto.Done{Run: run}}}
}

func bulk(run, size uint64) *proto.SessionResponse {
	return &proto.SessionResponse{Frame: &proto.SessionResponse_Output{
		Output: &proto.Output{Run: run, Pin: "output", Bulk: "it", BulkSize: size},
	}}
}

// call asks for a key under a number.
func call(run, number uint64) *proto.SessionResponse {
	return &proto.SessionResponse{Frame: &proto.SessionResponse_Call{Call: &proto.Call{
		Run: run, Number: number, Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Key: "k"}},
	}}}
}

func (r *raw) answer(stream proto.Plugin_SessionServer, run uint64, mode string) {
	frames := []*proto.SessionResponse{}
	switch mode {
	case "invalid":
		frames = append(frames, output(run, `{"a":`), done(run))
	case "empty":
		frames = append(frames, output(run, ""), done(run))
	case "utf8":
		frames = append(frames, output(run, "\"\xff\""), done(run))
	case "deep":
		frames = append(frames, output(run, strings.Repeat("[", 1<<20)), done(run))
	case "pin":
		o := output(run, "1")
		o.GetOutput().Pin = "nosuch"
		frames = append(frames, o, done(run))
	case "tool":
		o := output(run, "1")
		o.GetOutput().Pin = "output_$_0"
		frames = append(frames, o, done(run))
	case "unknown":
		frames = append(frames, output(run+1000, "1"))
	case "twice":
		frames = append(frames, done(run), done(run))
	case "late":
		frames = append(frames, done(run), output(run, "1"))
	case "overrun": // a little more than it may
		for range 70 {
			frames = append(frames, output(run, "1"))
		}
	case "flood": // as much as it can
		for {
			if stream.Send(output(run, "1")) != nil {
				return
			}
		}
	case "big": // more bytes than the host will hold, within its credit
		for range 40 {
			frames = append(frames, output(run, `"`+strings.Repeat("z", 8<<20)+`"`))
		}
		frames = append(frames, done(run))
	case "bulk":
		frames = append(frames, bulk(run, 10), done(run))
	case "bulkshort":
		frames = append(frames, bulk(run, 11), done(run))
	case "bulklong":
		frames = append(frames, bulk(run, 9), done(run))
	case "bulkhuge":
		frames = append(frames, bulk(run, 1<<60), done(run))
	case "call": // and does not wait for the answer
		frames = append(frames, call(run, 1), call(run, 7), done(run))
	case "callunknown":
		c := call(run, 1)
		c.GetCall().Service = nil
		frames = append(frames, c, done(run))
	case "callclose":
		for n := range uint64(1000) {
			c := call(run, n+1)
			c.GetCall().Service = &proto.Call_Close{Close: &proto.Close{Handle: n}}
			frames = append(frames, c)
		}
		frames = append(frames, done(run))
	case "callback": // numbers must grow
		frames = append(frames, call(run, 2), call(run, 2))
	case "calllate":
		frames = append(frames, done(run), call(run, 1))
	case "callstranger":
		frames = append(frames, call(run+1000, 1))
	case "callmany":
		for n := range uint64(17) {
			frames = append(frames, call(run, n+1))
		}
	case "calllarge":
		c := call(run, 1)
		c.GetCall().Service = &proto.Call_SetKey{SetKey: &proto.SetKey{Value: make([]byte, proto.MaxCall)}}
		frames = append(frames, c)
	case "nothing":
		frames = append(frames, &proto.SessionResponse{}, done(run))
	case "log":
		for range 3 {
			frames = append(frames, &proto.SessionResponse{Frame: &proto.SessionResponse_Log{Log: &proto.Log{
				Run: run, Level: "warn", Message: "from the frame\x00", Fields: map[string]string{"plugin": "fake", "n": "1"},
			}}})
		}
		frames = append(frames, done(run))
	case "stderr": // would make go-plugin's own reader panic
		_, _ = os.Stderr.WriteString("{\"@message\":1,\"@level\":2}\n")
		frames = append(frames, done(run))
	case "message": // larger than the host accepts
		frames = append(frames, output(run, `"`+strings.Repeat("z", proto.MaxMessage)+`"`))
	}
	for _, f := range frames {
		if stream.Send(f) != nil {
			return
		}
	}
}
