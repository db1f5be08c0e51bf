package block

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// pinOf compiles one pin.
func pinOf(t testing.TB, schema string) *Pin {
	t.Helper()
	b, err := New(Definition{
		ID: "6f3d1ad5-5f1c-4d9e-8a77-1f1c2f0f7d11", Name: "Test", Kind: Standard,
		InputSchema:  json.RawMessage(`{"type":"object","$defs":{"Mode":{"enum":["x","y"]},"Tree":{"type":"array","items":{"$ref":"#/$defs/Tree"}}},"properties":{"p/~ %":` + schema + `}}`),
		OutputSchema: json.RawMessage(`{"type":"object"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := b.Input("p/~ %")
	if !ok {
		t.Fatal("the pin is gone")
	}
	return p
}

const (
	text     = `{"type":"string"}`
	integer  = `{"type":"integer"}`
	number   = `{"type":"number"}`
	yes      = `{"type":"boolean"}`
	anyList  = `{"type":"array"}`
	integers = `{"type":"array","items":{"type":"integer"}}`
	anyMap   = `{"type":"object"}`
	textMap  = `{"type":"object","additionalProperties":{"type":"string"}}`
	optional = `{"anyOf":[{"type":"string"},{"type":"null"}]}`
)

func TestCoercion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, in, want string }{
		// Nothing to do.
		{`{}`, ` {"b":1, "a":1e400}`, ` {"b":1, "a":1e400}`},
		{`true`, `5`, `5`},
		{text, `"\u0000"`, `"\u0000"`},
		{integer, `12345678901234567890`, `12345678901234567890`},
		{number, `12345678901234567890`, `12345678901234567890`},
		{number, `1e400`, `1e400`},
		{text, `null`, `null`},
		{anyMap, `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{integers, `[1, 2 ,3]`, `[1, 2 ,3]`},
		// To string.
		{text, `5`, `"5"`},
		{text, `true`, `"true"`},
		{text, `{"a":1}`, `"{\"a\": 1}"`},
		{text, `{ "a" : [1,2] , "b":{} }`, `"{\"a\": [1, 2], \"b\": {}}"`},
		{text, `["é","😀","\/","a,b:c","\""]`, `"[\"\\u00e9\", \"\\ud83d\\ude00\", \"/\", \"a,b:c\", \"\\\"\"]"`},
		{text, `["\u00e9\ud83d\ude00\ud83d\u0000\u0041"]`, `"[\"\\u00e9\\ud83d\\ude00\\ud83d\\u0000A\"]"`},
		{text, `12345678901234567890`, `"12345678901234567890"`},
		// To integer.
		{integer, `[1,2,3]`, `3`},
		{integer, `{"a":1,"b":[1,2]}`, `2`},
		{integer, `[]`, `0`},
		{integer, `"3.7"`, `3`},
		{integer, `"-3.7"`, `-3`},
		{integer, `3.9`, `3`},
		{integer, `-0.5`, `0`},
		{integer, `3.0`, `3`},
		{integer, `1e3`, `1000`},
		{integer, `1.5e1`, `15`},
		{integer, `1e400`, `1e400`},
		{integer, `1e999999999999`, `1e999999999999`},
		{integer, `" 12345678901234567890 "`, `12345678901234567890`},
		{integer, `"abc"`, `0`},
		{integer, `""`, `0`},
		{integer, `"1_000"`, `1000`},
		{integer, `"nan"`, `0`},
		{integer, `"0x10"`, `0`},
		{integer, `"-１_２"`, `-12`},
		{integer, `"."`, `0`},
		{integer, `"1e+5"`, `100000`},
		{integer, `"1e+-5"`, `0`},
		{integer, `true`, `true`},
		// To number.
		{number, `"3"`, `3.0`},
		{number, `"3.50"`, `3.5`},
		{number, `"-.5"`, `-0.5`},
		{number, `"5."`, `5.0`},
		{number, `"1e-7"`, `0.0000001`},
		{number, `"1e500"`, `1.0e500`},
		{number, `"-0"`, `-0.0`},
		{number, `"x"`, `0.0`},
		{number, `"\u0664\u0662.\u0665"`, `42.5`},
		{number, `"²"`, `0.0`},
		{number, `[1,2]`, `2.0`},
		{number, `true`, `1.0`},
		// To boolean.
		{yes, `"yes"`, `false`},
		{yes, `"1"`, `true`},
		{yes, `"TRUE"`, `true`},
		{yes, `" true"`, `false`},
		{yes, `0`, `false`},
		{yes, `-0.0`, `false`},
		{yes, `0e5`, `false`},
		{yes, `0.001`, `true`},
		{yes, `[]`, `false`},
		{yes, `{}`, `false`},
		{yes, `[0]`, `true`},
		// To list.
		{anyList, `"[1,2]"`, `[1,2]`},
		{anyList, `" [1, 2] "`, `[1, 2]`},
		{anyList, `"[1,"`, `["[1,"]`},
		{anyList, `"[1,}]"`, `["[1,}]"]`},
		{anyList, `"x"`, `["x"]`},
		{anyList, `" x\n"`, `["x"]`},
		{anyList, `"[\"\\ud800\"]"`, `["\ud800"]`},
		{anyList, `{"k":1}`, `[["k",1]]`},
		{anyList, `{}`, `[]`},
		{anyList, `7`, `[7]`},
		{integers, `"[\"1\",2.5]"`, `[1,2]`},
		{integers, `["1",2,null]`, `[1,2,null]`},
		// To object.
		{anyMap, `"{\"a\":1}"`, `{"a":1}`},
		{anyMap, `"[1]"`, `{"value":[1]}`},
		{anyMap, `"5"`, `{"value":5}`},
		{anyMap, `"hello"`, `{"value":"hello"}`},
		{anyMap, `["a",1]`, `{"0":"a","1":1}`},
		{anyMap, `5`, `{"value":5}`},
		{textMap, `{"a":1,"b":"x"}`, `{"a":"1","b":"x"}`},
		{textMap, `[1]`, `{"0":"1"}`},
		// Unions.
		{optional, `5`, `"5"`},
		{optional, `null`, `null`},
		{`{"anyOf":[{"type":"integer"},{"type":"string"}]}`, `"5"`, `"5"`},
		{`{"anyOf":[{"type":"integer"},{"type":"string"}]}`, `[1,2]`, `2`},
		{`{"anyOf":[{"$ref":"#/$defs/Mode"},{"type":"integer"}]}`, `"x"`, `"x"`},
		{`{"anyOf":[{"$ref":"#/$defs/Mode"},{"type":"integer"}]}`, `"7"`, `7`},
		{`{"type":["integer","null"]}`, `"7"`, `7`},
		{`{"anyOf":[{"type":"array","items":{"type":"integer"}},{"type":"string"}]}`, `["a"]`, `[0]`},
		// Never touched.
		{`{"enum":["x","y"]}`, `5`, `5`},
		{`{"const":1}`, `"1"`, `"1"`},
		{`{"type":"string","enum":["x"]}`, `5`, `5`},
		{`{"type":"object","properties":{"a":{"type":"string"}}}`, `"x"`, `"x"`},
		{`{"type":"string","format":"date"}`, `5`, `5`},
		{`{"$ref":"#/$defs/Mode"}`, `5`, `5`},
		{`{"minimum":3}`, `"5"`, `"5"`},
	} {
		t.Run(c.schema+" "+c.in, func(t *testing.T) {
			t.Parallel()
			got, err := pinOf(t, c.schema).Coerce(json.RawMessage(c.in))
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestWhatFitsIsNotCopied(t *testing.T) {
	t.Parallel()
	for schema, in := range map[string]string{
		`{}`: `{"a":[1]}`, text: `"x"`, integers: `[1,2]`, textMap: `{"a":"b"}`, optional: `"x"`, number: `1`, yes: `true`,
	} {
		v := json.RawMessage(in)
		got, err := pinOf(t, schema).Coerce(v)
		if err != nil || &got[0] != &v[0] || len(got) != len(v) {
			t.Errorf("%s: %s was copied", schema, in)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, in, want string }{
		{`{}`, `5`, ""},
		{text, `"x"`, ""},
		{text, `5`, "expects a string, got a number"},
		{integer, `3.0`, ""},
		{integer, `1e400`, ""},
		{integer, `3.5`, "expects an integer, got a number"},
		{integer, `true`, "expects an integer, got a boolean"},
		{number, `1e400`, ""},
		{anyList, `{}`, "expects a list, got an object"},
		{integers, `[1,2]`, ""},
		{integers, `[1,"x"]`, "expects a list whose elements are each an integer (at 1: integer, not string), got a list"},
		{optional, `null`, ""},
		{optional, `[]`, "expects a string or null, got a list"},
		{`{"enum":["x","y"]}`, `"z"`, `expects one of "x", "y", got a string`},
		{`{"$ref":"#/$defs/Mode"}`, `"z"`, `expects one of "x", "y", got a string`},
		{`{"$ref":"#/$defs/Mode"}`, `"y"`, ""},
		{`{"$ref":"#/$defs/Tree"}`, `[[],[[]]]`, ""},
		{`{"$ref":"#/$defs/Tree"}`, `[[],[[1]]]`, "expects a list"},
		{`{"type":"integer","minimum":3}`, `2`, "minimum: got 2, want 3"},
		{`{"type":"number","maximum":3}`, `1e999999999`, "maximum"},
		{`{"type":"number","minimum":-3}`, `-1e-999999999`, ""},
		{`{"type":"string","pattern":"^(?=a)b?a+$"}`, `"aa"`, ""},
		{`{"type":"string","pattern":"^(?=a)b?a+$"}`, `"ba"`, "matching"},
		{`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`, `{}`, "missing property 'a'"},
		{`{"type":"string","format":"date"}`, `"2026-02-30"`, "expects a date"},
		{`{"type":"string","format":"date"}`, `"2026-02-28"`, ""},
		{`{"type":"string","format":"time"}`, `"10:20:30"`, ""},
		{`{"type":"string","format":"date-time"}`, `"2026-01-02T03:04:05"`, ""},
		{`{"type":"string","format":"uri"}`, `"no uri at all"`, ""},
		{`{"oneOf":[{"type":"integer"},{"type":"number"}]}`, `5`, "expects"},
		{`{"minimum":3}`, `1`, "minimum"},
		{`{"type":"array","items":false}`, `[1]`, "expects a list"},
	} {
		t.Run(c.schema+" "+c.in, func(t *testing.T) {
			t.Parallel()
			err := pinOf(t, c.schema).Check(json.RawMessage(c.in))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

var schemas = []string{text, integer, number, yes, anyList, integers, anyMap, textMap, optional, `{"enum":["x",1]}`,
	`{"anyOf":[{"type":"integer"},{"type":"array","items":{"type":"string"}}]}`, `{"type":"integer","minimum":0}`}

// What comes out of coercion is JSON, and a simple type fits afterwards; a second coercion finds nothing to do.
func FuzzCoerce(f *testing.F) {
	for _, s := range []string{`5`, `"[1,\"\\ud83d\"]"`, `{"a":[{}]}`, `"1e5"`, `true`, `"{\"a\":1}"`, `[[1],"2"]`, `-1.5e-3`} {
		f.Add(s)
	}
	pins := make([]*Pin, len(schemas))
	for i, s := range schemas {
		pins[i] = pinOf(f, s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := json.RawMessage(s)
		valid := json.Valid(v)
		for i, p := range pins {
			got, err := p.Coerce(v) // must not panic, whatever comes
			if !valid || err != nil {
				continue
			}
			if !json.Valid(got) {
				t.Fatalf("%s: %s became %s", schemas[i], v, got)
			}
			again, err := p.Coerce(got)
			if err != nil || string(again) != string(got) {
				t.Fatalf("%s: %s became %s, then %s", schemas[i], v, got, again)
			}
			_ = p.Check(got)
		}
	})
}

// The fast path of Check must say what the schema library says.
func TestFastCheckAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	pins := make([]*Pin, len(schemas))
	for i, s := range schemas {
		pins[i] = pinOf(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := json.RawMessage(value(3).Draw(t, "value"))
		for i, p := range pins {
			decoded, err := decodeForCheck(v)
			if err != nil {
				t.Fatal(err)
			}
			if fast, slow := p.Check(v), p.shape.schema.Validate(decoded); (fast == nil) != (slow == nil) {
				t.Fatalf("%s: %s: fast %v, library %v", schemas[i], v, fast, slow)
			}
		}
	})
}

// value draws JSON text.
func value(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		top := 6
		if depth == 0 {
			top = 3
		}
		switch rapid.IntRange(0, top).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]string{"0", "-1", "1.0", "2.5", "1e2", "1e400", "12345678901234567890", "0.0"}).Draw(t, "number")
		case 1:
			return string(jsonscan.AppendString(nil, rapid.String().Draw(t, "string")))
		case 2:
			return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		case 3:
			return rapid.SampledFrom([]string{`"\u0000"`, `"\ud800"`, `"5"`, `"[1]"`, `""`}).Draw(t, "odd")
		case 4, 5:
			return "[" + strings.Join(rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list"), " , ") + "]"
		}
		var members []string
		for _, e := range rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "object") {
			members = append(members, string(jsonscan.AppendString(nil, rapid.String().Draw(t, "key")))+" : "+e)
		}
		return "{ " + strings.Join(members, ",") + "}"
	})
}

func BenchmarkUntypedPin(b *testing.B) {
	p := pinOf(b, `{"title":"Value","description":"x"}`)
	v := json.RawMessage(`{"a":[1,2,3]}`)
	b.ReportAllocs()
	for b.Loop() {
		c, _ := p.Coerce(v)
		_ = p.Check(c)
	}
}
