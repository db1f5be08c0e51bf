package block

import (
	"encoding/json"
	"testing"
)

// Authors read what is wrong with a schema: where, what, and what would do.
func TestFlawsOfSchemasAreToldInFewWords(t *testing.T) {
	t.Parallel()
	const known = " is no JSON type; known are array, boolean, integer, null, number, object, string"
	for schema, want := range map[string]string{
		`{"name":{"type":"strng"}}`:                  `input_schema.properties.name.type: "strng"` + known,
		`{"name":{"type":7}}`:                        `input_schema.properties.name.type: 7` + known,
		`{"name":{"type":["string","x"]}}`:           `input_schema.properties.name.type.1: "x"` + known,
		`{"a":{"type":"array","items":{"type":""}}}`: `input_schema.properties.a.items.type: ""` + known,
		`{"name":{"minLength":"x"}}`:                 `input_schema.properties.name.minLength: got string, want integer`,
		`{"b":{"type":1},"a":{"type":2}}`:            "input_schema.properties.a.type: 2" + known + "\ninput_schema.properties.b.type: 1" + known,
		`{"name":"string"}`:                          `input_schema.properties.name: got string, want boolean or object`,
	} {
		_, err := New(Definition{
			ID: "aaaaaaaa-0000-4000-8000-000000000001", Name: "A", Kind: Standard,
			InputSchema: json.RawMessage(`{"type":"object","properties":` + schema + `}`), OutputSchema: json.RawMessage(`{"type":"object"}`),
		})
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n%v, want\n%s", schema, err, want)
		}
	}
}
