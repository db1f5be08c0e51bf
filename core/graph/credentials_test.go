package graph

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

const siteID = "5171e000-0000-4000-8000-000000000001"

// withSite adds a block whose credentials are for the host of an address.
func withSite(t *testing.T) catalogue {
	t.Helper()
	b, err := block.New(block.Definition{
		ID: siteID, Name: "SITE", Kind: block.Standard, OutputSchema: json.RawMessage(`{"type":"object","properties":{"out":{}}}`),
		InputSchema: json.RawMessage(`{"type":"object","properties":{"url":{"type":"string"},"credentials":{"type":"object",` +
			`"properties":{"id":{"type":"string"}},"required":["id"],"discriminator":"url",` +
			`"credentials_provider":["http"],"credentials_types":["host_scoped"]}},"required":["url","credentials"]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := blocksOf(t)
	c[siteID] = b
	return c
}

func TestCredentialsAreGroupedByHosts(t *testing.T) {
	t.Parallel()
	g := graphOf(t,
		"x ECHO", "a "+siteID+` {"url":"https://API.example.com/x"}`, "b "+siteID+` {"url":"https://api.example.com/y"}`,
		"c "+siteID+` {"url":"http://127.0.0.1:8080"}`, "d "+siteID+` {"url":"no address"}`,
		"e "+siteID+` {"url":"https://api.example.com"}`, "x.out -> e.url")
	schema := membersOf(CredentialsSchema(g, withSite(t)))
	groups := membersOf(schema["properties"])
	want := []string{"127.0.0.1:8080-http_host_scoped_credentials", "api.example.com-http_host_scoped_credentials", "http_host_scoped_credentials"}
	if got := slices.Sorted(maps.Keys(groups)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	members := membersOf(groups["api.example.com-http_host_scoped_credentials"])
	if string(members["discriminator_values"]) != `["https://API.example.com/x","https://api.example.com/y"]` || string(members["display_name"]) != `"API.example.com"` {
		t.Errorf("%s", groups["api.example.com-http_host_scoped_credentials"])
	}
}

func TestALinkedDiscriminatorChoosesNothing(t *testing.T) {
	t.Parallel()
	g := graphOf(t, `e ECHO {"in":"gpt"}`, `m MODEL {"model":"claude"}`, `n MODEL {"model":"claude"}`, "e.out -> m.model", "e.out -> n.credentials")
	pins := CredentialsPins(g, blocksOf(t))
	if len(pins) != 2 || !slices.Equal(pins[0].Providers, []string{"anthropic", "openai"}) || pins[0].Value != "" || pins[0].Linked {
		t.Errorf("%+v", pins[0])
	}
	if !slices.Equal(pins[1].Providers, []string{"anthropic"}) || pins[1].Value != "claude" || !pins[1].Linked || pins[1].Address() != "" {
		t.Errorf("%+v", pins[1])
	}
}

// What a node holds at a pin for credentials is a reference, whatever its form: it is told of with the other problems of
// credentials, and dropped from copies.
func TestReferencesAreNoValues(t *testing.T) {
	t.Parallel()
	blocks := withSite(t)
	for _, reference := range []string{`{}`, `"text"`, `{"id":"x"}`, `null`} {
		g := graphOf(t, "a "+siteID+` {"url":"https://example.com","credentials":`+reference+`}`)
		if err := ValidateForRun(g, blocks, json.RawMessage("{}"), nil); err != nil {
			t.Errorf("%s: %v", reference, err)
		}
		a, err := Assemble(&g.Nodes[0], blocks[siteID], nil)
		if err != nil || !strings.Contains(string(a.Input), `"credentials":`+reference) {
			t.Errorf("%s: %s %v", reference, a.Input, err)
		}
		g.dropCredentials()
		if got := string(g.Nodes[0].InputDefault); got != `{"url":"https://example.com"}` {
			t.Errorf("%s", got)
		}
	}
	g := graphOf(t, "a "+siteID+` {"url":"https://example.com"}`, "b ECHO")
	problems := map[string]map[string]string{"a": {"credentials": "These credentials are required"}}
	expect(t, told(ValidateForRun(g, blocks, json.RawMessage("{}"), problems)), "a.credentials: These credentials are required", "b.in: This field is required")
}
