package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/patchbay-io/patchbay/api"
	"github.com/patchbay-io/patchbay/api/apitest"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// rounds is how often each operation is asked. The seed of a run is in its log: PATCHBAY_TEST_SEED repeats it,
// PATCHBAY_TEST_ROUNDS makes more of it.
const rounds = 25

// Whatever is sent to an operation, good or bad, the server does not fail, and answers with nothing that the document
// does not name.
func TestAnswersKeepToTheDocument(t *testing.T) {
	t.Parallel()
	seed, times := uint64(time.Now().UnixNano()), rounds
	if text := os.Getenv("PATCHBAY_TEST_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("PATCHBAY_TEST_ROUNDS"); text != "" {
		times, _ = strconv.Atoi(text)
	}
	t.Logf("PATCHBAY_TEST_SEED=%d", seed)
	checker, err := apitest.New(api.Document)
	if err != nil {
		t.Fatal(err)
	}
	_, i := withGitHub(t, "PATCHBAY_LOCAL_ACCOUNTS=true", "PATCHBAY_ADMIN_USERS="+alice, "PATCHBAY_STORE_PUBLIC=true", "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8", "PATCHBAY_LOG_LEVEL=info")
	f := &fuzzer{
		instance: i, checker: checker, answered: map[string]map[int]int{},
		values: &values{Rand: rand.New(rand.NewPCG(seed, 0)), known: map[string][]string{}},
	}
	operations := f.operations()
	f.restock()
	f.good = true
	slices.SortStableFunc(operations, func(a, b operation) int { return strings.Compare(b.method, a.method) }) // DELETE last
	for _, o := range operations {
		f.ask(o)
	}
	f.good = false
	for range times {
		f.restock()
		f.Shuffle(len(operations), func(a, b int) { operations[a], operations[b] = operations[b], operations[a] })
		for _, o := range operations {
			f.ask(o)
			if t.Failed() && len(f.failures) > 20 {
				t.FailNow()
			}
		}
	}
	f.good = true
	total := 0
	for _, o := range operations {
		good := f.answeredWell(o)
		for range 20 { // chance may have kept it from what is new and fits
			if good {
				break
			}
			f.restock()
			f.ask(o)
			good = f.answeredWell(o)
		}
		for _, n := range f.answered[o.OperationID] {
			total += n
		}
		if !good {
			t.Errorf("%s was never answered well: %v; restock what it is about", o.OperationID, f.answered[o.OperationID])
		}
	}
	t.Logf("%d answers of %d operations", total, len(operations))
}

type fuzzer struct {
	*instance
	*values
	checker  *apitest.Checker
	answered map[string]map[int]int
	failures map[string]bool // by operation and what is wrong
	password string
	key      string // of alice's, with few permissions
	restocks int
	good     bool // the request must be a good one
	newest   bool // the request is about what was made last, which belongs together
}

type operation struct {
	*openapi3.Operation
	method, path string
	parameters   openapi3.Parameters
}

func (f *fuzzer) answeredWell(o operation) bool {
	for status := range f.answered[o.OperationID] {
		if status < 400 {
			return true
		}
	}
	return false
}

func (f *fuzzer) operations() []operation {
	var list []operation
	for _, path := range sortedNames(f.checker.Spec.Paths.Map()) {
		item := f.checker.Spec.Paths.Value(path)
		for _, method := range sortedNames(item.Operations()) {
			o := item.GetOperation(method)
			list = append(list, operation{o, method, path, append(slices.Clone(item.Parameters), o.Parameters...)})
		}
	}
	return list
}

// restock makes one of each thing that identifiers can mean, of alice's.
func (f *fuzzer) restock() {
	f.t.Helper()
	know := func(id string, names ...string) {
		for _, name := range names {
			list := append(f.known[name], id)
			f.known[name] = list[max(0, len(list)-4):]
		}
	}
	if len(f.known["block_id"]) == 0 {
		f.known["block_id"] = []string{inputBlock, outputBlock, storeBlock}
		for _, name := range []string{"source_id", "sink_id"} {
			f.known[name] = []string{"a", "b"}
		}
		f.known["source_name"] = []string{"result", "output"}
		f.known["sink_name"] = []string{"value", "name", "input"}
		f.known["from"] = []string{"failure", "start", "in"}
		f.known["image_urls"] = []string{"https://example.com/a.png"}
		f.known["username"] = []string{"ada"}
		f.known["provider"] = []string{"github"}
		f.known["timezone"] = []string{"Europe/Berlin"}
		f.known["callback_url"] = []string{f.base + "/connected"}
		f.known["plugin"] = []string{"good"}
		f.known["source"] = []string{"oci://" + servePlugin(f.t) + "/plugins/good:1.0.0"}
		f.password = "correct horse battery staple"
		f.known["password"] = []string{f.password}
		f.known["current_password"], f.known["new_password"] = f.known["password"], f.known["password"]
	}
	made := func(method, path, body string, field string) string {
		status, text := f.call(alice, method, path, []byte(body))
		var members map[string]any
		if json.Unmarshal(text, &members) != nil || status >= 400 {
			f.t.Fatalf("%s %s: %d %s", method, path, status, text)
		}
		id, _ := members[field].(string)
		return id
	}
	f.restocks++
	if status, _ := f.call(alice, "GET", "/api/v2/admin/plugins/good", nil); status != 200 || f.restocks == 1 {
		// Of two versions it can go back to one.
		for _, version := range []string{"0.9.0", "1.0.0"} {
			made("POST", "/api/v2/admin/plugins", fmt.Sprintf(`{"source":%q,"consent":true}`, strings.Replace(f.known["source"][0], "1.0.0", version, 1)), "name")
		}
	}
	graphs := make([]string, 2)
	for n := len(graphs) - 1; n >= 0; n-- {
		graphs[n] = f.create([]byte(`{"name":"Through","nodes":[{"id":"in","block_id":"` + inputBlock + `","input_default":{"name":"Value","value":1}},` +
			`{"id":"out","block_id":"` + outputBlock + `","input_default":{"name":"Output"}}],"links":[{"source_id":"in","source_name":"result","sink_id":"out","sink_name":"value"}]}`))
		know(graphs[n], "graph_id", "agent_id")
	}
	graph := graphs[0]
	made("PUT", "/api/v2/builder/graphs/"+graph, `{"name":"Second","nodes":[{"id":"in","block_id":"`+inputBlock+`","input_default":{"name":"Value","value":1}}]}`, "id")
	know(f.run(graph, `{"Value":1}`).ID, "execution_id", "parent_execution_id")
	status, text := f.call(alice, "POST", "/api/v2/api-keys", []byte(`{"name":"k","permissions":["READ_GRAPH","READ_STORE"]}`))
	var key struct{ ID, Key string }
	if err := json.Unmarshal(text, &key); err != nil {
		f.t.Fatal(err)
	}
	if status == 201 {
		know(key.ID, "key_id")
		f.key = key.Key
	} // else there are too many
	submit := func(graph string) string {
		return made("POST", "/api/v2/store/submissions", fmt.Sprintf(`{"graph_id":%q,"graph_version":1,"name":"My Agent"}`, graph), "id")
	}
	submission := submit(graphs[1])
	made("POST", "/api/v2/store/admin/submissions/"+submission+"/review", `{"approved":true}`, "id")
	know(submission, "submission_id", "version_id")
	know(submit(graph), "submission_id") // waits for its review
	know(made("POST", "/api/v2/integrations", `{"provider":"github","type":"api_key","title":"Mine","api_key":"secret"}`, "id"), "integration_id")
	granted := f.grant(nil)
	know(made("POST", callbackPath, fmt.Sprintf(`{"code":%q,"state":%q}`, granted.Get("code"), granted.Get("state")), "id"), "integration_id")
	know(made("GET", "/api/v2/store/submissions/"+submission, "", "listing_id"), "agent_id")
	know(graphs[1], "agent_id") // means the same in the store
	know(made("GET", "/api/v2/store/agents/"+submission, "", "slug"), "slug")
	know(made("GET", "/api/v2/store/agents/"+submission, "", "creator"), "username", "creator")
	know(made("GET", "/api/v2/library/agents/by-graph/"+graph, "", "id"), "library_agent_id")
	body, contentType := fileForm("file", "a.txt", "text/plain", "hello")
	status, text = f.call(alice, "POST", "/api/v2/files/upload", body, "Content-Type", contentType)
	var file struct{ ID string }
	if err := json.Unmarshal(text, &file); err != nil || status != 200 {
		f.t.Fatalf("upload: %d %s", status, text)
	}
	know(file.ID, "file_id")
	email := fmt.Sprintf("ada%d@example.com", f.restocks)
	know("new"+email, "email")
	know(email, "email")
	know(made("POST", "/api/v2/admin/accounts", `{"email":"`+email+`","password":"`+f.password+`"}`, "id"), "user_id")
	know(made("POST", "/api/v2/auth/token", `{"email":"`+email+`","password":"`+f.password+`"}`, "refresh_token"), "refresh_token")
}

// agree lets alice agree at GitHub once more: codes and states are good once.
func (f *fuzzer) agree() {
	f.t.Helper()
	granted := f.grant(nil)
	f.known["code"] = []string{granted.Get("code")}
	f.known["state"] = []string{granted.Get("state")}
	f.known["state_token"] = f.known["state"]
}

// grant is with what GitHub sends the browser of alice back. The header gets the browser's cookie, unless it is nil.
func (f *fuzzer) grant(header http.Header) url.Values {
	f.t.Helper()
	v := newVisitor(f.t, f.instance)
	response, body := v.goTo(alice, http.MethodGet, authorizePath, "", "Accept", "application/json")
	var begun struct {
		URL string `json:"authorization_url"`
	}
	if err := json.Unmarshal([]byte(body), &begun); err != nil || response.StatusCode != http.StatusOK {
		f.t.Fatalf("authorize: %d %s", response.StatusCode, body)
	}
	for _, cookie := range response.Cookies() {
		if header != nil {
			header.Add("Cookie", cookie.Name+"="+cookie.Value)
		}
	}
	return blocktest.Agree(f.t, begun.URL)
}

func fileForm(field, name, media, content string) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreatePart(map[string][]string{
		"Content-Disposition": {fmt.Sprintf("form-data; name=%q; filename=%q", field, name)}, "Content-Type": {media},
	})
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// ask sends one request to an operation and checks the answer.
func (f *fuzzer) ask(o operation) {
	request := f.request(o)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		f.failed(o, request, fmt.Sprintf("no answer: %v", err))
		return
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		f.failed(o, request, fmt.Sprintf("the answer broke off: %v", err))
		return
	}
	if f.answered[o.OperationID] == nil {
		f.answered[o.OperationID] = map[int]int{}
	}
	f.answered[o.OperationID][response.StatusCode]++
	if response.StatusCode >= 500 {
		f.failed(o, request, fmt.Sprintf("%d %.300s", response.StatusCode, body))
		return
	}
	if response.StatusCode < 300 && f.forbidden(o, request) {
		f.failed(o, request, fmt.Sprintf("%d for a body that the document forbids", response.StatusCode))
	}
	// Odd identifiers can make a path that is another one, or none.
	if err := f.checker.Check(request, response.StatusCode, response.Header, body); err != nil && !errors.Is(err, apitest.ErrUnknown) {
		f.failed(o, request, fmt.Sprintf("%d: %.600v\n%.300s", response.StatusCode, err, body))
	}
}

// forbidden says whether the document forbids the body of a request.
func (f *fuzzer) forbidden(o operation, r *http.Request) bool {
	if o.RequestBody == nil || r.GetBody == nil {
		return false
	}
	media := o.RequestBody.Value.Content.Get("application/json")
	body, err := r.GetBody()
	if media == nil || err != nil {
		return false
	}
	text, _ := io.ReadAll(body)
	if len(text) == 0 {
		return o.RequestBody.Value.Required
	}
	value, err := apitest.Decode(text)
	return err != nil || media.Schema.Value.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation()) != nil
}

// failed reports each kind of failure once.
func (f *fuzzer) failed(o operation, r *http.Request, what string) {
	first, _, _ := strings.Cut(what, "\n")
	key := o.OperationID + " " + first[:min(40, len(first))]
	if f.failures == nil {
		f.failures = map[string]bool{}
	}
	if f.failures[key] {
		return
	}
	f.failures[key] = true
	var body []byte
	if r.GetBody != nil {
		if b, err := r.GetBody(); err == nil {
			body, _ = io.ReadAll(b)
		}
	}
	f.t.Errorf("%s: %s %s %.300q %v\n%s", o.OperationID, r.Method, r.URL.RequestURI(), body, r.Header, what)
}

func (f *fuzzer) request(o operation) *http.Request {
	path, query, header := o.path, url.Values{}, http.Header{}
	f.newest = f.good || f.oneIn(2)
	for _, p := range o.parameters {
		value := f.parameter(p.Value)
		switch {
		case p.Value.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(value))
		case f.good && p.Value.Name == "consent": // what nobody has signed is installed with that alone
			query.Set(p.Value.Name, "true")
		case !p.Value.Required && (f.good || !f.oneIn(3)):
		case p.Value.In == "query":
			query.Add(p.Value.Name, value)
			if f.oneIn(15) {
				query.Add(p.Value.Name, f.parameter(p.Value))
			}
		case p.Value.In == "header":
			header.Set(p.Value.Name, strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return -1
				}
				return r
			}, value))
		}
	}
	if o.OperationID == "finishAuthorization" && (f.good || f.oneIn(3)) {
		query = f.grant(header)
	}
	if o.OperationID == "finishLoginV1" || o.OperationID == "finishAuthorizationByToken" {
		f.agree()
	}
	raw := query.Encode()
	if !f.good && f.oneIn(60) {
		raw += pick(f.values, "&%zz", ";", "&=", "&page=1&page=2", "&unknown=1")
	}
	body, contentType := f.body(o)
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	f.authorize(o, header)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	f.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, o.method, f.base+path, bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.URL.RawQuery, request.Header = raw, header
	return request
}

func (f *fuzzer) authorize(o operation, header http.Header) {
	switch {
	case f.good: // with the credential that fits
	case f.oneIn(25):
		return
	case f.oneIn(40):
		header.Set("Authorization", pick(f.values, "Bearer nonsense", "Basic YTpi", "Bearer", "Bearer a.b.c"))
		return
	case f.oneIn(40):
		header.Set("X-API-Key", "pb_"+strings.Repeat("x", 43))
		return
	case f.oneIn(20):
		header.Set("Authorization", "Bearer "+token(f.t, bob))
		return
	case f.oneIn(15):
		header.Set("X-API-Key", f.key)
		return
	}
	switch {
	case o.OperationID == "rateStoreAgent" || o.OperationID == "reviewStoreAgent": // alice's own
		header.Set("Authorization", "Bearer "+token(f.t, bob))
	case o.OperationID == "changePassword" && len(f.known["user_id"]) > 0:
		ids := f.known["user_id"]
		header.Set("Authorization", "Bearer "+token(f.t, ids[len(ids)-1]))
	default:
		header.Set("Authorization", "Bearer "+token(f.t, alice))
	}
}

// parameter is the text of a parameter, good or bad.
func (f *fuzzer) parameter(p *openapi3.Parameter) string {
	if p.In == "path" && (f.good || !f.oneIn(8)) {
		if ids := f.known[p.Name]; len(ids) > 0 {
			if f.newest {
				return ids[len(ids)-1]
			}
			return pick(f.values, ids...)
		}
	}
	if !f.good && f.oneIn(8) {
		return pick(f.values, "", "0", "-1", "x", "1.5", "%", "a/b", "..", "\x00", "é", "null", "true", strings.Repeat("z", 300), "00000000-0000-4000-8000-000000000000", "99999999999999999999", "' OR 1=1 --", "\u202e", "\xff")
	}
	schema := p.Schema.Value
	if schema.Type.Is("array") {
		schema = schema.Items.Value
	}
	text := f.of(schema, p.Name, 3)
	var s string
	if json.Unmarshal(text, &s) == nil {
		return s
	}
	return string(text)
}

// body is the body of a request, good or bad, with its type.
func (f *fuzzer) body(o operation) (body []byte, contentType string) {
	if o.RequestBody == nil {
		if !f.good && f.oneIn(30) {
			return []byte("{}"), "application/json"
		}
		return nil, ""
	}
	if media := o.RequestBody.Value.Content.Get("multipart/form-data"); media != nil {
		return f.form(o)
	}
	media := o.RequestBody.Value.Content.Get("application/json")
	good, contentType := f.of(media.Schema.Value, "", 0), "application/json"
	if example, ok := media.Example.(map[string]any); ok && (f.good || f.oneIn(3)) {
		good = f.example(example)
	}
	switch {
	case f.good:
	case f.oneIn(40):
		contentType = pick(f.values, "", "text/plain", "application/json; charset=latin1", "application/", "multipart/form-data", "application/json;charset=UTF-8")
	case f.oneIn(40):
		return nil, contentType
	case f.oneIn(4):
		return f.broken(good), contentType
	}
	return good, contentType
}

// example is the document's own example of a body, about things that exist.
func (f *fuzzer) example(members map[string]any) json.RawMessage {
	members = maps.Clone(members)
	for name := range members {
		if ids := f.known[name]; len(ids) > 0 && name != "from" {
			if _, ok := members[name].(string); ok {
				members[name] = ids[len(ids)-1]
			}
		}
	}
	return encoded(members)
}

func (f *fuzzer) form(o operation) (body []byte, contentType string) {
	if f.good && o.OperationID == "uploadPlugin" {
		archive, err := os.ReadFile(pluginArchive(f.t, "good", "1.0.0"))
		if err != nil {
			f.t.Fatal(err)
		}
		return fileForm("file", "good.tar.gz", "application/gzip", string(archive))
	}
	if f.good {
		return fileForm("file", "a.txt", "text/plain", "hello")
	}
	body, contentType = fileForm(pick(f.values, "file", "file", "file", "other", ""), pick(f.values, "a.txt", "", "../../x", "é\"\\", strings.Repeat("n", 1000)),
		pick(f.values, "text/plain", "", "nonsense", "text/html; charset=x", strings.Repeat("m", 500)), pick(f.values, "", "hello", strings.Repeat("z", 100_000)))
	switch {
	case f.oneIn(10):
		return body[:f.IntN(len(body))], contentType
	case f.oneIn(10):
		return body, pick(f.values, "", "multipart/form-data", "multipart/form-data; boundary=other", "application/json")
	}
	return body, contentType
}
