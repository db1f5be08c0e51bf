package proto_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// version1 is the protocol as the first plugins were built with it. The file must never change.
func version1(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	return file(t, descriptorSet(t))
}

func descriptorSet(t testing.TB) *descriptorpb.FileDescriptorSet {
	t.Helper()
	data, err := os.ReadFile("testdata/version1.binpb")
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := pb.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	return set
}

func file(t testing.TB, set *descriptorpb.FileDescriptorSet) protoreflect.FileDescriptor {
	t.Helper()
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	f, err := files.FindFileByPath("plugin.proto")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Plugins that were built with version 1 work for ever: what is in it stays as it is.
func TestProtocolKeepsWhatVersion1Has(t *testing.T) {
	t.Parallel()
	if err := breaks(version1(t), proto.File_plugin_proto); err != nil {
		t.Errorf("plugin.proto breaks plugins that are there. Fields and messages may only be added:\n%v", err)
	}
}

func TestBreakingChangesAreFound(t *testing.T) {
	t.Parallel()
	find := func(set *descriptorpb.FileDescriptorSet, name string) *descriptorpb.DescriptorProto {
		for _, m := range set.File[0].MessageType {
			if m.GetName() == name {
				return m
			}
		}
		t.Fatalf("there is no message %s", name)
		return nil
	}
	for what, change := range map[string]func(*descriptorpb.FileDescriptorSet){
		"Cancel.run: it is gone": func(s *descriptorpb.FileDescriptorSet) { find(s, "Cancel").Field = nil },
		"Credit.n: its number was 2 and is 7": func(s *descriptorpb.FileDescriptorSet) {
			find(s, "Credit").Field[1].Number = pb.Int32(7)
		},
		"Output.value: it was bytes and is string": func(s *descriptorpb.FileDescriptorSet) {
			find(s, "Output").Field[2].Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
		},
		"Output.pin: it was optional and is repeated": func(s *descriptorpb.FileDescriptorSet) {
			find(s, "Output").Field[1].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		},
		"Done.error: it was of patchbay.plugin.v1.Error and is of patchbay.plugin.v1.Cancel": func(s *descriptorpb.FileDescriptorSet) {
			find(s, "Done").Field[1].TypeName = pb.String(".patchbay.plugin.v1.Cancel")
		},
		"ErrorKind.ERROR_KIND_PANIC: it is gone": func(s *descriptorpb.FileDescriptorSet) {
			for _, e := range s.File[0].EnumType {
				if e.GetName() == "ErrorKind" {
					e.Value = e.Value[:len(e.Value)-1]
				}
			}
		},
		"Plugin.Session: it has other messages": func(s *descriptorpb.FileDescriptorSet) {
			s.File[0].Service[0].Method[2].ServerStreaming = pb.Bool(false)
		},
	} {
		set := descriptorSet(t)
		change(set)
		if err := breaks(version1(t), file(t, set)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s was found as %v", what, err)
		}
	}
}

// breaks says what of an old protocol a later one has lost or changed.
func breaks(old, later protoreflect.FileDescriptor) error {
	var wrong []error
	bad := func(where protoreflect.Descriptor, format string, args ...any) {
		name := strings.TrimPrefix(string(where.FullName()), string(old.Package())+".")
		if _, ok := where.(protoreflect.EnumValueDescriptor); ok { // whose full name leaves its enum out
			name = string(where.Parent().Name()) + "." + string(where.Name())
		}
		wrong = append(wrong, fmt.Errorf("%s: "+format, append([]any{name}, args...)...))
	}
	for i := range old.Messages().Len() {
		m := old.Messages().Get(i)
		now := later.Messages().ByName(m.Name())
		if now == nil {
			bad(m, "it is gone")
			continue
		}
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			g := now.Fields().ByName(f.Name())
			switch {
			case g == nil:
				bad(f, "it is gone")
			case g.Number() != f.Number():
				bad(f, "its number was %d and is %d", f.Number(), g.Number())
			case g.Kind() != f.Kind():
				bad(f, "it was %s and is %s", f.Kind(), g.Kind())
			case g.Cardinality() != f.Cardinality() || g.IsMap() != f.IsMap():
				bad(f, "it was %s and is %s", f.Cardinality(), g.Cardinality())
			case typeName(f) != typeName(g):
				bad(f, "it was of %s and is of %s", typeName(f), typeName(g))
			case oneof(f) != oneof(g):
				bad(f, "it was in the oneof %q and is in %q", oneof(f), oneof(g))
			}
		}
	}
	for i := range old.Enums().Len() {
		e := old.Enums().Get(i)
		now := later.Enums().ByName(e.Name())
		if now == nil {
			bad(e, "it is gone")
			continue
		}
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			if w := now.Values().ByName(v.Name()); w == nil {
				bad(v, "it is gone")
			} else if w.Number() != v.Number() {
				bad(v, "its number was %d and is %d", v.Number(), w.Number())
			}
		}
	}
	for i := range old.Services().Len() {
		s := old.Services().Get(i)
		for j := range s.Methods().Len() {
			m := s.Methods().Get(j)
			now := later.Services().ByName(s.Name()).Methods().ByName(m.Name())
			switch {
			case now == nil:
				bad(m, "it is gone")
			case now.Input().FullName() != m.Input().FullName() || now.Output().FullName() != m.Output().FullName() ||
				now.IsStreamingClient() != m.IsStreamingClient() || now.IsStreamingServer() != m.IsStreamingServer():
				bad(m, "it has other messages")
			}
		}
	}
	return errors.Join(wrong...)
}

func typeName(f protoreflect.FieldDescriptor) protoreflect.FullName {
	switch {
	case f.Message() != nil:
		return f.Message().FullName()
	case f.Enum() != nil:
		return f.Enum().FullName()
	}
	return ""
}

func oneof(f protoreflect.FieldDescriptor) protoreflect.Name {
	if o := f.ContainingOneof(); o != nil {
		return o.Name()
	}
	return ""
}

// recorded is a file of messages of version 1 as they went over the wire, each behind the name of its type: every kind
// of frame, with every field set. RECORD=1 makes it anew, which is for a new version only.
const recorded = "testdata/version1.session"

func TestRecordedMessagesMeanWhatTheyMeant(t *testing.T) {
	t.Parallel()
	old := version1(t)
	if os.Getenv("RECORD") != "" {
		record(t, old)
	}
	data, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	reader, frames := bufio.NewReader(bytes.NewReader(data)), 0
	for {
		name, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		name = strings.TrimSuffix(name, "\n")
		then := dynamicpb.NewMessage(old.Messages().ByName(protoreflect.Name(name)))
		if err := protodelim.UnmarshalFrom(reader, then); err != nil {
			t.Fatal(err)
		}
		raw, err := pb.Marshal(then)
		if err != nil {
			t.Fatal(err)
		}
		kind, err := typeOf(name)
		if err != nil {
			t.Fatal(err)
		}
		now := kind.New().Interface()
		if err := pb.Unmarshal(raw, now); err != nil {
			t.Fatal(err)
		}
		// Seen with the old eyes, what today's code has read and written is what was recorded.
		again, err := pb.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		seen := dynamicpb.NewMessage(then.Descriptor())
		if err := pb.Unmarshal(again, seen); err != nil {
			t.Fatal(err)
		}
		if !pb.Equal(then, seen) {
			t.Errorf("frame %d, a %s, was\n%v\nand is\n%v", frames+1, name, then, seen)
		}
		unknown(t, now.ProtoReflect())
		frames++
	}
	if frames < 30 {
		t.Errorf("%d frames are recorded", frames)
	}
}

func typeOf(name string) (protoreflect.MessageType, error) {
	for i := range proto.File_plugin_proto.Messages().Len() {
		if m := proto.File_plugin_proto.Messages().Get(i); string(m.Name()) == name {
			return dynamicpb.NewMessageType(m), nil
		}
	}
	return nil, fmt.Errorf("there is no message %s", name)
}

// unknown finds fields that today's messages have not.
func unknown(t *testing.T, m protoreflect.Message) {
	t.Helper()
	if len(m.GetUnknown()) > 0 {
		t.Errorf("a field of %s is not known any more", m.Descriptor().Name())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				unknown(t, v.List().Get(i).Message())
			}
		default:
			unknown(t, v.Message())
		}
		return true
	})
}

func record(t *testing.T, old protoreflect.FileDescriptor) {
	t.Helper()
	var out bytes.Buffer
	service := old.Services().Get(0)
	for i := range service.Methods().Len() {
		for _, d := range []protoreflect.MessageDescriptor{service.Methods().Get(i).Input(), service.Methods().Get(i).Output()} {
			for choice := range max(1, choices(d)) {
				m := dynamicpb.NewMessage(d)
				fill(m, choice, 4)
				fmt.Fprintln(&out, d.Name())
				if _, err := protodelim.MarshalTo(&out, m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, name := range []protoreflect.Name{"Start", "Credential", "ProviderCall", "Call", "Reply"} { // what has a choice within
		d := old.Messages().ByName(name)
		for choice := range max(1, choices(d)) {
			m := dynamicpb.NewMessage(d)
			fill(m, choice, 4)
			fmt.Fprintln(&out, d.Name())
			if _, err := protodelim.MarshalTo(&out, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(recorded, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// choices is how many fields the oneof of a message has; 0: there is none.
func choices(d protoreflect.MessageDescriptor) int {
	if d.Oneofs().Len() == 0 {
		return 0
	}
	return d.Oneofs().Get(0).Fields().Len()
}

// fill sets every field, of a oneof the one that was chosen, down to a depth.
func fill(m protoreflect.Message, choice, depth int) {
	if depth == 0 {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if o := f.ContainingOneof(); o != nil && o.Fields().Get(choice%o.Fields().Len()) != f {
			continue
		}
		switch {
		case f.IsMap():
			value := protoreflect.ValueOfString("v")
			if f.MapValue().Kind() == protoreflect.Int64Kind {
				value = protoreflect.ValueOfInt64(-1 << 40)
			}
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), value)
		case f.IsList() && f.Message() != nil:
			v := m.Mutable(f).List().AppendMutable()
			fill(v.Message(), choice, depth-1)
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), choice, depth-1)
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	n := int64(f.Number())
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number())
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(1<<31 + n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(1<<62 + n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(-(1<<50 + n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) + 0.5)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(fmt.Appendf(nil, "{%q:%d}", f.Name(), n))
	default:
		return protoreflect.ValueOfString(fmt.Sprintf("%s %d ü", f.Name(), n))
	}
}
