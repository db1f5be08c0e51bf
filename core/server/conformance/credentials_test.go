package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/credential"
)

// shown is what the blocks of the test plugin yield of a secret.
func shown(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

// integrate stores credentials and gives their id.
func (c *client) integrate(t *testing.T, format string, args ...any) string {
	t.Helper()
	var made struct{ ID string }
	c.ok(t, http.MethodPost, "/integrations", fmt.Sprintf(format, args...), &made)
	return made.ID
}

func (c *client) key(t *testing.T, provider, secret string) string {
	t.Helper()
	return c.integrate(t, `{"provider":%q,"type":"api_key","title":"T","api_key":%q}`, provider, secret)
}

// graphOf stores nodes, each with its own line "id BLOCK constants metadata", joined as links say.
func (c *client) graphOf(t *testing.T, nodes, links string) *created {
	t.Helper()
	return c.create(t, documentOf(t, nodes, links))
}

func documentOf(t *testing.T, nodes, links string) string {
	t.Helper()
	s := scenario{id: "g", links: links}
	var metadata []string
	for _, l := range lines(nodes) {
		line, m, ok := strings.Cut(l, " # ")
		if !ok {
			m = "{}"
		}
		s.nodes += line + "\n"
		metadata = append(metadata, m)
	}
	var document map[string]any
	d := json.NewDecoder(strings.NewReader(s.document(t, nil)))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		t.Fatal(err)
	}
	for i, n := range document["nodes"].([]any) {
		n.(map[string]any)["metadata"] = json.RawMessage(metadata[i])
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// executeWith executes with credentials_inputs.
func (c *client) executeWith(t *testing.T, graphID, credentials string) answer {
	t.Helper()
	return c.do(t, http.MethodPost, "/builder/graphs/"+graphID+"/execute", `{"credentials_inputs":`+credentials+`}`)
}

func (w *world) outputsWith(t *testing.T, c *client, graphID, credentials string) *details {
	t.Helper()
	return w.finish(t, c, c.startWith(t, graphID, credentials))
}

func reference(id, provider, kind string) string {
	return fmt.Sprintf(`{"id":%q,"provider":%q,"type":%q}`, id, provider, kind)
}

func TestC94(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	required := c.graphOf(t, "k KEY\no OUT", "k.out -> o.value")
	if a := c.executeWith(t, required.ID, `{}`); a.status != 422 || !strings.Contains(string(a.body), `"node_errors":{"k":{"credentials":"These credentials are required"}}`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	optional := c.graphOf(t, `k KEY {} # {"credentials_optional":true}
		o OUT
		e ECHO {"in":1}
		p OUT`, "k.out -> o.value\ne.out -> p.value")
	d := w.outputsWith(t, c, optional.ID, `{}`)
	if d.Status != "COMPLETED" || len(d.Outputs) != 1 || string(d.Outputs["p"]) != "[1]" || len(d.of("o")) != 0 || len(d.Waiting) != 0 {
		t.Errorf("%+v", d)
	}
	if k := d.of("k"); len(k) != 1 || k[0].Status != "COMPLETED" || len(k[0].Output) != 0 {
		t.Errorf("%+v", k)
	}
	// A node that is optional runs with what it is given.
	id := c.key(t, "a", "sk-1")
	d = w.outputsWith(t, c, optional.ID, `{"a_api_key_credentials":`+reference(id, "a", "api_key")+`}`)
	if got := string(d.Outputs["o"]); got != "["+shown("sk-1")+"]" {
		t.Errorf("%s", got)
	}
	// A block to which they are optional runs without.
	bob := w.client()
	maybe := bob.graphOf(t, "m MAYBE\no OUT", "m.out -> o.value")
	if d := w.outputsWith(t, bob, maybe.ID, `{}`); string(d.Outputs["o"]) != `["none"]` {
		t.Errorf("%+v", d)
	}
}

func TestC95(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := c.graphOf(t, "k KEY\nl KEY\no OUT\np OUT", "k.out -> o.value\nl.out -> p.value")
	var schema struct {
		Credentials struct {
			Properties map[string]json.RawMessage
			Required   []string
		} `json:"credentials_input_schema"`
	}
	c.ok(t, http.MethodGet, "/builder/graphs/"+g.ID, "", &schema)
	if s := schema.Credentials; len(s.Properties) != 1 || !slices.Equal(s.Required, []string{"a_api_key_credentials"}) {
		t.Errorf("%+v", s)
	}
	c.key(t, "a", "sk-other")
	id := c.key(t, "a", "sk-1")
	d := w.outputsWith(t, c, g.ID, `{"a_api_key_credentials":`+reference(id, "a", "api_key")+`,"nothing_of_it":null}`)
	if string(d.Outputs["o"]) != "["+shown("sk-1")+"]" || string(d.Outputs["p"]) != string(d.Outputs["o"]) {
		t.Errorf("%s", d.Outputs)
	}
	for _, k := range d.of("k") {
		if got := compact(k.Input); got != `{"credentials":{"id":"`+id+`","provider":"a","type":"api_key","title":"T"}}` {
			t.Errorf("the input shows %s", got)
		}
	}
	// What nodes name by themselves counts too, and what the caller names counts more.
	own := c.graphOf(t, `k KEY {"credentials":`+reference(id, "a", "api_key")+`}
		o OUT`, "k.out -> o.value")
	other := c.key(t, "a", "sk-2")
	for given, want := range map[string]string{`{}`: "sk-1", `{"a_api_key_credentials":` + reference(other, "a", "api_key") + `}`: "sk-2"} {
		if d := w.outputsWith(t, c, own.ID, given); string(d.Outputs["o"]) != "["+shown(want)+"]" {
			t.Errorf("%s: %s", given, d.Outputs)
		}
	}
}

func TestCredentialsThatDoNotDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c, bob := w.client(), w.client()
	a, b, foreign := c.key(t, "a", "sk-1"), c.key(t, "b", "sk-2"), bob.key(t, "a", "sk-3")
	token, err := w.vault.Add(t.Context(), credential.Credential{UserID: c.user, Provider: "a", Type: credential.OAuth2, Title: "t", Scopes: []string{"repo"}}, &credential.Secret{AccessToken: "gho"})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := w.vault.Add(t.Context(), credential.Credential{UserID: c.user, Provider: "a", Type: credential.OAuth2, Title: "t", Scopes: []string{"repo", "user"}}, &credential.Secret{AccessToken: "gho-2"})
	if err != nil {
		t.Fatal(err)
	}
	site := c.integrate(t, `{"provider":"http","type":"host_scoped","host":"api.example.com","headers":{"X-Key":"v"}}`)
	const nobody = "01920000-0000-7000-8000-000000000000"
	answer := c.executeWith(t, c.graphOf(t, "n KEY", "").ID, `{"a_api_key_credentials":"sk"}`)
	if answer.status != 422 || !strings.Contains(string(answer.body), `"credentials_inputs.a_api_key_credentials":"must be an object`) {
		t.Errorf("no reference at all: %d %s", answer.status, answer.body)
	}
	for name, x := range map[string]struct{ node, group, given, want string }{
		"unknown":          {"KEY", "a_api_key", reference(nobody, "a", "api_key"), "Unknown credentials #" + nobody},
		"somebody else's":  {"KEY", "a_api_key", reference(foreign, "a", "api_key"), "Unknown credentials #" + foreign},
		"no id at all":     {"KEY", "a_api_key", reference("x", "a", "api_key"), "Unknown credentials #x"},
		"another provider": {"KEY", "a_api_key", reference(b, "b", "api_key"), "Invalid credentials: type/provider mismatch"},
		"pretended":        {"KEY", "a_api_key", reference(b, "a", "api_key"), "Invalid credentials: type/provider mismatch"},
		"another type":     {"KEY", "a_api_key", reference(whole.ID, "a", "oauth2"), "Invalid credentials: type/provider mismatch"},
		"scopes":           {"SCOPED", "a_oauth2", reference(token.ID, "a", "oauth2"), "they lack the scopes user"},
		"another model":    {`MODEL {"model":"two"}`, "b_api_key", reference(a, "a", "api_key"), "Invalid credentials: type/provider mismatch"},
		"another host":     {`SITE {"url":"https://example.com/x"}`, "example.com-http_host_scoped", reference(site, "http", "host_scoped"), "they are for the host api.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := c.graphOf(t, "n "+x.node, "")
			answer := c.executeWith(t, g.ID, `{"`+x.group+`_credentials":`+x.given+`}`)
			if answer.status != 422 || !strings.Contains(string(answer.body), `"n":{"credentials":"`) || !strings.Contains(string(answer.body), x.want) {
				t.Errorf("%d %s", answer.status, answer.body)
			}
			node, constants, ok := strings.Cut(x.node, " ")
			if !ok {
				constants = "{}"
			}
			document := documentOf(t, "n "+node+" "+string(with(json.RawMessage(constants), `"credentials":`+x.given)), "")
			if strings.HasPrefix(x.want, "Unknown credentials") { // such a graph is saved only where things may be missing
				if answer := c.do(t, http.MethodPost, "/builder/graphs", document); answer.status != 422 || !strings.Contains(string(answer.body), `"n":{"credentials":"`+x.want+` (of a, for the block`) {
					t.Errorf("saved: %d %s", answer.status, answer.body)
				}
			}
			var own created
			c.ok(t, http.MethodPost, "/builder/graphs?allow_missing_blocks=true", document, &own)
			if answer := c.executeWith(t, own.ID, `{}`); answer.status != 422 || !strings.Contains(string(answer.body), x.want) {
				t.Errorf("as a constant: %d %s", answer.status, answer.body)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		g := c.graphOf(t, `k SCOPED {"credentials":`+reference(token.ID, "a", "oauth2")+"}\ne ECHO\nm MODE {\"m\":\"z\"}", "")
		if answer := c.executeWith(t, g.ID, `{}`); answer.status != 422 || strings.Count(string(answer.body), `":{"`) < 4 {
			t.Errorf("%d %s", answer.status, answer.body)
		}
	})
	t.Run("an optional node that names what is gone", func(t *testing.T) {
		t.Parallel()
		g := c.graphOf(t, `k KEY {"credentials":`+reference(nobody, "a", "api_key")+`} # {"credentials_optional":true}`, "")
		if d := w.outputsWith(t, c, g.ID, `{}`); d.Status != "COMPLETED" || len(d.of("k")[0].Output) != 0 {
			t.Errorf("%+v", d)
		}
		if stored := c.do(t, http.MethodGet, "/builder/graphs/"+g.ID, ""); !strings.Contains(string(stored.body), `"input_default":{"credentials":{}}`) {
			t.Errorf("the constant stays: %s", stored.body)
		}
	})
	t.Run("the active version", func(t *testing.T) {
		t.Parallel()
		c := w.client()
		id := c.key(t, "a", "sk")
		g := c.graphOf(t, `k KEY {"credentials":`+reference(id, "a", "api_key")+"}", "")
		c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID, documentOf(t, "k KEY", ""), nil)
		c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID+"/versions/active", `{"active_graph_version":1}`, nil)
		c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID+"/versions/active", `{"active_graph_version":2}`, nil)
		c.ok(t, http.MethodDelete, "/integrations/"+id, "", nil)
		if answer := c.do(t, http.MethodPut, "/builder/graphs/"+g.ID+"/versions/active", `{"active_graph_version":1}`); answer.status != 422 || !strings.Contains(string(answer.body), "Unknown credentials #"+id) {
			t.Errorf("%d %s", answer.status, answer.body)
		}
	})
	t.Run("to be authorised again", func(t *testing.T) {
		t.Parallel()
		dan := w.client()
		stale, err := w.vault.Add(t.Context(), credential.Credential{UserID: dan.user, Provider: "a", Type: credential.OAuth2, Title: "Mine", Scopes: []string{"repo", "user"}}, &credential.Secret{AccessToken: "gho"})
		if err != nil {
			t.Fatal(err)
		}
		document := documentOf(t, `k SCOPED {"credentials":`+reference(stale.ID, "a", "oauth2")+"}", "")
		g := dan.create(t, document)
		if err := w.vault.Reauthorize(t.Context(), w.db, dan.user, stale.ID, "the provider refused"); err != nil {
			t.Fatal(err)
		}
		for _, save := range [][2]string{{http.MethodPost, "/builder/graphs"}, {http.MethodPut, "/builder/graphs/" + g.ID}} {
			if answer := dan.do(t, save[0], save[1], document); answer.status != 422 || !strings.Contains(string(answer.body), "authorised again") {
				t.Errorf("%s: %d %s", save[0], answer.status, answer.body)
			}
		}
		if answer := dan.executeWith(t, g.ID, `{}`); answer.status != 422 || !strings.Contains(string(answer.body), "Credentials not available: ") || !strings.Contains(string(answer.body), "authorised again") {
			t.Errorf("%d %s", answer.status, answer.body)
		}
	})
	// What is right after all this.
	g := c.graphOf(t, "s SCOPED\nm MODEL {\"model\":\"two\"}\nh SITE {\"url\":\"https://api.example.com/x\"}\no OUT\np OUT\nq OUT", "s.out -> o.value\nm.out -> p.value\nh.out -> q.value")
	d := w.outputsWith(t, c, g.ID, `{}`) // by default
	if string(d.Outputs["o"]) != "["+shown("gho-2")+"]" || string(d.Outputs["p"]) != "["+shown("sk-2")+"]" || string(d.Outputs["q"]) != "["+shown("v")+"]" {
		t.Errorf("%s", d.Outputs)
	}
}

func TestDefaultCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := c.graphOf(t, "k KEY\no OUT", "k.out -> o.value")
	first := c.key(t, "a", "sk-1")
	if d := w.outputsWith(t, c, g.ID, `null`); string(d.Outputs["o"]) != "["+shown("sk-1")+"]" {
		t.Errorf("the only one: %s", d.Outputs)
	}
	second := c.key(t, "a", "sk-2")
	if a := c.executeWith(t, g.ID, `{}`); a.status != 422 || !strings.Contains(string(a.body), "These credentials are required") {
		t.Errorf("of two none is chosen: %d %s", a.status, a.body)
	}
	for id, want := range map[string]string{first: "sk-1", second: "sk-2"} {
		c.ok(t, http.MethodPatch, "/integrations/"+id, `{"is_default":true}`, nil)
		if d := w.outputsWith(t, c, g.ID, `{}`); string(d.Outputs["o"]) != "["+shown(want)+"]" {
			t.Errorf("the default: %s", d.Outputs)
		}
	}
}

// Where nobody names credentials, and what there is does not fit, the node's error says why.
func TestDefaultCredentialsThatDoNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	token := func(c *client, scopes ...string) string {
		t.Helper()
		made, err := w.vault.Add(t.Context(), credential.Credential{UserID: c.user, Provider: "a", Type: credential.OAuth2, Title: "Mine", Scopes: scopes}, &credential.Secret{AccessToken: "gho"})
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	for name, x := range map[string]struct {
		node  string
		given func(c *client)
		want  string
	}{
		"none":         {"SCOPED", func(c *client) { c.key(t, "b", "sk") }, `required"`},
		"scopes":       {"SCOPED", func(c *client) { token(c, "repo") }, `do not fit: they lack the scopes user; authorise a again`},
		"another type": {"KEY", func(c *client) { token(c, "repo") }, `do not fit: they are of the type oauth2, not api_key`},
		"authorise again": {"SCOPED", func(c *client) {
			if err := w.vault.Reauthorize(t.Context(), w.db, c.user, token(c, "repo", "user"), "the provider refused"); err != nil {
				t.Fatal(err)
			}
		}, `do not fit: they need to be authorised again: the provider refused`},
		"another host": {`SITE {"url":"https://example.com/x"}`, func(c *client) {
			c.integrate(t, `{"provider":"http","type":"host_scoped","host":"api.example.com","headers":{"X-Key":"v"}}`)
		}, "do not fit: they are for the host api.example.com"},
		"several": {"SCOPED", func(c *client) {
			for range 5 {
				token(c, "repo")
			}
		}, "; 2 more do not fit either"},
		"too many": {"KEY", func(c *client) { c.key(t, "a", "sk-1"); c.key(t, "a", "sk-2") }, "These credentials are required: 2 would do"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.client()
			x.given(c)
			answer := c.executeWith(t, c.graphOf(t, "n "+x.node, "").ID, `{}`)
			if body := string(answer.body); answer.status != 422 || !strings.Contains(body, `"n":{"credentials":"These credentials are required`) || !strings.Contains(body, x.want) {
				t.Errorf("%d %s", answer.status, answer.body)
			}
		})
	}
}

// A row that was changed behind the server's back fails the node that needs it, and what is told of it.
func TestDamagedCredentialsFailTheirNodeClearly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	id := c.key(t, "a", "sk-1")
	if _, err := w.db.ExecContext(t.Context(), `UPDATE credential SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1) WHERE id = ?`, id); err != nil {
		t.Fatal(err)
	}
	d := w.outputsWith(t, c, c.graphOf(t, "k KEY\no OUT", "k.out -> o.value").ID, `{}`)
	if d.Status != "FAILED" || d.Error == nil || !strings.Contains(d.Error.Message, `Credentials not available: the credentials "T" (#`+id+`) for a are damaged`) || *d.Error.NodeID != "k" {
		t.Errorf("%+v %+v", d.Error, d)
	}
	if a := c.do(t, http.MethodGet, "/integrations", ""); a.status != 200 || !strings.Contains(string(a.body), id) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := c.do(t, http.MethodDelete, "/integrations/"+id, ""); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// What an execution uses is settled when it is accepted, and fetched when a node runs: also after a restart.
func TestCredentialsOverTheLifeOfAnExecution(t *testing.T) {
	t.Parallel()
	f := startLife(t, hosts[effectPlugin])
	c := f.client()
	c.key(t, "a", "sk-other")
	id := c.key(t, "a", "sk-1")
	given := `{"a_api_key_credentials":` + reference(id, "a", "api_key") + `}`
	g := c.graphOf(t, `g GATE {"in":1}
		k KEY
		o OUT`, "g.out -> k.in\nk.out -> o.value")
	skipping := c.graphOf(t, `g GATE {"in":"two"}
		m MODEL {"model":"two"} # {"credentials_optional":true}
		o OUT`, "g.out -> m.model\nm.out -> o.value")
	kept, gone, skipped := c.startWith(t, g.ID, given), c.startWith(t, g.ID, given), c.startWith(t, skipping.ID, "{}")
	var held []*call
	for _, x := range []string{kept, gone, skipped} {
		held = append(held, gates.await(t, x, "g", "", 1))
	}
	f.kill(t)
	for _, at := range held {
		<-at.gone
	}
	f.rise(t, c)
	gates.await(t, kept, "g", "", 2).release()
	if d := f.finish(t, c, kept); string(d.Outputs["o"]) != "["+shown("sk-1")+"]" {
		t.Errorf("after the restart: %+v", d)
	}
	gates.await(t, skipped, "g", "", 2).release()
	if d := f.finish(t, c, skipped); d.Status != "COMPLETED" || len(d.Outputs) != 0 || len(d.of("m")) != 1 {
		t.Errorf("after the restart: %+v", d)
	}
	c.ok(t, http.MethodDelete, "/integrations/"+id, "", nil)
	gates.await(t, gone, "g", "", 2).release()
	d := f.finish(t, c, gone)
	if d.Status != "FAILED" || d.Error == nil || !strings.Contains(d.Error.Message, "Unknown credentials #"+id) || *d.Error.NodeID != "k" {
		t.Errorf("deleted meanwhile: %+v %+v", d.Error, d)
	}
	// A retry uses what its original was given, which is gone, or something in its place.
	if a := c.do(t, http.MethodPost, "/executions/"+gone+"/retry", ""); a.status != 422 || !strings.Contains(string(a.body), "Unknown credentials #"+id) {
		t.Errorf("retry: %d %s", a.status, a.body)
	}
	var again struct {
		ID string `json:"execution_id"`
	}
	c.ok(t, http.MethodPost, "/executions/"+gone+"/retry", `{"credentials_inputs":{"a_api_key_credentials":`+reference(c.key(t, "a", "sk-new"), "a", "api_key")+"}}", &again)
	if d := f.finish(t, c, again.ID); string(d.Outputs["o"]) != "["+shown("sk-new")+"]" || !d.of("g")[0].Taken {
		t.Errorf("retry with others: %+v", d)
	}
}

// startWith starts an execution with credentials_inputs and gives its id.
func (c *client) startWith(t *testing.T, graphID, credentials string) string {
	t.Helper()
	var x struct {
		ID string `json:"execution_id"`
	}
	a := c.executeWith(t, graphID, credentials)
	if err := json.Unmarshal(a.body, &x); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return x.ID
}

func TestNestedAgentsCheckTheirCredentialsWhenTheyStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{
		id: "nested", nodes: "t IN\na AGENT:child\ns OUT", links: "t.result => a.text\na.summary -> s.value",
		children: map[string]scenario{"child": {nodes: "text IN\nk KEY\nsummary OUT", links: "text.result => k.in\nk.out -> summary.value"}},
	}
	g := s.store(t, c)
	body := `{"input_data":{"t":1}`
	run := func(more string) *details {
		t.Helper()
		var x struct {
			ID string `json:"execution_id"`
		}
		c.ok(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", body+more+"}", &x)
		return w.finish(t, c, x.ID)
	}
	if d := run(""); d.Status != "FAILED" || !strings.Contains(d.Error.Message, "the nested agent cannot run") || !strings.Contains(d.Error.Message, "These credentials are required") {
		t.Errorf("%+v", d.Error)
	}
	var schema struct {
		Credentials struct {
			Properties map[string]json.RawMessage
		} `json:"credentials_input_schema"`
	}
	c.ok(t, http.MethodGet, "/builder/graphs/"+g.ID, "", &schema)
	if len(schema.Credentials.Properties) != 1 || schema.Credentials.Properties["a_api_key_credentials"] == nil {
		t.Errorf("the schema has %v", schema.Credentials.Properties)
	}
	first, second := c.key(t, "a", "sk-1"), c.key(t, "a", "sk-2")
	for id, want := range map[string]string{first: "sk-1", second: "sk-2"} {
		if d := run(`,"credentials_inputs":{"a_api_key_credentials":` + reference(id, "a", "api_key") + "}"); string(d.Outputs["s"]) != "["+shown(want)+"]" {
			t.Errorf("%s %+v", d.Outputs, d.Error)
		}
		if d := run(`,"nodes_input_masks":{"k":{"credentials":` + reference(id, "a", "api_key") + "}}"); string(d.Outputs["s"]) != "["+shown(want)+"]" {
			t.Errorf("by mask: %s %+v", d.Outputs, d.Error)
		}
	}
}

func TestCopiesOfAgentsHaveNoCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	id := c.key(t, "a", "sk-1")
	g := c.graphOf(t, `k KEY {"in":1,"credentials":`+reference(id, "a", "api_key")+"}\n"+`p PICKED {"file":{"id":"s1","_credentials_id":"`+id+`"}}`, "")
	for _, path := range []string{"GET /builder/graphs/" + g.ID + "?for_export=true", "POST /builder/graphs/" + g.ID + "/fork"} {
		method, path, _ := strings.Cut(path, " ")
		a := c.do(t, method, path, "")
		if a.status >= 300 || strings.Contains(string(a.body), id) || !strings.Contains(string(a.body), `"in":1`) || !strings.Contains(string(a.body), `"file":{"id":"s1"}`) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// A file that was picked brings the account that opens it, and takes it along to the next node.
func TestPickedFilesBringTheirCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c, bob := w.client(), w.client()
	token := func(user string, scopes ...string) string {
		t.Helper()
		made, err := w.vault.Add(t.Context(), credential.Credential{UserID: user, Provider: "a", Type: credential.OAuth2, Title: "t", Scopes: scopes}, &credential.Secret{AccessToken: "gho"})
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	id := token(c.user, "repo")
	file := func(id string) string { return `{"file":{"id":"s1","_credentials_id":"` + id + `"}}` }
	g := c.graphOf(t, "p PICKED "+file(id)+"\nq PICKED\no OUT", "p.file -> q.file\nq.out -> o.value")
	var schema struct {
		Credentials struct{ Properties map[string]json.RawMessage } `json:"credentials_input_schema"`
	}
	c.ok(t, http.MethodGet, "/builder/graphs/"+g.ID, "", &schema)
	if len(schema.Credentials.Properties) != 0 {
		t.Errorf("the caller is asked for %v", schema.Credentials.Properties)
	}
	if d := w.outputsWith(t, c, g.ID, `{}`); string(d.Outputs["o"]) != "["+shown("gho")+"]" {
		t.Errorf("%+v", d)
	}
	for name, x := range map[string]struct{ file, want string }{
		"somebody else's": {file(token(bob.user, "repo")), "Unknown credentials"},
		"scopes":          {file(token(c.user)), "they lack the scopes repo"},
		"another type":    {file(c.key(t, "a", "sk-1")), "type/provider mismatch"},
	} {
		g := c.graphOf(t, "p PICKED "+x.file, "")
		if d := w.outputsWith(t, c, g.ID, `{}`); d.Status != "FAILED" || !strings.Contains(d.problem("p"), x.want) {
			t.Errorf("%s: %+v", name, d)
		}
	}
	for _, constant := range []string{`{"file":{"id":"s1"}}`, `{"file":{"id":"s1","_credentials_id":null}}`, `{"file":{"id":"s1","_credentials_id":""}}`} {
		g := c.graphOf(t, "p PICKED "+constant, "")
		if a := c.executeWith(t, g.ID, `{}`); a.status != 422 || !strings.Contains(string(a.body), `"p":{"file":"The file names no account`) {
			t.Errorf("%s: %d %s", constant, a.status, a.body)
		}
	}
	linked := c.graphOf(t, `e ECHO {"in":{"id":"s1"}}`+"\np PICKED", "e.out -> p.file")
	if d := w.outputsWith(t, c, linked.ID, `{}`); d.Status != "FAILED" || !strings.Contains(d.problem("p"), "select the file again") {
		t.Errorf("%+v", d)
	}
}

// problem is why a node failed.
func (d *details) problem(node string) string {
	for _, e := range d.of(node) {
		if e.Error != nil {
			return *e.Error
		}
	}
	return ""
}
