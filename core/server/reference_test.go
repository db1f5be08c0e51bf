package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// nth is a user, one of many, so that tests on one server do not meet.
func nth(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// plainGraph has no nodes.
func plainGraph(name, description string) string {
	return fmt.Sprintf(`{"name":%q,"description":%q,"nodes":[],"links":[]}`, name, description)
}

// freeGraph needs no inputs.
func freeGraph(name string) string {
	return fmt.Sprintf(`{"name":%q,"nodes":[{"id":"in","block_id":%q,"input_default":{"name":"x","value":1}}]}`, name, inputBlock)
}

// made creates something and gives its id.
func (i *instance) made(user, path, body string) string {
	i.t.Helper()
	return gjson.Get(i.ask(user, "POST", path, body, 201), "id").String()
}

// What the API reference says, and what it leaves to common sense, from outside: by a client that knows nothing else.
func TestTheReferenceFromOutside(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_PLUGIN_DIRS="+plugins+","+casesPlugin(t))
	for name, test := range map[string]func(*testing.T, *instance){
		"errors": errorsFromOutside, "pages": pagesFromOutside, "library": libraryFromOutside, "builder": builderFromOutside,
		"versions": versionsFromOutside, "executions": executionsFromOutside, "earlier versions": earlierFromOutside,
	} {
		t.Run(name, func(t *testing.T) {
			own := *i
			own.t = t
			test(t, &own)
		})
	}
}

// field checks a value of an answer.
func field(t *testing.T, answer, path, want string) {
	t.Helper()
	if got := gjson.Get(answer, path).String(); got != want {
		t.Errorf("%s is %q, want %q, in %.600s", path, got, want, answer)
	}
}

func errorsFromOutside(t *testing.T, i *instance) {
	a := nth(1)
	const graphs, library = "/api/v2/builder/graphs", "/api/v2/library/agents"
	for _, c := range []struct {
		user, method, path, body string
		status                   int
		code                     string
	}{
		{"", "GET", library, "", 401, "UNAUTHORIZED"},
		{a, "GET", "/api/v2/nope", "", 404, "NOT_FOUND"},
		{a, "PATCH", graphs, "", 405, "METHOD_NOT_ALLOWED"},
		{a, "POST", graphs, `{"name":`, 422, "VALIDATION_ERROR"},
		{a, "POST", graphs, `[]`, 422, "VALIDATION_ERROR"},
		{a, "POST", graphs, `{"name":7}`, 422, "VALIDATION_ERROR"},
		{a, "GET", library + "/not-a-uuid", "", 404, "NOT_FOUND"},
		{a, "POST", "/api/v2/store/admin/submissions/x/review", `{"approved":true}`, 403, "FORBIDDEN"},
	} {
		answer := i.ask(c.user, c.method, c.path, c.body, c.status)
		field(t, answer, "error.code", c.code)
		if len(gjson.Parse(answer).Map()) != 1 || gjson.Get(answer, "error.message").Type != gjson.String || !gjson.Get(answer, "error.details").IsObject() {
			t.Errorf("%s %s is no envelope: %s", c.method, c.path, answer)
		}
	}
	if answer := i.ask(a, "POST", graphs, `{"name":7}`, 422); !gjson.Get(answer, "error.details.fields.name").Exists() {
		t.Errorf("the field is not named: %s", answer)
	}
	for authorization, status := range map[string]int{
		"Basic YTpi": 401, "Bearer garbage": 401, "bearer " + token(t, a): 200, "Bearer " + token(t, a) + "x": 401, "": 401,
	} {
		i.ask("", "GET", library, "", status, "Authorization", authorization)
	}
	i.ask(a, "GET", library, "", 401, "X-API-Key", "pb_"+strings.Repeat("x", 43)) // whatever the token says
	for _, path := range []string{"/openapi.json", "/healthz", "/readyz", "/docs"} {
		i.ask("", "GET", path, "", 200)
	}
}

func pagesFromOutside(t *testing.T, i *instance) {
	a := nth(2)
	const list = "/api/v2/library/agents"
	answer := i.ask(a, "GET", list, "", 200)
	field(t, answer, "agents.@this", "[]")
	field(t, answer, "pagination", `{"page":1,"page_size":15,"total":0,"total_pages":0}`)
	for n := range 17 {
		i.made(a, "/api/v2/builder/graphs", plainGraph(fmt.Sprintf("%c%d", "bA"[n%2], n), []string{"plain", "100% of_it"}[n%2]))
	}
	seen := map[string]bool{}
	for page, want := range map[int]int{1: 15, 2: 2, 3: 0} {
		answer = i.ask(a, "GET", fmt.Sprint(list, "?page=", page), "", 200)
		field(t, answer, "agents.#", fmt.Sprint(want))
		field(t, answer, "pagination.total", "17")
		field(t, answer, "pagination.total_pages", "2")
		for _, id := range gjson.Get(answer, "agents.#.id").Array() {
			seen[id.String()] = true
		}
	}
	if len(seen) != 17 {
		t.Errorf("the pages show %d agents", len(seen))
	}
	for _, query := range []string{"page=0", "page=-1", "page=x", "page_size=0", "page_size=1000", "sort_by=bogus", "search_term=" + strings.Repeat("x", 101)} {
		i.ask(a, "GET", list+"?"+query, "", 422)
	}
	names := func(query string) string {
		var all []string
		for _, name := range gjson.Get(i.ask(a, "GET", list+"?page_size=100&"+query, "", 200), "agents.#.name").Array() {
			all = append(all, name.String())
		}
		return strings.Join(all, " ")
	}
	if got := names("sort_by=name"); got != "A1 A11 A13 A15 A3 A5 A7 A9 b0 b10 b12 b14 b16 b2 b4 b6 b8" {
		t.Errorf("by name: %s", got)
	}
	for query, want := range map[string]string{"search_term=B1": "b16 b14 b12 b10", "search_term=0%25%20of_": "A15 A13 A11 A9 A7 A5 A3 A1", "search_term=%25": "A15 A13 A11 A9 A7 A5 A3 A1", "search_term=a_1": ""} {
		if got := names(query); got != want {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"sorted_by=name&search=B1", "sort_by=name&search_term=b1"} {
		if got := names(query); got != "b10 b12 b14 b16" {
			t.Errorf("%s finds %q", query, got)
		}
	}
	oldest := gjson.Get(i.ask(a, "GET", list+"?page=2", "", 200), "agents.1")
	i.ask(a, "PUT", "/api/v2/builder/graphs/"+oldest.Get("agent_id").String(), plainGraph("again", ""), 200)
	field(t, i.ask(a, "GET", list, "", 200), "agents.0.id", oldest.Get("id").String())
	field(t, i.ask(a, "GET", "/api/v2/builder/graphs", "", 200), "pagination.page_size", "20")
}

func libraryFromOutside(t *testing.T, i *instance) {
	a, b := nth(3), nth(4)
	const list = "/api/v2/library/agents"
	graph := i.made(a, "/api/v2/builder/graphs", plainGraph("Mine", "d"))
	entry := gjson.Get(i.ask(a, "GET", list, "", 200), "agents.0").Raw
	for _, name := range []string{"id", "name", "description", "is_favorite", "is_created_by_user", "is_latest_version", "agent_id", "agent_version", "preset_id", "updated_at", "created_at"} {
		if !gjson.Get(entry, name).Exists() {
			t.Errorf("the entry lacks %s: %s", name, entry)
		}
	}
	field(t, entry, "is_created_by_user", "true")
	field(t, entry, "is_latest_version", "true")
	field(t, entry, "agent_id", graph)
	field(t, entry, "agent_version", "1")
	id := gjson.Get(entry, "id").String()
	add := fmt.Sprintf(`{"agent_id":%q,"agent_version":1}`, graph)
	field(t, i.ask(a, "POST", list, add, 200), "id", id)
	i.ask(b, "POST", list, add, 404)
	i.ask(a, "POST", list, `{}`, 422)
	path := list + "/" + id
	for who, status := range map[string]int{a: 200, b: 404} {
		i.ask(who, "GET", path, "", status)
		i.ask(who, "PUT", path, `{}`, status)
	}
	i.ask(a, "GET", list+"/"+nth(0), "", 404)
	for query, status := range map[string]int{"": 200, "?version=1": 200, "?version=99": 404, "?version=abc": 422, "?version=0": 422} {
		i.ask(a, "GET", list+"/by-graph/"+graph+query, "", status)
	}
	changed := i.ask(a, "PUT", path, `{"is_favorite":true}`, 200)
	field(t, changed, "is_favorite", "true")
	field(t, changed, "name", "Mine")
	i.ask(a, "PUT", path, `{"is_favorite":"yes"}`, 422)
	i.ask(a, "PUT", path, `{"is_archived":true}`, 200)
	field(t, i.ask(a, "GET", list, "", 200), "agents.#", "0")
	field(t, i.ask(a, "GET", path, "", 200), "is_archived", "true")
	field(t, i.ask(a, "GET", list+"?archived=true", "", 200), "agents.#", "1")
	field(t, i.ask(a, "GET", list+"?is_archived=true&is_favorite=true", "", 200), "agents.#", "1")
	field(t, i.ask(a, "GET", list+"?is_archived=true&is_favorite=false", "", 200), "agents.#", "0")
	i.ask(a, "PUT", path, `{"is_archived":false}`, 200)
	field(t, i.ask(a, "GET", list, "", 200), "agents.0.is_favorite", "true")
	i.ask(b, "DELETE", path, "", 404)
	field(t, i.ask(a, "DELETE", path, "", 204), "@this", "")
	i.ask(a, "DELETE", path, "", 404)
	i.ask(a, "GET", "/api/v2/builder/graphs/"+graph, "", 200)
}

func builderFromOutside(t *testing.T, i *instance) {
	a, b := nth(5), nth(6)
	const graphs = "/api/v2/builder/graphs"
	plain := i.ask(a, "POST", graphs, plainGraph("New", "d"), 201)
	field(t, plain, "version", "1")
	field(t, plain, "is_active", "true")
	i.ask(a, "POST", graphs, `{"description":"d"}`, 422)
	bare := i.ask(a, "POST", graphs, `{"name":"bare"}`, 201)
	field(t, bare, "nodes", "[]")
	field(t, bare, "links", "[]")
	for what, c := range map[string]struct{ body, node string }{
		"an unknown block": {`{"name":"x","nodes":[{"id":"n","block_id":"` + nth(0) + `"}]}`, "n"},
		"a missing node":   {`{"name":"x","nodes":[{"id":"n","block_id":"` + storeBlock + `"}],"links":[{"source_id":"n","source_name":"output","sink_id":"m","sink_name":"input"}]}`, ""},
		"an unknown pin":   {`{"name":"x","nodes":[{"id":"n","block_id":"` + storeBlock + `"},{"id":"m","block_id":"` + storeBlock + `"}],"links":[{"source_id":"n","source_name":"output","sink_id":"m","sink_name":"nope"}]}`, "m"},
		"an id twice":      {`{"name":"x","nodes":[{"id":"n","block_id":"` + storeBlock + `"},{"id":"n","block_id":"` + storeBlock + `"}]}`, "n"},
	} {
		answer := i.ask(a, "POST", graphs, c.body, 422)
		if c.node != "" && !gjson.Get(answer, "error.details.node_errors."+c.node).Exists() {
			t.Errorf("%s: the node is not named: %s", what, answer)
		}
	}
	body := `{"name":"Round","description":"","nodes":[` +
		`{"id":"in","block_id":"` + inputBlock + `","input_default":{"name":"user_input","value":null},"metadata":{"position":{"x":100.5,"y":-2e3}}},` +
		`{"id":"opt","block_id":"` + inputBlock + `","input_default":{"name":"optional","value":9007199254740993}},` +
		`{"id":"out","block_id":"` + outputBlock + `","input_default":{"name":"result"}}],` +
		`"links":[{"id":"l","source_id":"in","sink_id":"out","source_name":"result","sink_name":"value"}]}`
	id := i.made(a, graphs, body)
	stored := i.ask(a, "GET", graphs+"/"+id, "", 200)
	for path, want := range map[string]string{
		"nodes.0.metadata": `{"position":{"x":100.5,"y":-2e3}}`, "nodes.0.input_default": `{"name":"user_input","value":null}`,
		"nodes.1.input_default.value": "9007199254740993", "links.0.id": "l", "links.0.source_id": "in", "links.0.sink_name": "value",
		"input_schema.type": "object", "input_schema.required": `["user_input"]`, "output_schema.type": "object",
	} {
		if got := gjson.Get(stored, path); got.Raw != want && got.String() != want {
			t.Errorf("%s is %s, want %s", path, got.Raw, want)
		}
	}
	for _, path := range []string{"input_schema.properties.user_input", "input_schema.properties.optional", "output_schema.properties.result"} {
		if !gjson.Get(stored, path).IsObject() {
			t.Errorf("%s is missing in %s", path, stored)
		}
	}
	i.ask(b, "GET", graphs+"/"+id, "", 404)
	blocks := i.ask(a, "GET", "/api/v2/builder/blocks", "", 200)
	ids := map[string]bool{}
	for _, one := range gjson.Get(blocks, "blocks").Array() {
		ids[one.Get("id").String()] = true
		if one.Get("name").Type != gjson.String || one.Get("description").Type != gjson.String || !one.Get("categories").IsArray() ||
			one.Get("input_schema.type").String() != "object" || one.Get("output_schema.type").String() != "object" {
			t.Errorf("a block: %.300s", one.Raw)
		}
	}
	if n := len(gjson.Get(blocks, "blocks").Array()); n == 0 || len(ids) != n {
		t.Errorf("%d blocks with %d ids", n, len(ids))
	}
	for query, has := range map[string]string{
		"search=STORE%20val": storeBlock, "category=basic": storeBlock, "type=input": inputBlock, "provider=a": caseBlock(33), "type=OUTPUT&search=output": outputBlock,
	} {
		some := i.ask(a, "GET", "/api/v2/builder/blocks?"+query, "", 200)
		n := gjson.Get(some, "blocks.#").Int()
		field(t, some, "pagination.total", fmt.Sprint(n))
		if n >= int64(len(ids)) || !strings.Contains(some, has) {
			t.Errorf("%s chooses %d of %d blocks, without %s: %t", query, n, len(ids), has, !strings.Contains(some, has))
		}
	}
	field(t, i.ask(a, "GET", "/api/v2/builder/blocks?type=input&page=2&page_size=1", "", 200), "blocks.#", "1")
	field(t, i.ask(a, "GET", "/api/v2/builder/blocks?search=no%20such%20block", "", 200), "blocks", "[]")
}

func versionsFromOutside(t *testing.T, i *instance) {
	a, b := nth(7), nth(8)
	const graphs = "/api/v2/builder/graphs"
	id := i.made(a, graphs, freeGraph("One"))
	path := graphs + "/" + id
	field(t, i.ask(a, "PUT", path, plainGraph("Two", "d"), 200), "version", "2")
	field(t, i.ask(a, "GET", path, "", 200), "name", "Two")
	field(t, i.ask(a, "GET", path+"?version=1", "", 200), "name", "One")
	i.ask(a, "GET", path+"?version=3", "", 404)
	i.ask(a, "GET", path+"?version=0", "", 422)
	i.ask(b, "PUT", path, plainGraph("Three", ""), 404)
	i.ask(a, "PUT", graphs+"/"+nth(0), plainGraph("Three", ""), 404)
	i.ask(a, "PUT", path, `{"name":"Three","nodes":[{"id":"n","block_id":"nope"}]}`, 422)
	field(t, i.ask(a, "GET", path, "", 200), "version", "2")
	list := i.ask(a, "GET", graphs, "", 200)
	field(t, list, "graphs.#", "1")
	field(t, list, "graphs.0.version", "2")
	field(t, i.ask(a, "GET", "/api/v2/library/agents", "", 200), "agents.0.agent_version", "2")
	run := gjson.Get(i.ask(a, "POST", path+"/execute", `{"version":1}`, 200, "Prefer", "wait=20"), "execution_id").String()
	field(t, i.ask(a, "GET", "/api/v2/executions/"+run, "", 200), "graph_version", "1")
	i.ask(b, "DELETE", path, "", 404)
	i.ask(a, "DELETE", path, "", 204)
	for _, gone := range [][3]string{{"GET", path, ""}, {"GET", path + "?version=1", ""}, {"PUT", path, plainGraph("x", "")}, {"POST", path + "/execute", "{}"}, {"DELETE", path, ""}} {
		i.ask(a, gone[0], gone[1], gone[2], 404)
	}
	field(t, i.ask(a, "GET", graphs, "", 200), "graphs.#", "0")
	i.ask(a, "GET", "/api/v2/executions/"+run, "", 200)
}

func executionsFromOutside(t *testing.T, i *instance) {
	a, b := nth(9), nth(10)
	const executions = "/api/v2/executions"
	needs := i.made(a, "/api/v2/builder/graphs", string(through(storeBlock, "input", "output", nil)))
	execute := "/api/v2/builder/graphs/" + needs + "/execute"
	if refused := i.ask(a, "POST", execute, `{"input_data":{}}`, 422); !gjson.Get(refused, "error.details.node_errors.in").Exists() {
		t.Errorf("the node is not named: %s", refused)
	}
	i.ask(b, "POST", execute, `{"input_data":{"Value":1}}`, 404)
	i.ask(a, "POST", execute, `{"input_data":{"Value":1},"version":99}`, 404)
	i.ask(a, "POST", execute, `{"input_data":{"Value":1},"version":"x"}`, 422)
	i.ask(a, "POST", execute, `{"input_data":{"Value":1},"dry_run":true}`, 422)
	field(t, i.ask(a, "GET", executions, "", 200), "pagination.total", "0") // none of these became one
	free := i.made(a, "/api/v2/builder/graphs", freeGraph("Free"))
	for _, body := range []string{"", "{}"} {
		i.ask(a, "POST", "/api/v2/builder/graphs/"+free+"/execute", body, 200)
	}

	done := i.ask(a, "POST", execute, `{"input_data":{"Value":1,"prompt":"unknown"}}`, 200, "Prefer", "wait=20")
	field(t, done, "status", "COMPLETED")
	id := gjson.Get(done, "execution_id").String()
	shown := i.ask(a, "GET", executions+"/"+id, "", 200)
	started, _ := time.Parse(time.RFC3339Nano, gjson.Get(shown, "started_at").String())
	ended, err := time.Parse(time.RFC3339Nano, gjson.Get(shown, "ended_at").String())
	if err != nil || ended.Before(started) || gjson.Get(shown, "stats.total_run_time").Float() <= 0 {
		t.Errorf("times of %s", shown)
	}
	field(t, shown, "stats.total_nodes", "3")
	field(t, shown, "stats.completed_nodes", "3")
	field(t, shown, "node_executions.#.status", `["COMPLETED","COMPLETED","COMPLETED"]`)
	field(t, shown, `node_executions.#(node_id=="middle").output_data`, `{"output":[1]}`)

	fails := i.made(a, "/api/v2/builder/graphs", string(through(caseBlock(13), "in", "out", nil)))
	failed := i.ask(a, "POST", "/api/v2/builder/graphs/"+fails+"/execute", `{"input_data":{"Value":1}}`, 200, "Prefer", "wait=20")
	field(t, failed, "status", "FAILED")
	field(t, failed, "stats.failed_nodes", "1")
	field(t, failed, "error", `{"message":"boom","node_id":"middle"}`)

	for query, want := range map[string]string{"": "4", "?status=FAILED": "1", "?status=COMPLETED": "3", "?graph_id=" + needs: "1", "?status=FAILED&graph_id=" + needs: "0"} {
		field(t, i.ask(a, "GET", executions+query, "", 200), "pagination.total", want)
	}
	field(t, i.ask(a, "GET", executions, "", 200), "executions.0.id", gjson.Get(failed, "execution_id").String())
	i.ask(a, "GET", executions+"?status=DONE", "", 422)

	sleeps := i.made(a, "/api/v2/builder/graphs", string(through(caseBlock(17), "ms", "out", nil)))
	long := gjson.Get(i.ask(a, "POST", "/api/v2/builder/graphs/"+sleeps+"/execute", `{"input_data":{"Value":600000}}`, 200), "execution_id").String()
	i.ask(b, "POST", executions+"/"+long+"/stop", "", 404)
	i.ask(b, "GET", executions+"/"+long, "", 404)
	field(t, i.ask(b, "GET", executions, "", 200), "pagination.total", "0")
	for range 2 {
		field(t, i.ask(a, "POST", executions+"/"+long+"/stop", "", 200), "status", "TERMINATED")
	}
	field(t, i.ask(a, "POST", executions+"/"+id+"/stop", "", 200), "status", "COMPLETED")

	first := gjson.Get(i.ask(a, "POST", execute, `{"input_data":{"Value":1}}`, 200, "Idempotency-Key", "k"), "execution_id").String()
	field(t, i.ask(a, "POST", execute, `{"input_data":{"Value":1}}`, 200, "Idempotency-Key", "k"), "execution_id", first)
	i.ask(a, "POST", execute, `{"input_data":{"Value":2}}`, 409, "Idempotency-Key", "k")
}

func earlierFromOutside(t *testing.T, i *instance) {
	a := nth(11)
	const old, now = "/api/v1/graphs", "/api/v2/builder/graphs"
	id := gjson.Get(i.ask(a, "POST", old, `{"graph":`+freeGraph("Old")+`}`, 201), "id").String()
	field(t, i.ask(a, "GET", now+"/"+id, "", 200), "name", "Old")
	i.ask(a, "PUT", now+"/"+id, plainGraph("New", "d"), 200)
	field(t, i.ask(a, "GET", old+"/"+id+"/versions", "", 200), "#.version", "[2,1]")
	run := gjson.Get(i.ask(a, "POST", old+"/"+id+"/execute/1", `{"inputs":{}}`, 200), "id").String()
	i.ask(a, "POST", old+"/"+id+"/execute/1", `{"inputs":{},"dry_run":true}`, 422)
	i.ask(a, "GET", "/api/v2/executions/"+run, "", 200)
	field(t, i.ask(a, "GET", old+"/"+id+"/executions", "", 200), "pagination", `{"current_page":1,"page_size":25,"total_items":1,"total_pages":1}`)
	request, err := http.NewRequestWithContext(t.Context(), "GET", i.base+old+"/"+nth(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token(t, a))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 404 || response.Header.Get("Deprecation") != "true" {
		t.Errorf("an unknown graph: %d %v", response.StatusCode, response.Header)
	}
	field(t, i.ask(a, "GET", old+"/"+nth(0), "", 404), "error.code", "NOT_FOUND")
	field(t, i.ask(a, "DELETE", old+"/"+id, "", 200), "version_counts", "2")
}
