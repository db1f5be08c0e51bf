package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/execution"
)

const executePath = "/api/v2/builder/graphs/g1/execute"

func withGraph(t *testing.T, changes ...func(*Config)) *fixture {
	t.Helper()
	f := newFixture(t, changes...)
	expect(t, f.do("POST", "/api/v2/builder/graphs", aGraph), 201)
	return f
}

func TestValuesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	for name, inputs := range map[string]string{
		"beyond 2^53":      `{"n":18446744073709551616,"m":9007199254740993,"d":0.1000000000000000055511151231257827}`,
		"beyond float64":   `{"n":1e400,"m":-1E+400,"z":-0,"f":1.0}`,
		"text":             `{"s":"\u0000 \ud800 \/ é é <>&   😀"}`,
		"order":            `{"z":1,"a":{"y":1,"b":2},"m":3}`,
		"white space":      "{ \"a\" :\t[ 1 ,\r\n 2 ] }",
		"duplicates":       `{"a":{"x":1,"x":2}}`,
		"10 MB":            `{"s":"` + strings.Repeat("x", 10<<20) + `","last":1}`,
		"many levels":      `{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`,
		"empty":            `{}`,
		"names":            `{"":1,"a b":2,"\u0000":3}`,
		"large and little": `{"a":"` + strings.Repeat("y", 40<<10) + `","b":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := withGraph(t)
			expect(t, f.do("POST", executePath, `{"version":1, "input_data":`+inputs+"}\n"), 200, `{"execution_id":"e1"}`)
			if got := string(f.requests[0].Inputs); got != inputs {
				t.Fatalf("the service got %.200s", got)
			}
			if f.requests[0].Version != 1 {
				t.Errorf("version %d", f.requests[0].Version)
			}
			expect(t, f.do("GET", "/api/v2/executions/e1", ""), 200,
				`"inputs":`+inputs+`,"outputs":{"out":[`+inputs+`]}`, `"input_data":`+inputs+`,"output_data":{"a\"b":[`+inputs+`,null]}`)
			expect(t, f.do("GET", "/api/v2/executions/e1/nodes", ""), 200, `"input_data":`+inputs)
		})
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	f.do("POST", executePath, `{"inputs":{"a":1}}`)
	got := expect(t, f.do("GET", "/api/v2/executions/e1", ""), 200)
	const want = `{"id":"e1","graph_id":"g1","graph_version":1,"status":"RUNNING","created_at":"2024-01-15T10:30:00Z","started_at":"2024-01-15T10:30:00Z","ended_at":null,` +
		`"parent_execution_id":null,"retry_of":null,"stats":{"total_nodes":0,"completed_nodes":0,"failed_nodes":0,"total_run_time":0},"error":null,` +
		`"inputs":{"a":1},"outputs":{"out":[{"a":1}]},` +
		`"node_executions":[{"id":"1","node_id":"n","block_id":"b","status":"COMPLETED","attempt":1,"taken_over":false,"input_data":{"a":1},"output_data":{"a\"b":[{"a":1},null]},` +
		`"started_at":"2024-01-15T10:30:00Z","ended_at":"2024-01-15T10:30:00Z","error":null,"plugin":{"name":"basic","version":"1.0.0"},"stats":{"input_token_count":12,"tokens":-1}}],"node_executions_total":1,` +
		`"waiting":[{"node_id":"w","have":["a"],"missing":["b"]}],"waiting_total":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for query, all := range map[string]bool{"?include_node_executions=true": true, "?include_node_executions=false": false} {
		got := expect(t, f.do("GET", "/api/v2/executions/e1"+query, ""), 200, `"outputs":{"out":[{"a":1}]}`, `"node_executions_total":1`)
		if strings.Contains(got, `"node_executions":[]`) == all {
			t.Errorf("%s: %s", query, got)
		}
	}
	expect(t, f.do("GET", "/api/v2/executions/e1?include_node_executions=no", ""), 422, `"fields":{"include_node_executions":`)

	d := f.runs["ann/e1"]
	d.Error = &execution.Failure{Message: "no & <b>"}
	d.ParentID, d.Status, d.StartedAt, d.Inputs = "p", execution.Failed, nil, taken(json.RawMessage(nil))
	d.Stats.TotalRunTime = 0.1234567891
	d.NodeExecutions = taken(&execution.NodeExecution{ID: "1", Status: execution.Failed, Error: "line\nbreak"})
	expect(t, f.do("GET", "/api/v2/executions/e1", ""), 200, `"parent_execution_id":"p"`, `"started_at":null`, `"total_run_time":0.123457`,
		`"error":{"message":"no & <b>","node_id":null}`, `"inputs":{}`, `"input_data":{},"output_data":{}`, `"error":"line\nbreak","plugin":null`)
	expect(t, f.do("GET", "/api/v2/executions", ""), 200, `"parent_execution_id":"p"`, `"node_id":null`, `"started_at":null`)
}

func TestExecuteBodies(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	for body, want := range map[string]struct {
		inputs  string
		version int
	}{
		``:                                {"{}", 0},
		`{}`:                              {"{}", 0},
		`{"input_data":{"a":1}}`:          {`{"a":1}`, 0},
		`{"inputs":{"a":1},"version":7}`:  {`{"a":1}`, 7},
		`{"unknown":1,"credentials":{}}`:  {"{}", 0},
		`{"version":null}`:                {"{}", 0},
		`{"dry_run":false}`:               {"{}", 0},
		`{"version":3.0}`:                 {"{}", 3},
		`{"version":2147483647e0}`:        {"{}", 2147483647},
		`{"input_data":{"nodes":[1]}}`:    {`{"nodes":[1]}`, 0},
		`{"input\u005fdata":{"a":"esc"}}`: {`{"a":"esc"}`, 0},
	} {
		expect(t, f.do("POST", executePath, body), 200, `{"execution_id":"e`)
		got := f.requests[len(f.requests)-1]
		if string(got.Inputs) != want.inputs || got.Version != want.version || got.UserID != "ann" || got.GraphID != "g1" || got.IdempotencyKey != "" {
			t.Errorf("%s: %+v", body, got)
		}
	}
	for body, want := range map[string]int{`{"priority":null}`: 0, `{"priority":-10}`: -10, `{"priority":3e0}`: 3} {
		expect(t, f.do("POST", executePath, body), 200)
		if got := f.requests[len(f.requests)-1]; got.Priority != want {
			t.Errorf("%s: %d", body, got.Priority)
		}
	}
	f.errs["execute"] = &execution.Busy{User: true, After: 5 * time.Second}
	if w := f.do("POST", executePath, ""); w.Code != 429 || w.Header().Get("Retry-After") != "5" || !strings.Contains(w.Body.String(), `"RATE_LIMITED"`) {
		t.Errorf("a user of whom too much waits: %d %v %s", w.Code, w.Header(), w.Body)
	}
	f.errs["execute"] = &execution.Busy{After: 5 * time.Second}
	if w := f.do("POST", executePath, ""); w.Code != 503 || w.Header().Get("Retry-After") != "5" || !strings.Contains(w.Body.String(), `"UNAVAILABLE"`) {
		t.Errorf("where too much waits: %d %v %s", w.Code, w.Header(), w.Body)
	}
	delete(f.errs, "execute")
	for body, want := range map[string]string{`{"nodes_input_masks":null}`: "", `{"nodes_input_masks":{"n":{"p":1e400}}}`: `{"n":{"p":1e400}}`} {
		expect(t, f.do("POST", executePath, body), 200)
		if got := f.requests[len(f.requests)-1]; string(got.Masks) != want {
			t.Errorf("%s: %s", body, got.Masks)
		}
	}
	for body, contains := range map[string]string{
		`[]`:                                    `"body":`,
		`null`:                                  `"body":`,
		`{"credentials_inputs":{"a":1}}`:        `"credentials_inputs.a":"must be an object, not a number"`,
		`{"credentials_inputs":{"a":{"id":1}}}`: `"credentials_inputs.a.id":"must be a string, not a number"`,
		`{"nodes_input_masks":[]}`:              `"nodes_input_masks":"must be an object, not a list"`,
		`{"nodes_input_masks":{"n":1,"m":{}}}`:  `"nodes_input_masks.n":"must be an object, not a number"`,
		`{"input_data":[]}`:                     `"input_data":"must be an object, not a list"`,
		`{"input_data":null}`:                   `"input_data":`,
		`{"dry_run":true}`:                      `"dry_run":"this server makes`,
		`{"inputs":"x"}`:                        `"inputs":`,
		`{"input_data":{},"inputs":{}}`:         `"inputs":"is another name`,
		`{"input_data":{},"input_data":{}}`:     `"input_data":"is given more than once"`,
		`{"version":"1"}`:                       `"version":"must be an integer from 1"`,
		`{"priority":11}`:                       `"priority":"must be an integer from -10 to 10"`,
		`{"priority":0.5}`:                      `"priority":"must be an integer from -10 to 10"`,
		`{"version":0}`:                         `"version":`,
		`{"version":-1}`:                        `"version":`,
		`{"version":1.5}`:                       `"version":`,
		`{"version":1e400}`:                     `"version":`,
		`{"version":99999999999}`:               `"version":`,
		`{"version":2147483648}`:                `"version":`,
		`{"version":true,"input_data":7}`:       `"input_data":"must be an object, not a number","version":`,
		`{"nodes":[],"input_data":{}}`:          `"nodes":"an execution runs a stored graph"`,
		`{"graph":{}}`:                          `"graph":`,
		`{"input_data":{}}{"input_data":{}}`:    `"body":"the body is not JSON`,
		`{"input_data":{"a":01}}`:               `"body":"the body is not JSON`,
		"{\"input_data\":{\"a\":\"\xc3\x28\"}}": "UTF-8",
	} {
		before := len(f.requests)
		expect(t, f.do("POST", executePath, body), 422, `"code":"VALIDATION_ERROR"`, contains)
		if len(f.requests) != before {
			t.Errorf("%s was executed", body)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	expect(t, f.do("POST", executePath, `{"input_data":{"a":1}}`), 200)
	const path = "/api/v2/executions/e1/retry"
	for body, want := range map[string]execution.RetryRequest{
		``:                               {},
		`{}`:                             {},
		`{"from":null,"version":null}`:   {},
		`{"from":"failure"}`:             {From: "failure"},
		`{"from":"n\u0031","version":2}`: {From: "n1", Version: 2},
		`{"unknown":[]}`:                 {},
	} {
		expect(t, f.do("POST", path, body), 200, `{"execution_id":"e`, `,"retry_of":"e1"}`)
		want.UserID, want.ID = "ann", "e1"
		if got := f.retries[len(f.retries)-1]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", body, got)
		}
	}
	before := len(f.retries)
	for body, field := range map[string]string{
		`[]`: "body", `{"from":1}`: "from", `{"from":""}`: "from", `{"from":[]}`: "from", `{"version":"1"}`: "version", `{"version":0}`: "version", `{"from":"a","from":"b"}`: "from",
	} {
		expect(t, f.do("POST", path, body), 422, `"fields":{"`+field+`":"`)
	}
	expect(t, f.do("POST", path, "", "Authorization", "Bearer bob"), 404)
	expect(t, f.do("POST", "/api/v2/executions/nope/retry", ""), 404)
	f.errs["retry"] = execution.ErrNoNode
	expect(t, f.do("POST", path, `{"from":"nowhere"}`), 422, `"fields":{"from":"`)
	f.errs["retry"] = fmt.Errorf("%w: the execution has not ended", execution.ErrConflict)
	expect(t, f.do("POST", path, ""), 409, `"code":"CONFLICT"`)
	if len(f.retries) != before {
		t.Error("what was refused was retried")
	}
	delete(f.errs, "retry")
	close(f.waits)
	expect(t, f.do("POST", path, "", "Prefer", "wait=1", "Idempotency-Key", "k"), 200, `{"execution_id":"e`, `"retry_of":"e1"`, `"node_executions":[`)
	if got := f.retries[len(f.retries)-1]; got.IdempotencyKey != "k" {
		t.Errorf("%+v", got)
	}
	expect(t, f.do("GET", "/api/v2/executions", ""), 200, `"retry_of":"e1"`)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	const body = ` {"input_data": {"a":1}} `
	expect(t, f.do("POST", executePath, body, "Idempotency-Key", strings.Repeat("k", 255)), 200)
	if r := f.requests[0]; len(r.IdempotencyKey) != 255 || string(r.Body) != body {
		t.Errorf("%+v", r)
	}
	expect(t, f.do("POST", executePath, body, "Idempotency-Key", strings.Repeat("k", 256)), 422, `"Idempotency-Key":`)
	f.errs["execute"] = fmt.Errorf("%w: a request with this idempotency key is in flight", execution.ErrConflict)
	expect(t, f.do("POST", executePath, body, "Idempotency-Key", "k"), 409, `"code":"CONFLICT","message":"a request with this idempotency key is in flight"`)
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	w := f.do("POST", executePath, `{"input_data":{"a":1}}`, "Prefer", "wait=0") // its time is over at once
	expect(t, w, 200, `{"execution_id":"e1","id":"e1","graph_id":"g1"`, `"status":"RUNNING"`, `"node_executions":[`)
	if w.Header().Get("Preference-Applied") != "wait=0" {
		t.Error(w.Header())
	}
	close(f.waits)
	w = f.do("POST", executePath, "", "Prefer", "respond-async, wait=3600; x=y")
	expect(t, w, 200, `"execution_id":"e2","id":"e2"`)
	if w.Header().Get("Preference-Applied") != "wait=60" {
		t.Error(w.Header())
	}
	for _, ignored := range []string{"wait=x", "wait=-1", "wait", "respond-async", "wait=1.5", ","} {
		w := f.do("POST", executePath, "", "Prefer", ignored)
		if body := expect(t, w, 200); strings.Contains(body, "status") || w.Header().Get("Preference-Applied") != "" {
			t.Errorf("%q: %v %s", ignored, w.Header(), body)
		}
	}
	f.errs["wait"] = errBroken
	expect(t, f.do("POST", executePath, "", "Prefer", "wait=1"), 500, "INTERNAL_ERROR")
}

func TestPreferInSeveralLines(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	close(f.waits)
	r := httptest.NewRequest(http.MethodPost, executePath, nil)
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Add("Prefer", "respond-async")
	r.Header.Add("Prefer", "wait=5")
	if w := f.send(r); w.Header().Get("Preference-Applied") != "wait=5" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestClosingEndsWaits(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() { answered <- f.do("POST", executePath, "", "Prefer", "wait=60") }()
	f.api.Close()
	expect(t, <-answered, 200, `"execution_id":"e1","id":"e1"`)
}

func TestClientThatLeavesWhileItWaits(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodPost, executePath, nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Set("Prefer", "wait=60")
	cancel()
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("got %v", got)
		}
		if len(f.requests) != 1 {
			t.Error("what was accepted goes on")
		}
	}()
	f.api.ServeHTTP(httptest.NewRecorder(), r)
}

func TestListOfExecutions(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	f.do("POST", executePath, "")
	expect(t, f.do("GET", "/api/v2/executions?graph_id=g1&status=RUNNING&status=FAILED&parent_execution_id=p&include_nested=true&page=2&page_size=5", ""), 200,
		`"executions":[{`, `"pagination":{"page":2,"page_size":5,"total":1,"total_pages":1}`)
	got := f.filter
	if got.GraphID != "g1" || fmt.Sprint(got.Statuses) != "[RUNNING FAILED]" || got.ParentID != "p" || !got.IncludeNested || got.Offset != 5 || got.Limit != 5 {
		t.Errorf("%+v", got)
	}
	expect(t, f.do("GET", "/api/v2/executions", "", "Authorization", "Bearer bob"), 200, `"executions":[]`)
}

func TestStopAndDelete(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	f.do("POST", executePath, "")
	expect(t, f.do("POST", "/api/v2/executions/e1/stop", ""), 200, `"status":"TERMINATED"`, `"ended_at":"2024-01-15T10:30:00Z"`)
	f.errs["delete"] = fmt.Errorf("%w: the execution has not ended", execution.ErrConflict)
	expect(t, f.do("DELETE", "/api/v2/executions/e1", ""), 409, `"code":"CONFLICT","message":"the execution has not ended"`)
	delete(f.errs, "delete")
	expect(t, f.do("DELETE", "/api/v2/executions/e1", ""), 204)
	for _, r := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"GET", "/nodes"}, {"POST", "/stop"}} {
		expect(t, f.do(r[0], "/api/v2/executions/e1"+r[1], "", "Authorization", "Bearer bob"), 404, `"code":"NOT_FOUND","message":"`)
	}
}

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"wait=10": 10 * time.Second, "WAIT = 10": 10 * time.Second, `wait="10"`: 10 * time.Second, "wait=0": 0, "wait=007": 7 * time.Second,
		"wait=60": time.Minute, "wait=61": time.Minute, "wait=99999999999999999999999": time.Minute,
		"a, wait=5": 5 * time.Second, "wait=5;foo=bar": 5 * time.Second, `a="x, wait=9", wait=5`: 5 * time.Second, "wait=5, wait=9": 5 * time.Second,
		"": -1, "wait": -1, "wait=": -1, "wait=-1": -1, "wait=+1": -1, "wait=1s": -1, "waiting=5": -1, `wait="`: -1, "wait=x, wait=5": -1,
	} {
		got, ok := preferredWait(header)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func FuzzPreferredWait(f *testing.F) {
	for _, s := range []string{"wait=10", `a="\", wait=9", wait=5`, "wait=", `"`, `\`, "wait=٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if wait, ok := preferredWait(header); wait < 0 || wait > time.Minute || !ok && wait != 0 {
			t.Fatalf("%q: %v", header, wait)
		}
		tagMatches(header, `"x"`)
	})
}

func FuzzExecutionRequest(f *testing.F) {
	for _, s := range []string{`{}`, `{"input_data":{"a":1e400},"version":1}`, `{"inputs":{}}`, `[{}]`, `{"version":{"a":1}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if checkJSON([]byte(body)) != nil {
			return
		}
		r, err := executionRequest([]byte(body))
		if err == nil && (!json.Valid(r.Inputs) || r.Version < 0 || !strings.Contains(body, string(r.Inputs)) && string(r.Inputs) != "{}") {
			t.Fatalf("%q gave %+v", body, r)
		}
	})
}
