package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEncode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		value any
		want  string
	}{
		{json.RawMessage(` {"a" : "<" , "a":1e400} `), ` {"a" : "<" , "a":1e400} `},
		{json.RawMessage(nil), `null`},
		{[]json.RawMessage{json.RawMessage(`{"a": 1}`), nil}, `[{"a": 1},null]`},
		{[]json.RawMessage(nil), `[]`},
		{"<é>\u2028", `"<é>\u2028"`},
		{map[string]any{"b": 1, "a": "&"}, `{"a":"&","b":1}`},
		{json.Number("12345678901234567890"), `12345678901234567890`},
		{nil, `null`},
	}
	for _, test := range tests {
		if got, err := encode(test.value); err != nil || string(got) != test.want {
			t.Errorf("%v: got %s, %v; want %s", test.value, got, err, test.want)
		}
	}
	for _, value := range []any{json.RawMessage(`{`), json.RawMessage(``), math.NaN(), func() {}, []json.RawMessage{json.RawMessage("x")}} {
		if got, err := encode(value); err == nil {
			t.Errorf("%v was encoded as %s", value, got)
		}
	}
}

func TestOutputSchema(t *testing.T) {
	t.Parallel()
	outputs := Outputs{
		Out("z", String("Text")), Out("any", Any("")), Out("i", Integer("")), Out("n", Number("")), Out("b", Boolean("")),
		Out("l", List("Lines", String(""))), Out("m", Map("", Any(""))), Out("mm", Map("", List("", Type{}))), Out("s", Schema(`{"const": 1}`)),
	}
	got, err := outputs.schema()
	want := `{"type":"object","properties":{"z":{"type":"string","description":"Text"},"any":{},"i":{"type":"integer"},"n":{"type":"number"},"b":{"type":"boolean"},` +
		`"l":{"type":"array","items":{"type":"string"},"description":"Lines"},"m":{"type":"object","additionalProperties":true},` +
		`"mm":{"type":"object","additionalProperties":{"type":"array","items":{}}},"s":{"const": 1}}}`
	if err != nil || string(got) != want {
		t.Errorf("\ngot  %s, %v\nwant %s", got, err, want)
	}
}

// testID is all but the end of an id.
const testID = "11111111-2222-3333-4444-5555555555"

type empty struct{}

func valid() Block[empty] {
	return Block[empty]{ID: testID + "01", Name: "One", Outputs: Outputs{Out("output", Any(""))}, Run: func(context.Context, empty, Emitter) error { return nil }}
}

func TestWhatIsWrongWithAPluginIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	change := func(f func(*Block[empty])) Block[empty] {
		b := valid()
		f(&b)
		return b
	}
	plugin := Plugin{Name: "My Plugin", Version: "1", Settings: []PluginSetting{{Name: "Key"}}, Blocks: Blocks(
		valid(), valid(),
		change(func(b *Block[empty]) { b.ID = "" }),
		change(func(b *Block[empty]) { b.Run = nil }),
		change(func(b *Block[empty]) { b.Traits = Pure | Once }),
		change(func(b *Block[empty]) { b.InputSchema = json.RawMessage("[]") }),
		change(func(b *Block[empty]) { b.Outputs = append(b.Outputs, Out("output", Any(""))) }),
		change(func(b *Block[empty]) { b.Outputs = Outputs{Out("x", Schema("1"))} }),
		change(func(b *Block[empty]) { b.Examples = []Example{{Input: "1", Output: "{}"}} }),
		change(func(b *Block[empty]) { b.Examples = []Example{{Input: "{}", Output: `{"output":1}`}} }),
		change(func(b *Block[empty]) { b.Examples = []Example{{Input: "{}", Output: `[1]`}} }),
		change(func(b *Block[empty]) { b.Examples = []Example{{Input: `{"nosuch":1}`, Output: `{}`}} }),
		change(func(b *Block[empty]) { b.Examples = []Example{{Input: `{}`, Output: `{"nowhere":[1]}`}} }),
	)}
	_, err := plugin.Describe()
	if err == nil {
		t.Fatal("nothing was found")
	}
	for _, want := range []string{
		`plugin name "My Plugin"`, `plugin version "1"`, `setting "Key"`, `has the id of block "One"`, "is not a UUID", "no Run", "Pure and Once",
		"InputSchema", "declared twice", "its schema is not a JSON object", "Input is not a JSON object", "does not have a list of values", "not a list of pairs",
		`no input pin "nosuch"`, `no output pin "nowhere"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in\n%v", want, err)
		}
	}
}

type recorder struct{ values []Value }

func (r *recorder) Emit(pin string, value any) error {
	r.values = append(r.values, Value{pin, value.(json.RawMessage)})
	return nil
}
func (*recorder) Progress(Progress) {}

func TestExecute(t *testing.T) {
	t.Parallel()
	b := valid()
	b.Outputs = append(b.Outputs, Out("tools", Any("")))
	b.Run = func(ctx context.Context, _ empty, out Emitter) error {
		if err := out.Emit("tools_^_search_~_query", RunFrom(ctx).Input); err != nil {
			return err
		}
		return out.Emit("otput", 1)
	}
	out := &recorder{}
	err := Execute(t.Context(), b, json.RawMessage(`{"x": 1}`), out)
	if err == nil || err.Error() != `block "One" has no output pin "otput"` {
		t.Errorf("the typing error gave %v", err)
	}
	if len(out.values) != 1 || string(out.values[0].Value) != `{"x": 1}` {
		t.Errorf("outputs %s", out.values)
	}
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	b := valid()
	b.Run = func(context.Context, empty, Emitter) error { panic(errors.New("boom")) }
	err := Execute(t.Context(), b, json.RawMessage(`{}`), &recorder{})
	var panicked *panicError
	if !errors.As(err, &panicked) || err.Error() != "panic: boom" {
		t.Fatalf("error %v", err)
	}
	if first, _, _ := strings.Cut(panicked.stack, "\n"); !strings.Contains(first, "TestPanicIsAnError") {
		t.Errorf("the stack begins with %s", first)
	}
}

func TestMembersKeepTheirBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		object string
		want   []member
	}{
		{` { } `, nil},
		{`{"a":1}`, []member{{"a", json.RawMessage(`1`)}}},
		{"{ \"b\" :\t-1e400 , \"a\\u0022\": [ {\"x\":\"]}\\\\\"} , \"\\\"\" ]\n,\"b\":true,\"\":null}", []member{
			{"b", json.RawMessage(`-1e400`)}, {`a"`, json.RawMessage(`[ {"x":"]}\\"} , "\"" ]`)}, {"b", json.RawMessage(`true`)}, {"", json.RawMessage(`null`)},
		}},
		{`{"o":{"p":{}},"s":"}"}`, []member{{"o", json.RawMessage(`{"p":{}}`)}, {"s", json.RawMessage(`"}"`)}}},
	}
	for _, test := range tests {
		got, err := membersOf([]byte(test.object))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s\ngot  %s, %v\nwant %s", test.object, got, err, test.want)
		}
	}
	for _, text := range []string{``, `[]`, `{`, `{"a":1} 2`, `"{}"`} {
		if got, err := membersOf([]byte(text)); err == nil {
			t.Errorf("%s was split into %s", text, got)
		}
	}
}

// FuzzValid compares with encoding/json.
func FuzzValid(f *testing.F) {
	for _, seed := range []string{`{"a":"plain","b\u0041":["\\n\"",1]}`, `"\u00"`, `"\`, `"\x"`, "\"\x01\"", `"open`, `"a""b"`, ``, "\"\xff\"", `"\u12"34"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := isJSON(text), json.Valid(text); got != want {
			t.Fatalf("%q: %t, encoding/json says %t", text, got, want)
		}
	})
}

// FuzzMembers compares the split with encoding/json's.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,{"b":"\\\""}] , "c" : -0.1e5}`, `{"a":{},"a":"}"}`, `{"\u0041":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		var want map[string]json.RawMessage
		err := json.Unmarshal(object, &want)
		got, gotErr := membersOf(object)
		if (err == nil && want != nil) != (gotErr == nil) {
			t.Fatalf("%q: error %v, encoding/json says %v", object, gotErr, err)
		}
		if gotErr != nil || !utf8.Valid(object) { // encoding/json replaces broken UTF-8 in keys
			return
		}
		last := map[string]json.RawMessage{}
		for _, m := range got {
			last[m.key] = m.value
		}
		if len(last)+len(want) > 0 && !reflect.DeepEqual(last, want) {
			t.Fatalf("%q: got %s, encoding/json says %s", object, last, want)
		}
	})
}
