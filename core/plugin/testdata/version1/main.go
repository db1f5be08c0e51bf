// Version1 is a plugin as it was built with the first version of the protocol: it knows the messages from the description
// that was kept of that, version1.binpb, and nothing of the SDK. Its block turns text around.
package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

//go:embed version1.binpb
var descriptor []byte

var file = func() protoreflect.FileDescriptor {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(descriptor, set); err != nil {
		panic(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		panic(err)
	}
	f, err := files.FindFileByPath("plugin.proto")
	if err != nil {
		panic(err)
	}
	return f
}()

// message is one of version 1, by name.
type message struct{ *dynamicpb.Message }

func newMessage(name protoreflect.Name) message {
	return message{dynamicpb.NewMessage(file.Messages().ByName(name))}
}

func (m message) field(name string) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(protoreflect.Name(name))
}

func (m message) with(name string, value any) message {
	if sub, ok := value.(message); ok {
		value = sub.Message
	}
	m.Set(m.field(name), protoreflect.ValueOf(value))
	return m
}

func (m message) get(name string) protoreflect.Value { return m.Get(m.field(name)) }

func main() {
	if os.Getenv("PATCHBAY_PLUGIN") == "" {
		fmt.Fprintln(os.Stderr, "a plugin for tests")
		os.Exit(1)
	}
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "version1.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	unary := func(request string, answer func() message) func(any, grpc.ServerStream) error {
		return func(_ any, stream grpc.ServerStream) error {
			if err := stream.RecvMsg(newMessage(protoreflect.Name(request)).Message); err != nil {
				return err
			}
			return stream.SendMsg(answer().Message)
		}
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "patchbay.plugin.v1.Plugin", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{
			{StreamName: "Describe", Handler: unary("DescribeRequest", describe)},
			{StreamName: "Configure", Handler: unary("ConfigureRequest", func() message { return newMessage("ConfigureResponse") })},
			{StreamName: "Session", Handler: session, ServerStreams: true, ClientStreams: true},
		},
	}, struct{}{})
	fmt.Printf("1|1|unix|%s|grpc|\n", path)
	if err := server.Serve(listener); err != nil {
		panic(err)
	}
}

func describe() message {
	schema := []byte(`{"type":"object","properties":{"text":{"type":"string"}}}`)
	block := newMessage("BlockDescription").with("id", "dddddddd-0000-4000-8000-000000000001").with("name", "Turn Around").
		with("input_schema", schema).with("output_schema", schema)
	d := newMessage("DescribeResponse").with("name", "version1").with("version", "1.0.0").with("protocol_version", uint32(1))
	d.Mutable(d.field("blocks")).List().Append(protoreflect.ValueOfMessage(block.Message))
	return d
}

// session answers each run at once: with the text turned around, or with an error where there is none.
func session(_ any, stream grpc.ServerStream) error {
	defer os.Exit(0)
	for {
		request := newMessage("SessionRequest")
		if err := stream.RecvMsg(request.Message); err != nil {
			return err
		}
		if !request.Has(request.field("start")) {
			continue
		}
		start := message{request.get("start").Message().Interface().(*dynamicpb.Message)}
		run := start.get("run").Uint()
		var input struct{ Text string }
		done := newMessage("Done").with("run", run)
		if err := json.Unmarshal(start.get("input").Bytes(), &input); err != nil || input.Text == "" {
			done.with("error", newMessage("Error").with("kind", protoreflect.EnumNumber(2)).with("message", "there is no text"))
		} else {
			letters := []rune(input.Text)
			slices.Reverse(letters)
			value, _ := json.Marshal(string(letters)) // a string
			output := newMessage("Output").with("run", run).with("pin", "text").with("value", value)
			if err := stream.SendMsg(newMessage("SessionResponse").with("output", output).Message); err != nil {
				return err
			}
		}
		if err := stream.SendMsg(newMessage("SessionResponse").with("done", done).Message); err != nil {
			return err
		}
	}
}
