package sdk

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

type mixed struct {
	Raw   json.RawMessage            `json:"raw" default:"[ 1 ]"`
	Any   any                        `json:"any"`
	Text  string                     `json:"text" default:"hello"`
	Count int64                      `json:"count" default:"7"`
	Maybe *float64                   `json:"maybe" default:"0.5"`
	List  []string                   `json:"list"`
	Map   map[string]json.RawMessage `json:"map" default:"{\"k\": 1}"`
	common2
}

type common2 struct {
	Flag bool `json:"flag" default:"true"`
}

func decodeMixed(input string) (mixed, error) {
	p, err := inputOf(reflect.TypeFor[mixed]())
	if err != nil {
		return mixed{}, err
	}
	var in mixed
	err = p.decode(json.RawMessage(input), nil, reflect.ValueOf(&in).Elem())
	return in, err
}

func TestDecode(t *testing.T) {
	t.Parallel()
	half, two := 0.5, 2.0
	defaults := mixed{
		Raw: json.RawMessage(`[ 1 ]`), Text: "hello", Count: 7, Maybe: &half, List: []string{},
		Map: map[string]json.RawMessage{"k": json.RawMessage("1")}, common2: common2{Flag: true},
	}
	with := func(change func(*mixed)) mixed {
		m := defaults
		change(&m)
		return m
	}
	tests := []struct {
		input string
		want  mixed
	}{
		{`{}`, defaults},
		{` { "unknown" : 1, "TEXT": "another key" } `, defaults},
		{`{"text":null,"maybe":null,"flag":null,"raw":null}`, defaults},
		{`{"raw": {"b":1 , "a":1e400} }`, with(func(m *mixed) { m.Raw = json.RawMessage(`{"b":1 , "a":1e400}`) })},
		{`{"any":12345678901234567890}`, with(func(m *mixed) { m.Any = json.Number("12345678901234567890") })},
		{`{"text":"","count":0,"flag":false,"list":[],"map":{"a":2}}`, with(func(m *mixed) {
			m.Text, m.Count, m.Flag, m.Map = "", 0, false, map[string]json.RawMessage{"a": json.RawMessage("2")}
		})},
		{`{"maybe":2,"list":["x"]}`, with(func(m *mixed) { m.Maybe, m.List = &two, []string{"x"} })},
	}
	for _, test := range tests {
		got, err := decodeMixed(test.input)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", test.input, got, err, test.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ input, want string }{
		{`[]`, "the input is not a JSON object"},
		{`null`, "the input is not a JSON object"},
		{`{"text":"a"} x`, "the input is not a JSON object"},
		{`{"text":1}`, `pin "text": expects a string, got a number`},
		{`{"count":1.5}`, `pin "count": expects an integer, got number 1.5`},
		{`{"maybe":1e400}`, `pin "maybe": the number 1e400 is too large, or too small`},
		{`{"count":99999999999999999999}`, `pin "count": the number 99999999999999999999 is too large, or too small`},
		{`{"list":{}}`, `pin "list": expects a list, got an object`},
		{`{"list":[true]}`, `pin "list": expects a string, got a boolean`},
	}
	for _, test := range tests {
		_, err := decodeMixed(test.input)
		var e *Error
		if !errors.As(err, &e) || e.Kind != proto.ErrorKind_ERROR_KIND_INVALID_INPUT || e.Message != test.want {
			t.Errorf("%s: error %v, want %q", test.input, err, test.want)
		}
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	t.Parallel()
	first, err := decodeMixed(`{}`)
	if err != nil {
		t.Fatal(err)
	}
	first.Raw[0], first.Map["new"] = 'x', nil
	second, err := decodeMixed(`{}`)
	if err != nil || string(second.Raw) != "[ 1 ]" || len(second.Map) != 1 {
		t.Errorf("a block changed the default of the next run: %+v, %v", second, err)
	}
}

func TestWholeInput(t *testing.T) {
	t.Parallel()
	p, err := inputOf(reflect.TypeFor[json.RawMessage]())
	if err != nil {
		t.Fatal(err)
	}
	var in json.RawMessage
	if err := p.decode(json.RawMessage(`{"b":1, "a":2}`), nil, reflect.ValueOf(&in).Elem()); err != nil || string(in) != `{"b":1, "a":2}` {
		t.Errorf("got %s, %v", in, err)
	}
	if err := p.decode(json.RawMessage(`7`), nil, reflect.ValueOf(&in).Elem()); err == nil {
		t.Error("a number was taken for an input")
	}
}

// FuzzDecode: whatever comes, decoding neither panics nor changes the bytes of a raw pin.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"raw": [1, 2] ,"any":{"a":[]}}`, `{"text":"\ud800","count":9e9}`, `{"list":[null],"map":{"":0}}`, "\xff", `{"raw":1,"raw":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		p, err := inputOf(reflect.TypeFor[mixed]())
		if err != nil {
			t.Fatal(err)
		}
		var in mixed
		err = p.decode(input, nil, reflect.ValueOf(&in).Elem())
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Kind != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
				t.Fatalf("%q: the error %v is not about the input", input, err)
			}
			return
		}
		if !json.Valid(in.Raw) {
			t.Fatalf("%q: the raw pin is %q", input, in.Raw)
		}
		var pins map[string]json.RawMessage
		if err := json.Unmarshal(input, &pins); err != nil {
			t.Fatalf("%q was decoded and is no object: %v", input, err)
		}
		if raw, ok := pins["raw"]; ok && string(raw) != "null" && string(raw) != string(in.Raw) {
			t.Fatalf("%q: the raw pin became %q", input, in.Raw)
		}
	})
}
