package block

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := New(Definition{
		ID: "nope", Name: " ", Kind: "ODD", Traits: Traits{Pure: true, Once: true},
		InputSchema: json.RawMessage(`{"type":"object","properties":{
			"a_#_b":{}, "n":{"type":"integer","default":"x"}, "credentials":{}, "d":{"depends_on":["gone"]}, "":{}},"required":["zzz"]}`),
		OutputSchema: json.RawMessage(`{"type":"array"}`),
		Credentials:  []CredentialsField{{Pin: "n", Types: []string{"magic"}}, {Pin: "lost_credentials", Providers: []string{"a"}, Types: []string{"api_key"}}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`id: "nope" is no UUID`, "name: is missing", `kind: "ODD"`, "traits: pure and once",
		`input_schema.properties.a_#_b: a pin's name must not contain "_#_"`,
		"input_schema.properties.credentials: the name is reserved",
		`input_schema.properties.d: refers to "gone"`,
		"a pin must have a name", `input_schema.required: "zzz" is no pin`, `output_schema: type must be "object"`,
		`credentials.n: must be called`, `credentials.n: names no provider`, `credentials.n: type "magic"`,
		"credentials.lost_credentials: is no input pin",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s\nin: %v", want, err)
		}
	}
}

func TestNewRefusesSchemas(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`:   "leads out of the block",
		`{"type":"object","properties":{"a":{"$ref":"http://example.com/"}}}`:  "leads out of the block",
		`{"type":"object","properties":{"a":{"type":"strange"}}}`:              "input_schema",
		`{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}`: "input_schema",
		`{"type":"object","properties":[]}`:                                    "input_schema",
		`{"type":"object","properties":{"a":{},"a":{}}}`:                       "is there twice",
		`nonsense`: "is no JSON object",
		``:         "is no JSON object",
		`{"type":"object","properties":{"a":{"type":"integer","default":[1.5,{}],"minimum":9}}}`: "input_schema.properties.a.default",
	} {
		_, err := New(Definition{
			ID: "6f3d1ad5-5f1c-4d9e-8a77-1f1c2f0f7d11", Name: "Test", Kind: Standard,
			InputSchema: json.RawMessage(schema), OutputSchema: json.RawMessage(`{"type":"object"}`),
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func TestErrorPinIsAdded(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"object"}`:                                           "error",
		`{"type":"object","properties":{}}`:                           "error",
		`{"type":"object","properties":{"a":{}},"required":["a"]}`:    "a,error",
		`{"type":"object","properties":{"error":{"type":"integer"}}}`: "error",
	} {
		b, err := New(Definition{
			ID: "6f3d1ad5-5f1c-4d9e-8a77-1f1c2f0f7d11", Name: "Test", Kind: Standard,
			InputSchema: json.RawMessage(`{"type":"object"}`), OutputSchema: json.RawMessage(schema),
		})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range b.Outputs() {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, ","); got != want || !json.Valid(b.OutputSchema) {
			t.Errorf("%s: %s, %s", schema, got, b.OutputSchema)
		}
	}
}

// The scheduler keeps definitions as JSON and compiles them again.
func TestDefinitionsSurviveJSON(t *testing.T) {
	t.Parallel()
	for _, b := range Structural() {
		text, err := json.Marshal(b.Definition)
		if err != nil {
			t.Fatal(err)
		}
		var d Definition
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		again, err := New(d)
		if err != nil {
			t.Fatalf("%s: %v", b.Name, err)
		}
		if len(again.Inputs()) != len(b.Inputs()) || len(again.Outputs()) != len(b.Outputs()) || again.Kind != b.Kind {
			t.Errorf("%s came back changed", b.Name)
		}
	}
}

func TestStructuralBlocks(t *testing.T) {
	t.Parallel()
	byName := map[string]*Block{}
	for _, b := range Structural() {
		byName[b.Name] = b
		boundary := b.Kind == Input || b.Kind == Output
		if b.StaticOutput != boundary {
			t.Errorf("%s: static %v", b.Name, b.StaticOutput)
		}
		if _, ok := b.Output(ErrorPin); ok == boundary {
			t.Errorf("%s: error pin %v", b.Name, ok)
		}
		if boundary {
			if p, ok := b.Input("name"); !ok || !p.Required {
				t.Errorf("%s: name is not required", b.Name)
			}
		}
	}
	if len(byName) != 14 {
		t.Errorf("%d blocks", len(byName))
	}
	if p, _ := byName["Agent Toggle Input"].Input("value"); string(p.Default) != "false" {
		t.Errorf("toggle's default is %s", p.Default)
	}
	var pins []string
	for _, p := range byName["Agent Input"].Inputs() {
		pins = append(pins, p.Name)
	}
	if want := []string{"name", "value", "title", "description", "placeholder_values", "advanced", "secret"}; !slices.Equal(pins, want) {
		t.Errorf("pins %v", pins)
	}
}

func TestCredentialsFromTheSchema(t *testing.T) {
	t.Parallel()
	b, err := New(Definition{
		ID: "6f3d1ad5-5f1c-4d9e-8a77-1f1c2f0f7d11", Name: "Test", Kind: Standard,
		InputSchema: json.RawMessage(`{"type":"object","properties":{"credentials":{"type":"object",
			"credentials_provider":["github"],"credentials_types":["api_key","oauth2"],"credentials_scopes":["repo"]}},"required":["credentials"]}`),
		OutputSchema: json.RawMessage(`{"type":"object"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Credentials) != 1 || b.Credentials[0].Providers[0] != "github" || b.Credentials[0].Optional {
		t.Errorf("%+v", b.Credentials)
	}
	if p, _ := b.Input("credentials"); !p.Credentials {
		t.Error("the pin is not marked")
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"0f0c6f1e-52a5-4a7c-9d0d-4d9d5b6a9c01": true,
		"a4b9c2d1-e5f6-4g7h-8i9j-0k1l2m3n4o5p": true,
		"0F0C6F1E-52A5-4A7C-9D0D-4D9D5B6A9C01": false,
		"0f0c6f1e52a54a7c9d0d4d9d5b6a9c01":     false,
		"nope":                                 false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("%s: %t", id, got)
		}
	}
}
