package sdk

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
)

type color string

func (color) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: []any{"red", "green"}}
}

type point struct {
	X int             `json:"x" doc:"Across" required:"true"`
	Y *float64        `json:"y"`
	Z json.RawMessage `json:"z" default:"{\"a\":1}"`
}

type common struct {
	Name string `json:"name" required:"true"`
}

type overridden struct {
	A string `json:"a"`
	B string `json:"b" required:"true"`
}

func (overridden) PinSchema(pin string) json.RawMessage {
	if pin == "a" {
		return json.RawMessage(`{"const":1}`)
	}
	return nil
}

func TestInputSchema(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		input any
		want  string // the properties, and what follows
	}{
		{"text", struct {
			Text string `json:"text" doc:"Text to <change>" required:"true" title:"Text" placeholder:"e.g. hi"`
		}{}, `{"text":{"type":"string","title":"Text","description":"Text to <change>","placeholder":"e.g. hi"}},"required":["text"]`},
		{"order of fields, zero values as defaults", struct {
			Z string         `json:"z"`
			A bool           `json:"a"`
			M int            `json:"m"`
			F float64        `json:"f"`
			L []string       `json:"l"`
			D map[string]int `json:"d"`
			N json.Number    `json:"n"`
		}{}, `{"z":{"type":"string","default":""},"a":{"type":"boolean","default":false},"m":{"type":"integer","default":0},"f":{"type":"number","default":0},` +
			`"l":{"items":{"type":"string"},"type":"array","default":[]},"d":{"additionalProperties":{"type":"integer"},"type":"object","default":{}},"n":{"type":"number","default":0}}`},
		{"any value", struct {
			R json.RawMessage            `json:"r" required:"true"`
			A any                        `json:"a"`
			L []json.RawMessage          `json:"l"`
			M map[string]json.RawMessage `json:"m"`
			O map[string]any             `json:"o" required:"true"`
		}{}, `{"r":{},"a":{"default":null},"l":{"items":{},"type":"array","default":[]},"m":{"additionalProperties":true,"type":"object","default":{}},` +
			`"o":{"additionalProperties":true,"type":"object"}},"required":["r","o"]`},
		{"optional", struct {
			S *string `json:"s"`
			I *int    `json:"i" minimum:"1" default:"5" advanced:"true"`
		}{}, `{"s":{"anyOf":[{"type":"string"},{"type":"null"}],"default":null},"i":{"anyOf":[{"type":"integer","minimum":1},{"type":"null"}],"advanced":true,"default":5}}`},
		{"unions", struct {
			K json.RawMessage `json:"k" type:"string|integer" required:"true"`
			V any             `json:"v" type:"number | array | object | boolean | null"`
			S json.RawMessage `json:"s" type:"string" default:"timer finished"`
			O json.RawMessage `json:"o" type:"integer|string" default:"0"`
		}{}, `{"k":{"anyOf":[{"type":"string"},{"type":"integer"}]},` +
			`"v":{"anyOf":[{"type":"number"},{"type":"array","items":{}},{"type":"object","additionalProperties":true},{"type":"boolean"},{"type":"null"}],"default":null},` +
			`"s":{"type":"string","default":"timer finished"},"o":{"anyOf":[{"type":"integer"},{"type":"string"}],"default":0}},"required":["k"]`},
		{"enum", struct {
			O string `json:"o" enum:"==,!=,<=" required:"true"`
			N int    `json:"n" enum:"1,2" default:"2"`
			C color  `json:"c" default:"red"`
		}{}, `{"o":{"type":"string","enum":["==","!=","<="]},"n":{"type":"integer","enum":[1,2],"default":2},"c":{"type":"string","enum":["red","green"],"default":"red"}},"required":["o"]`},
		{"limits and notes", struct {
			S string    `json:"s" format:"date" pattern:"^\\d" minLength:"1" maxLength:"9" secret:"true" hidden:"false" depends_on:"a,b" default:"7"`
			T time.Time `json:"t"`
			L []int     `json:"l" minItems:"1" default:"[1]"`
			F float64   `json:"f" exclusiveMinimum:"0.5" multipleOf:"2" default:"4"`
		}{}, `{"s":{"type":"string","format":"date","pattern":"^\\d","minLength":1,"maxLength":9,"secret":true,"hidden":false,"depends_on":["a","b"],"default":"7"},` +
			`"t":{"type":"string","format":"date-time"},"l":{"items":{"type":"integer"},"type":"array","minItems":1,"default":[1]},"f":{"type":"number","exclusiveMinimum":0.5,"multipleOf":2,"default":4}}`},
		{"schema tag", struct {
			S json.RawMessage `json:"s" schema:"{\"oneOf\":[{\"type\":\"string\"}]}" doc:"Own" required:"true"`
			E json.RawMessage `json:"e" schema:" { } " doc:"Empty" required:"true"`
		}{}, `{"s":{"oneOf":[{"type":"string"}],"description":"Own"},"e":{"description":"Empty"}},"required":["s","e"]`},
		{"nested and embedded", struct {
			common
			P  point   `json:"p" required:"true"`
			Ps []point `json:"ps" required:"true"`
			No string  `json:"-"`
		}{}, `{"name":{"type":"string"},"p":` + pointSchema + `,"ps":{"items":` + pointSchema + `,"type":"array"}},"required":["name","p","ps"]`},
		{"method", overridden{}, `{"a":{"const":1},"b":{"type":"string"}},"required":["b"]`},
		{"nothing", struct{}{}, `{}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := newInputType(reflect.TypeOf(test.input))
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"type":"object","properties":` + test.want + `}`; string(got.schema) != want {
				t.Errorf("\ngot  %s\nwant %s", got.schema, want)
			}
			if !json.Valid(got.schema) {
				t.Error("the schema is not JSON")
			}
		})
	}
}

const pointSchema = `{"type":"object","properties":{"x":{"type":"integer","description":"Across"},"y":{"anyOf":[{"type":"number"},{"type":"null"}],"default":null},"z":{"default":{"a":1}}},"required":["x"]}`

type recursive struct {
	Next []recursive `json:"next"`
}

func TestInputsThatCannotBeDescribed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		input any
		want  string
	}{
		{recursive{}, "contains itself"},
		{struct {
			F func() `json:"f" required:"true"`
		}{}, "unsupported type"},
		{struct {
			I int `json:"i" default:"x"`
		}{}, "tag default"},
		{struct {
			I int `json:"i" minimum:"low"`
		}{}, `tag minimum: "low" is no number`},
		{struct {
			I int `json:"i" enum:"a"`
		}{}, "tag enum"},
		{struct {
			I int `json:"i" required:"yes"`
		}{}, "tag required"},
		{struct {
			I int `json:"i" required:"true" default:"1"`
		}{}, "a required pin has no default"},
		{struct {
			I any `json:"i" type:"str"`
		}{}, `tag type: "str"`},
		{struct {
			I any `json:"i" schema:"[]"`
		}{}, "tag schema"},
		{struct {
			common
			Name int `json:"name"`
		}{}, "declared twice"},
		{1, "neither a struct nor a map"},
	}
	for _, test := range tests {
		if _, err := newInputType(reflect.TypeOf(test.input)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%T: error %v, want %q", test.input, err, test.want)
		}
	}
}
