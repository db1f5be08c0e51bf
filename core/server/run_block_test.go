package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// caseBlock is a block of the plugin of the conformance cases.
func caseBlock(number int) string { return fmt.Sprintf("c0f00000-0000-4000-8000-%012d", number) }

// runBlock runs a block by itself.
func (i *instance) runBlock(user, block, inputs string) (int, string) {
	i.t.Helper()
	status, body := i.call(user, http.MethodPost, "/api/v2/builder/blocks/"+block+"/execute", []byte(inputs))
	return status, string(body)
}

func TestBlocksRunByThemselves(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			left <- struct{}{} // it is asked
			<-r.Context().Done()
			left <- struct{}{} // and left
		default:
			_, _ = fmt.Fprint(w, "twelve bytes")
		}
	}))
	t.Cleanup(site.Close)
	i := startInstance(t, "PATCHBAY_PLUGIN_DIRS="+plugins+","+casesPlugin(t), "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8")
	var stored struct{ ID string }
	if status, body := i.call(alice, http.MethodPost, "/api/v2/integrations", []byte(`{"provider":"a","type":"api_key","title":"Mine","api_key":"key-of-alice"}`)); status != http.StatusCreated || json.Unmarshal(body, &stored) != nil {
		t.Fatalf("store a key: %d %s", status, body)
	}
	mine := `{"in":1,"credentials":{"id":"` + stored.ID + `","provider":"a","type":"api_key"}}`
	const digest = "d16a80956c32f3f5" // of the key

	for _, c := range []struct {
		name, user, block, inputs string
		status                    int
		want                      string // all of it, or what it holds behind "…"
	}{
		{"values come out as they went in", alice, caseBlock(3), `{"in":{"b":1e400, "a":9007199254740993}}`, 200, `{"out":[{"b":1e400, "a":9007199254740993}]}`},
		{"unknown names do nothing", alice, caseBlock(3), `{"in":1,"other":2}`, 200, `{"out":[1]}`},
		{"each pin has its values in order", alice, caseBlock(1), `{"script":[["p",1],["q",2],["p",3]]}`, 200, `{"p":[1,3],"q":[2]}`},
		{"a failure is an output", alice, caseBlock(13), `{"in":1}`, 200, `{"error":["boom"]}`},
		{"what came before a failure stays", alice, caseBlock(14), `{"in":1}`, 200, `{"out":[1],"error":["late"]}`},
		{"an output that does not fit its pin", alice, caseBlock(18), `{"in":1}`, 200, `…{"error":["invalid output: `},
		{"a panic", alice, caseBlock(15), `{"in":1}`, 200, `…{"error":["`},
		{"a template", alice, "db7d8f02-2f44-4c55-ab7a-eae0941f0c30", `{"values":{"name":"Ada"},"format":"Hello {{ name }}"}`, 200, `{"output":["Hello Ada"]}`},
		{"a request", alice, caseBlock(31), `{"script":[{"do":"post","key":"` + site.URL + `","text":"x"}]}`, 200, `{"p":[[200,12]]}`},
		{"what is remembered lasts for the run", alice, caseBlock(31), `{"script":[{"do":"deadline"}]}`, 200, `…{"p":["2`},
		{"keys are of agents", alice, caseBlock(31), `{"script":[{"do":"count","key":"k"}]}`, 200, `…a block that runs alone has no keys; run it in an agent`},
		{"its own credentials", alice, caseBlock(33), mine, 200, `{"out":["` + digest + `"]}`},
		{"the only credentials that fit", alice, caseBlock(33), `{"in":1}`, 200, `{"out":["` + digest + `"]}`},
		{"credentials that it can do without", bob, caseBlock(34), `{"in":1}`, 200, `{"out":["none"]}`},
		{"no credentials", bob, caseBlock(33), `{"in":1}`, 422, `…"fields":{"credentials":"These credentials are required"}`},
		{"somebody else's credentials", bob, caseBlock(33), mine, 422, `…"fields":{"credentials":"Unknown credentials #` + stored.ID},
		{"a reference that is none", alice, caseBlock(33), `{"credentials":7}`, 422, `…"fields":{"credentials":"Invalid credentials: `},
		{"a secret in an error", alice, leakBlock, mine, 200, `…***`},
		{"a required input", alice, caseBlock(5), `{"a":1}`, 422, `…"fields":{"b":"is required"}`},
		{"an input that does not fit", alice, caseBlock(12), `{"m":"z"}`, 422, `…"fields":{"m":"expects `},
		{"an input of graphs", alice, inputBlock, `{"name":"x"}`, 403, `…is an input of a graph`},
		{"an output of graphs", alice, outputBlock, `{"name":"x"}`, 403, `…is an output of a graph`},
		{"a nested agent", alice, "e189baac-8c20-45a1-94a7-55177ea42565", `{}`, 403, `…it runs a graph`},
		{"a note", alice, "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc", `{"text":"x"}`, 403, `…it is a remark`},
		{"no block", alice, "c0f00000-0000-4000-8000-999999999999", `{}`, 404, `…"NOT_FOUND"`},
		{"an odd id", alice, "no%2Fblock", `{}`, 404, `…"NOT_FOUND"`},
		{"a list", alice, caseBlock(3), `[1]`, 422, `…"body"`},
		{"no JSON", alice, caseBlock(3), `{"in":`, 422, `…"body"`},
		{"no body", alice, caseBlock(3), ``, 422, `…"body"`},
		{"a name twice", alice, caseBlock(3), `{"in":1,"in":2}`, 422, `…"in"`},
		{"nobody", "", caseBlock(3), `{"in":1}`, 401, `…"UNAUTHORIZED"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := i.runBlock(c.user, c.block, c.inputs)
			part, isPart := strings.CutPrefix(c.want, "…")
			if status != c.status || strings.Contains(got, "key-of-alice") || (isPart && !strings.Contains(got, part)) || (!isPart && strings.TrimSpace(got) != c.want) {
				t.Errorf("%d %s, want %d %s", status, got, c.status, c.want)
			}
		})
	}
	for _, path := range []string{"/api/v1/blocks/", "/external-api/v1/blocks/"} {
		if status, body := i.call(alice, http.MethodPost, path+caseBlock(3)+"/execute", []byte(`{"in":[]}`)); status != 200 || strings.TrimSpace(string(body)) != `{"out":[[]]}` {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}

	// Who leaves stops the block.
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.base+"/api/v2/builder/blocks/"+caseBlock(31)+"/execute",
		strings.NewReader(`{"script":[{"do":"hang","key":"`+site.URL+`/hang"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token(t, alice))
	request.Header.Set("Content-Type", "application/json")
	answered := make(chan error)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		answered <- err
	}()
	<-left
	leave()
	if err := <-answered; err == nil {
		t.Error("it was answered")
	}
	<-left

	// Nothing of all this is an execution.
	var list struct{ Pagination struct{ Total int } }
	if _, body := i.call(alice, http.MethodGet, "/api/v2/executions", nil); json.Unmarshal(body, &list) != nil || list.Pagination.Total != 0 {
		t.Errorf("executions: %s", body)
	}
	if status, body := i.runBlock(alice, caseBlock(3), `{"in":1}`); status != 200 {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

// A server that stops lets a block that runs by itself have the grace period, and then answers for it.
func TestAStopEndsBlocksByThemselves(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(site.Close)
	i := startInstance(t, "PATCHBAY_PLUGIN_DIRS="+plugins+","+casesPlugin(t), "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8", "PATCHBAY_SHUTDOWN_GRACE=100ms")
	type answer struct {
		status int
		body   []byte
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		status, body, err := i.try(alice, http.MethodPost, "/api/v2/builder/blocks/"+caseBlock(31)+"/execute", []byte(`{"script":[{"do":"hang","key":"`+site.URL+`"}]}`))
		answered <- answer{status, body, err}
	}()
	<-asked
	if code := i.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if a := <-answered; a.err != nil || a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), `"UNAVAILABLE"`) {
		t.Errorf("%d %s %v", a.status, a.body, a.err)
	}
}

// API keys need the permission, and each run counts as an execution.
func TestBlocksByThemselvesAreLimited(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_RATE_LIMIT_EXECUTION=2", "PATCHBAY_MAX_BODY=1KiB")
	keys := map[string]string{}
	for _, permission := range []string{"EXECUTE_BLOCK", "EXECUTE_GRAPH"} {
		var key struct{ Key string }
		if status, body := i.call(alice, http.MethodPost, "/api/v2/api-keys", []byte(`{"name":"k","permissions":["`+permission+`"]}`)); status != 201 || json.Unmarshal(body, &key) != nil {
			t.Fatalf("create a key: %d %s", status, body)
		}
		keys[permission] = key.Key
	}
	path, inputs := "/api/v2/builder/blocks/"+storeBlock+"/execute", []byte(`{"input":1}`)
	if status, body := i.call("", http.MethodPost, path, inputs, "X-API-Key", keys["EXECUTE_GRAPH"]); status != 403 || !strings.Contains(string(body), `"missing_permissions":["EXECUTE_BLOCK"]`) {
		t.Errorf("a key for graphs: %d %s", status, body)
	}
	if status, body := i.call(alice, http.MethodPost, path, []byte(`{"input":"`+strings.Repeat("x", 2000)+`"}`)); status != 413 {
		t.Errorf("a body that is too large: %d %s", status, body)
	}
	statuses := map[int]int{}
	for range 5 { // within one minute, or two at the most
		status, _ := i.call("", http.MethodPost, path, inputs, "X-API-Key", keys["EXECUTE_BLOCK"])
		statuses[status]++
	}
	if statuses[200] > 4 || statuses[429] == 0 || statuses[200]+statuses[429] != 5 {
		t.Errorf("five runs with a limit of two: %v", statuses)
	}
}
