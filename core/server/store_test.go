package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const admin = "00000000-0000-4000-8000-0000000000ad"

// answer is what the store's endpoints answer with, as far as these tests look at it.
type answer struct {
	ID           string `json:"id"`
	ListingID    string `json:"listing_id"`
	Status       string `json:"status"`
	Version      int    `json:"listing_version"`
	GraphVersion int    `json:"graph_version"`
	Name         string
	UserID       string `json:"user_id"`
	Comments     string `json:"review_comments"`
	Internal     *string
	Creator      string
	Featured     bool
	Runs         int
	Rating       float64
	ImageURLs    []string `json:"image_urls"`
	Versions     []answer
	Agents       []answer
	Submissions  []answer
	Creators     []struct {
		Username string
		Agents   int `json:"num_agents"`
		Runs     int `json:"agent_runs"`
	}
	Pagination *struct {
		Total int `json:"total"`
	}
}

// store asks for JSON and fails unless the answer has the status.
func (i *instance) store(user, method, path, body string, want int) answer {
	i.t.Helper()
	status, text := i.call(user, method, "/api/v2/store/"+path, []byte(body))
	if status != want {
		i.t.Errorf("%s %s as %q: %d %.500s, want %d", method, path, user, status, text, want)
	}
	var a answer
	if status < 300 && status != http.StatusNoContent {
		if err := json.Unmarshal(text, &a); err != nil {
			i.t.Errorf("%s %s: %v", method, path, err)
		}
	}
	return a
}

func TestStore(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_STORE_PUBLIC=true", "PATCHBAY_ADMIN_USERS="+admin)
	graph := i.create(through(storeBlock, "input", "output", nil))
	submission := fmt.Sprintf(`{"graph_id":%q,"graph_version":1,"name":"My Agent","description":"<b>bold</b>","categories":["Productivity"],"image_urls":["https://..."],`+
		`"status":"APPROVED","is_featured":true,"featured":true,"creator":"somebody","user_id":%q,"listing_version":9,"runs":100}`, graph, bob)

	// What is submitted waits, whatever else is said with it.
	v := i.store(alice, "POST", "submissions", submission, 201)
	if v.Status != "PENDING" || v.UserID != alice || v.Version != 1 || i.store(bob, "GET", "agents", "", 200).Pagination.Total != 0 {
		t.Errorf("submitted %+v", v)
	}
	i.store(bob, "POST", "submissions", submission, 404)
	i.store(alice, "POST", "submissions", strings.Replace(submission, `"graph_version":1`, `"graph_version":0`, 1), 422)
	i.store(alice, "POST", "submissions", strings.Replace(submission, `"name":"My Agent",`, "", 1), 422)
	i.store(alice, "POST", "submissions", strings.Replace(submission, "https://...", "javascript:alert(1)", 1), 422)
	for _, id := range []string{v.ID, graph, v.ListingID, "nonsense"} {
		i.store(bob, "GET", "agents/"+id, "", 404)
		i.store(bob, "POST", "agents/"+id+"/reviews", `{"score":1}`, 404)
		i.store(bob, "GET", "submissions/"+id, "", 404)
		i.store(bob, "PUT", "submissions/"+id, submission, 404)
		i.store(bob, "DELETE", "submissions/"+id, "", 404)
	}

	// Administrators decide.
	for _, path := range []string{"admin/submissions", "admin/submissions/" + v.ID + "/graph"} {
		i.store(alice, "GET", path, "", 403)
		i.store("", "GET", path, "", 401)
	}
	review := "admin/submissions/" + v.ID + "/review"
	i.store(alice, "POST", review, `{"approved":true}`, 403)
	i.store(alice, "PUT", "admin/agents/"+v.ListingID, `{"featured":true}`, 403)
	i.store(admin, "POST", review, `{}`, 422)
	i.store(admin, "POST", "admin/submissions/nonsense/review", `{"approved":true}`, 404)
	if all := i.store(admin, "GET", "admin/submissions?status=PENDING", "", 200); all.Pagination.Total != 1 || all.Submissions[0].ID != v.ID {
		t.Errorf("all submissions %+v", all)
	}
	i.store(admin, "GET", "admin/submissions/"+v.ID+"/graph", "", 200)
	if v = i.store(admin, "POST", review, `{"approved":true,"comments":"nice","internal_comments":"watch her"}`, 200); v.Status != "APPROVED" || v.Comments != "nice" {
		t.Errorf("approved %+v", v)
	}
	if _, text := i.call(alice, "GET", "/api/v2/store/submissions/"+v.ID, nil); strings.Contains(string(text), "watch her") {
		t.Errorf("the author reads %s", text)
	}

	// Everybody reads, with a credential or, here, without.
	for _, user := range []string{"", bob} {
		for _, query := range []string{"", "?search=agent", "?category=productivity", "?sorted_by=runs", "?sorted_by=rating", "?sorted_by=newest", "?search_query=my+agent&sort_by=name"} {
			list := i.store(user, "GET", "agents"+query, "", 200)
			if list.Pagination.Total != 1 || len(list.Agents) != 1 || list.Agents[0].Featured {
				t.Errorf("%q lists %+v", query, list)
			}
		}
		i.store(user, "GET", "agents?sorted_by=x", "", 422)
		i.store(user, "GET", "agents?page_size=101", "", 422)
		if d := i.store(user, "GET", "agents/"+graph, "", 200); d.ID != v.ListingID || len(d.Versions) != 1 || len(d.ImageURLs) != 1 || d.UserID != "" {
			t.Errorf("details %+v", d)
		}
		if c := i.store(user, "GET", "creators", "", 200); c.Pagination.Total != 1 || c.Creators[0].Agents != 1 {
			t.Errorf("creators %+v", c)
		}
	}

	// The earlier version shows the same.
	creator := i.store("", "GET", "creators", "", 200).Creators[0].Username
	for _, path := range []string{"agents?search=agent", "agents/" + creator + "/my-agent", "creators", "creators/" + creator} {
		_, want := i.call("", "GET", "/api/v2/store/"+path, nil)
		if status, got := i.call("", "GET", "/external-api/v1/store/"+path, nil); status != 200 || string(got) != string(want) {
			t.Errorf("%s of the earlier version: %d %s, want %s", path, status, got, want)
		}
	}
	if status, text := i.call("", "GET", "/api/v2/store/agents", nil, "Authorization", "Bearer nonsense"); status != 401 {
		t.Errorf("a bad token reads: %d %s", status, text)
	}
	i.store("", "POST", "agents/"+graph+"/reviews", `{"score":5}`, 401)
	i.store("", "POST", "submissions", submission, 401)
	i.store("", "GET", "submissions", "", 401)
	i.store("", "GET", "profile", "", 401)
	if status, text := i.call("", "GET", "/api/v2/builder/graphs/"+graph, nil); status != 401 {
		t.Errorf("a graph without a credential: %d %s", status, text)
	}

	// Ratings.
	i.store(alice, "POST", "agents/"+graph+"/reviews", `{"score":5}`, 403)
	for _, bad := range []string{`{"score":6}`, `{"score":0}`, `{"score":4.5}`, `{}`, `{"score":"5"}`} {
		i.store(bob, "POST", "agents/"+graph+"/reviews", bad, 422)
	}
	i.store(bob, "POST", "agents/"+graph+"/reviews", `{"score":2}`, 200)
	i.store(bob, "POST", "agents/"+graph+"/reviews", `{"rating":4,"comments":"better"}`, 200)
	i.store(bob, "POST", "agents/"+graph+"/review", `{"score":4,"comments":"better"}`, 200)
	i.store(bob, "POST", "agents/"+graph+"/review", `{}`, 422)
	i.store(alice, "POST", "agents/"+graph+"/review", `{"score":4}`, 403)
	if d := i.store(bob, "GET", "agents/"+graph, "", 200); d.Rating != 4 {
		t.Errorf("rated %+v", d)
	}

	// Featuring, the next version, and taking back.
	i.store(admin, "PUT", "admin/agents/"+v.ListingID, `{"featured":true}`, 200)
	if list := i.store(bob, "GET", "agents?featured=true", "", 200); list.Pagination.Total != 1 || !list.Agents[0].Featured {
		t.Errorf("featured %+v", list)
	}
	if status, text := i.call(alice, "PUT", "/api/v2/builder/graphs/"+graph, through(storeBlock, "input", "output", nil)); status != 200 {
		t.Fatalf("update: %d %s", status, text)
	}
	second := i.store(alice, "POST", "submissions", strings.Replace(submission, `"graph_version":1`, `"graph_version":2`, 1), 201)
	if d := i.store(bob, "GET", "agents/"+graph, "", 200); d.GraphVersion != 1 {
		t.Errorf("shown before the review: %+v", d)
	}
	i.store(admin, "POST", "admin/submissions/"+second.ID+"/review", `{"is_approved":true}`, 200)
	if d := i.store(bob, "GET", "agents/"+second.ID, "", 200); d.GraphVersion != 2 || len(d.Versions) != 2 || second.Version != 2 {
		t.Errorf("second version %+v", d)
	}
	for _, one := range []string{second.ID, v.ID} {
		i.store(admin, "POST", "admin/submissions/"+one+"/review", `{"approved":false,"comments":"no"}`, 200)
	}
	if list := i.store(bob, "GET", "agents", "", 200); list.Pagination.Total != 0 {
		t.Errorf("still listed: %+v", list)
	}
	if mine := i.store(alice, "GET", "submissions?status=REJECTED", "", 200); mine.Pagination.Total != 2 || mine.Submissions[0].Comments != "no" {
		t.Errorf("hers: %+v", mine)
	}
	i.store(alice, "DELETE", "submissions/"+v.ID, "", 204)
	i.store(alice, "DELETE", "submissions/"+v.ID, "", 404)
}

// canaries are nodes whose constants hold what looks like a secret, one of each kind.
func canaries() []graphNode {
	return []graphNode{
		{"web", storeBlock, map[string]any{"input": "go", "data": map[string]any{
			"headers": map[string]any{
				"Authorization": "CANARY-Authorization", "X-API-Key": "CANARY-xapikey", "Cookie": "CANARY-cookie", "Proxy-Authorization": "CANARY-proxy",
				"apikey": "CANARY-apikey", "private_key": "CANARY-privatekey", "passwd": "CANARY-passwd", "bearer": "CANARY-bearer", "Accept": "visible",
			},
			"url": "https://CANARY-user:CANARY-pass@example.com/?api_key=CANARY-urlkey",
		}}},
		{"hush", shortTextBlock, map[string]any{"name": "S", "secret": true, "value": "CANARY-value", "placeholder_values": []string{"CANARY-ph"}}},
		{"named", shortTextBlock, map[string]any{"name": "api_key", "value": "CANARY-inputnamed"}},
		{"echo", outputBlock, map[string]any{"name": "Echo"}},
		{"key", outputBlock, map[string]any{"name": "Used"}},
	}
}

func canaryLinks() []graphLink {
	return []graphLink{
		{SourceID: "web", SourceName: "output", SinkID: "echo", SinkName: "value"},
		{SourceID: "named", SourceName: "result", SinkID: "key", SinkName: "value"},
	}
}

// What only looks like a secret others do not see either: not before they add the agent, not in copies, not in runs.
func TestStoreShowsNothingThatLooksLikeASecret(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_ADMIN_USERS="+admin)
	graph := i.create(document(canaries(), canaryLinks()...))
	v := i.store(alice, "POST", "submissions", fmt.Sprintf(`{"graph_id":%q,"graph_version":1,"name":"Canary"}`, graph), 201)
	ask := func(user, method, path, body string, want int) []byte {
		t.Helper()
		status, text := i.call(user, method, "/api/"+path, []byte(body), "Prefer", "wait=30")
		if status != want {
			t.Fatalf("%s %s: %d %.1000s, want %d", method, path, status, text, want)
		}
		if strings.Contains(string(text), "CANARY") {
			t.Errorf("%s shows %s %s: %s", path, user, method, text)
		}
		return text
	}
	ask(admin, "GET", "v2/store/admin/submissions/"+v.ID+"/graph", "", 200)
	i.store(admin, "POST", "admin/submissions/"+v.ID+"/review", `{"approved":true}`, 200)
	for _, path := range []string{
		"v2/builder/graphs/" + graph + "?version=1", "v2/builder/graphs/" + graph + "?for_export=true", "v1/graphs/" + graph,
		"v2/store/listings/versions/" + v.ID + "/graph/download",
	} {
		if text := ask(bob, "GET", path, "", 200); !strings.Contains(string(text), "visible") {
			t.Errorf("%s lacks what is no secret: %s", path, text)
		}
	}
	var fork struct{ ID string }
	if err := json.Unmarshal(ask(bob, "POST", "v2/builder/graphs/"+graph+"/fork", "", 201), &fork); err != nil {
		t.Fatal(err)
	}
	ask(bob, "GET", "v2/builder/graphs/"+fork.ID, "", 200)

	// It runs with them all the same.
	ask(bob, "POST", "v2/library/agents", fmt.Sprintf(`{"agent_id":%q,"agent_version":1}`, graph), 201)
	ask(bob, "GET", "v2/builder/graphs/"+graph, "", 200)
	var d details
	if err := json.Unmarshal(ask(bob, "POST", "v2/builder/graphs/"+graph+"/execute", `{}`, 200), &d); err != nil || d.Status != "COMPLETED" {
		t.Fatalf("bob's run: %+v %v", d, err)
	}
	if len(d.Outputs["Echo"]) != 1 || !strings.Contains(string(d.Outputs["Echo"][0]), `"***"`) || len(d.Outputs["Used"]) != 1 || string(d.Outputs["Used"][0]) != `"***"` {
		t.Errorf("bob's run used %s", d.Outputs)
	}
	ask(bob, "GET", "v2/executions/"+d.ID, "", 200)
	if text := ask(bob, "GET", "v2/executions/"+d.ID+"/nodes", "", 200); !strings.Contains(string(text), "visible") {
		t.Errorf("bob's run lacks what is no secret: %s", text)
	}
	if own := i.run(graph, `{}`); len(own.Outputs["Used"]) != 1 || string(own.Outputs["Used"][0]) != `"CANARY-inputnamed"` {
		t.Errorf("the author's run used %s", own.Outputs)
	}
}

// Others read a listed graph, its nested agents too, but neither secrets nor who made it.
func TestStoreShowsNoSecrets(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_STORE_AUTO_APPROVE=true")
	const secret, named = "an author's secret", "another key of hers"
	nodes := []graphNode{
		{"in", inputBlock, map[string]any{"name": "Value"}},
		{"key", inputBlock, map[string]any{"name": "Key", "value": secret, "secret": true}},
		{"middle", storeBlock, map[string]any{"data": map[string]any{"password": named, "plain": "visible"}}},
		{"out", outputBlock, map[string]any{"name": "Output"}},
	}
	graph := i.create(document(nodes,
		graphLink{SourceID: "in", SourceName: "result", SinkID: "middle", SinkName: "input"},
		graphLink{SourceID: "middle", SourceName: "output", SinkID: "out", SinkName: "value"}))
	if status, _ := i.call(bob, "GET", "/api/v2/builder/graphs/"+graph, nil); status != 404 {
		t.Errorf("a graph that is not listed: %d", status)
	}
	v := i.store(alice, "POST", "submissions", fmt.Sprintf(`{"graph_id":%q,"graph_version":1,"name":"One"}`, graph), 201)
	if v.Status != "APPROVED" {
		t.Errorf("submitted %+v", v)
	}
	for _, path := range []string{
		"builder/graphs/" + graph, "builder/graphs/" + graph + "?version=1", "builder/graphs/" + graph + "?for_export=true",
		"store/listings/versions/" + v.ID + "/graph/download", "store/agents", "store/agents/" + graph, "store/creators",
	} {
		status, text := i.call(bob, "GET", "/api/v2/"+path, nil)
		if status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
		for _, hidden := range []string{secret, named, alice} {
			if strings.Contains(string(text), hidden) {
				t.Errorf("%s shows %q: %s", path, hidden, text)
			}
		}
		if strings.Contains(path, "raph/") && !strings.Contains(string(text), "visible") {
			t.Errorf("%s lacks what is no secret: %s", path, text)
		}
	}
	for _, path := range []string{"builder/graphs/" + graph + "?version=2", "builder/graphs/" + graph + "/versions"} {
		if status, text := i.call(bob, "GET", "/api/v2/"+path, nil); status != 404 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	for method, path := range map[string]string{"PUT": "", "DELETE": "", "POST": "/execute"} {
		if status, text := i.call(bob, method, "/api/v2/builder/graphs/"+graph+path, document(nodes)); status != 404 && status != 422 {
			t.Errorf("%s %s: %d %s", method, path, status, text)
		}
	}
	if status, text := i.call(bob, "POST", "/api/v2/builder/graphs/"+graph+"/execute", nil); status != 404 {
		t.Errorf("execute what is not in the library: %d %s", status, text)
	}
}

// An approved agent runs from the library of whoever added it, whatever becomes of it in the store; its author's secrets
// work and are not seen. Only runs of others count.
func TestStoreAgentsRunForThoseWhoAddThem(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_STORE_AUTO_APPROVE=true", "PATCHBAY_ADMIN_USERS="+admin, "PATCHBAY_RATE_LIMIT_GENERAL=0", "PATCHBAY_RATE_LIMIT_EXECUTION=0")
	const secret = "an author's secret"
	inner := i.create(document([]graphNode{
		{"in", inputBlock, map[string]any{"name": "Value"}},
		{"key", inputBlock, map[string]any{"name": "Key", "value": secret, "secret": true}},
		{"sink", storeBlock, map[string]any{}},
		{"out", outputBlock, map[string]any{"name": "Output"}},
	},
		graphLink{SourceID: "in", SourceName: "result", SinkID: "out", SinkName: "value"},
		graphLink{SourceID: "key", SourceName: "result", SinkID: "sink", SinkName: "input"}))
	outer := i.create(document([]graphNode{
		{"in", inputBlock, map[string]any{"name": "Value"}},
		{"agent", agentBlock, map[string]any{
			"graph_id": inner, "graph_version": 1, "inputs": map[string]any{"Key": "passed secret"},
			"input_schema":  map[string]any{"type": "object", "properties": map[string]any{"Value": map[string]any{}, "Key": map[string]any{"secret": true}}, "required": []string{"Value"}},
			"output_schema": map[string]any{"type": "object", "properties": map[string]any{"Output": map[string]any{}}},
		}},
		{"out", outputBlock, map[string]any{"name": "Output"}},
	},
		graphLink{SourceID: "in", SourceName: "result", SinkID: "agent", SinkName: "Value"},
		graphLink{SourceID: "agent", SourceName: "Output", SinkID: "out", SinkName: "value"}))

	ask := func(user, method, path, body string, want int) string {
		t.Helper()
		status, text := i.call(user, method, "/api/v2/"+path, []byte(body))
		if status != want {
			t.Fatalf("%s %s: %d %.1000s, want %d", method, path, status, text, want)
		}
		return string(text)
	}
	add := fmt.Sprintf(`{"agent_id":%q,"agent_version":1}`, outer)
	ask(bob, "POST", "library/agents", add, 404)
	v := i.store(alice, "POST", "submissions", fmt.Sprintf(`{"graph_id":%q,"graph_version":1,"name":"Listed","description":"d"}`, outer), 201)
	ask(bob, "POST", "builder/graphs/"+outer+"/execute", `{"input_data":{"Value":1}}`, 404)
	ask(bob, "POST", "library/agents", fmt.Sprintf(`{"agent_id":%q,"agent_version":2}`, outer), 404)
	ask(bob, "POST", "library/agents", fmt.Sprintf(`{"agent_id":%q,"agent_version":1}`, inner), 404) // listed as a part only
	ask(bob, "POST", "library/agents", fmt.Sprintf(`{"store_listing_version_id":%q}`, outer), 404)
	ask(bob, "POST", "library/agents", `{"agent_version":1}`, 422)
	entry := struct {
		ID     string
		Name   string
		Own    bool `json:"is_created_by_user"`
		Latest bool `json:"is_latest_version"`
	}{}
	if err := json.Unmarshal([]byte(ask(bob, "POST", "library/agents", add, 201)), &entry); err != nil || entry.Own || !entry.Latest || entry.Name != "Listed" {
		t.Errorf("bob's entry: %+v %v", entry, err)
	}
	if again := ask(bob, "POST", "library/agents", fmt.Sprintf(`{"store_listing_version_id":%q}`, v.ID), 200); !strings.Contains(again, entry.ID) {
		t.Errorf("added by its place in the store: %s", again)
	}

	runs := 0
	run := func(when string) {
		t.Helper()
		for _, body := range []string{`{"input_data":{"Value":"mine"}}`, `{"input_data":{"Value":"mine"},"version":1}`} {
			status, text := i.call(bob, "POST", "/api/v2/builder/graphs/"+outer+"/execute", []byte(body), "Prefer", "wait=30")
			var d details
			if err := json.Unmarshal(text, &d); err != nil || status != 200 || d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 1 || string(d.Outputs["Output"][0]) != `"mine"` {
				t.Fatalf("%s: %d %s", when, status, text)
			}
			runs++
			var nested struct{ Executions []struct{ ID string } }
			if err := json.Unmarshal([]byte(ask(bob, "GET", "executions?parent_execution_id="+d.ID, "", 200)), &nested); err != nil || len(nested.Executions) != 1 {
				t.Fatalf("%s: nested %+v %v", when, nested, err)
			}
			text = append(text, ask(bob, "GET", "executions/"+nested.Executions[0].ID, "", 200)...)
			text = append(text, ask(bob, "GET", "executions/"+nested.Executions[0].ID+"/nodes", "", 200)...)
			if strings.Contains(string(text), " secret") {
				t.Errorf("%s: bob reads %.3000s", when, text)
			}
		}
	}
	run("added")
	i.run(outer, `{"Value":"hers"}`)
	if d := i.store(bob, "GET", "agents/"+outer, "", 200); d.Runs != runs {
		t.Errorf("%d runs by others, shown are %d", runs, d.Runs)
	}
	if c := i.store(bob, "GET", "creators", "", 200); c.Creators[0].Runs != runs {
		t.Errorf("the creator has %+v", c.Creators)
	}

	// A newer version is told, and not forced on anybody.
	if status, text := i.call(alice, "PUT", "/api/v2/builder/graphs/"+outer, through(storeBlock, "input", "output", nil)); status != 200 {
		t.Fatalf("update: %d %s", status, text)
	}
	ask(bob, "POST", "library/agents", fmt.Sprintf(`{"agent_id":%q,"agent_version":2}`, outer), 404)
	i.store(alice, "POST", "submissions", fmt.Sprintf(`{"graph_id":%q,"graph_version":2,"name":"Listed","description":"d"}`, outer), 201)
	if err := json.Unmarshal([]byte(ask(bob, "GET", "library/agents/"+entry.ID, "", 200)), &entry); err != nil || entry.Latest {
		t.Errorf("bob's entry: %+v %v", entry, err)
	}
	run("a newer version is there")

	// Taken out of the store, then deleted: it goes on for bob, and is there for nobody else.
	i.store(admin, "POST", "admin/submissions/"+v.ID+"/review", `{"approved":false}`, 200)
	run("rejected")
	ask(alice, "DELETE", "builder/graphs/"+outer, "", 204)
	ask(alice, "DELETE", "builder/graphs/"+inner, "", 204)
	run("deleted")
	i.store(bob, "GET", "agents/"+outer, "", 404)
	ask(admin, "POST", "library/agents", add, 404)
	ask(alice, "POST", "builder/graphs/"+outer+"/execute", `{"input_data":{"Value":1}}`, 404)
	if shown := ask(bob, "GET", "builder/graphs/"+outer, "", 200); strings.Contains(shown, "passed secret") || strings.Contains(shown, alice) {
		t.Errorf("bob reads %s", shown)
	}
	ask(bob, "DELETE", "library/agents/"+entry.ID, "", 204)
	ask(bob, "POST", "builder/graphs/"+outer+"/execute", `{"input_data":{"Value":1}}`, 404)
	ask(bob, "GET", "builder/graphs/"+outer, "", 404)
}
