package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
)

const (
	legacyMax      = 250 // entries of lists that earlier versions do not page
	legacyPageSize = 25
)

func (c *legacyCall) user() string { return auth.From(c.Context()).UserID }

// legacyBlocks is GET /blocks.
func legacyBlocks(s *server, w http.ResponseWriter, _ *legacyCall) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) {
		j.open('[')
		for _, b := range s.blocks.source.Blocks() {
			j.object(func() {
				j.key("id")
				j.string(b.Definition.ID)
				j.key("name")
				j.string(b.Definition.Name)
				j.key("description")
				j.string(b.Definition.Description)
				j.key("inputSchema")
				j.value(b.Definition.InputSchema)
				j.key("outputSchema")
				j.value(b.Definition.OutputSchema)
				j.key("staticOutput")
				j.bool(b.Definition.StaticOutput)
				j.key("uiType")
				j.string(string(b.Definition.Kind))
				j.key("categories")
				j.open('[')
				for _, category := range b.Definition.Categories {
					j.object(func() {
						j.key("category")
						j.string(category)
						j.key("description")
						j.string("")
					})
				}
				j.close(']')
				j.key("costs")
				j.strings(nil)
			})
		}
		j.close(']')
	})
}

// legacyGraphs is GET /graphs.
func legacyGraphs(s *server, w http.ResponseWriter, c *legacyCall) error {
	list, _, err := s.graphs.List(c.Context(), c.user(), graph.Filter{Limit: legacyMax})
	if err != nil {
		return err
	}
	return answerValue(w, graphSummaries(list))
}

// legacyGraphVersions is GET /graphs/{id}/versions.
func legacyGraphVersions(s *server, w http.ResponseWriter, c *legacyCall) error {
	list, _, err := s.graphs.Versions(c.Context(), c.user(), c.vars["graph_id"], 0, legacyMax)
	if err != nil {
		return err
	}
	return answerValue(w, graphSummaries(list))
}

// legacyGraphDeletion is DELETE /graphs/{id}, which tells how many versions went.
func legacyGraphDeletion(s *server, w http.ResponseWriter, c *legacyCall) error {
	_, count, err := s.graphs.Versions(c.Context(), c.user(), c.vars["graph_id"], 0, 1)
	if err != nil {
		return err
	}
	if _, err := s.DeleteGraph(c.Context(), DeleteGraphRequestObject{GraphId: c.vars["graph_id"]}); err != nil {
		return err
	}
	return answerValue(w, map[string]int{"version_counts": count})
}

// legacyExecution is POST /graphs/{id}/execute/{version}. Inputs are the member of that name, or the whole body.
func legacyExecution(inputs string) legacyShape {
	return func(s *server, w http.ResponseWriter, c *legacyCall) error {
		version, err := strconv.ParseInt(c.vars["version"], 10, 32)
		if err != nil || version < 1 {
			return problem.Field("version", "must be an integer from 1")
		}
		request := execution.Request{
			UserID: c.user(), GraphID: c.vars["graph_id"], Version: int(version), Inputs: json.RawMessage("{}"),
		}
		if body := bodyOf(c.Context()); len(body) > 0 {
			e, err := openEnvelope(body)
			if err != nil {
				return err
			}
			if err := e.problem(); err != nil { // a name twice
				return err
			}
			request.Inputs = body
			if named, ok := e.members[inputs]; ok && jsonscan.KindOf(named) == jsonscan.Object {
				request.Inputs = named
			}
		}
		if key := c.Header.Get("Idempotency-Key"); key != "" {
			// The version is of the path here: without it one key would stand for executions of several.
			request.IdempotencyKey = key
			request.Body = append([]byte(c.URL.Path+"@"+c.vars["version"]+"\n"), bodyOf(c.Context())...)
		}
		id, err := s.executions.Execute(c.Context(), request)
		if err != nil {
			return err
		}
		d, err := s.executions.Details(context.WithoutCancel(c.Context()), request.UserID, id)
		if err != nil {
			return err
		}
		return answerValue(w, struct {
			Execution
			GraphExecID string `json:"graph_exec_id"` // what older clients look for
		}{summary(&d.Execution), id})
	}
}

// legacyExecutions is GET /executions.
func legacyExecutions(s *server, w http.ResponseWriter, c *legacyCall) error {
	list, _, err := legacyExecutionPage(s, c, "", page{number: 1, size: legacyMax})
	if err != nil {
		return err
	}
	return answerValue(w, list)
}

// legacyGraphExecutions is GET /graphs/{id}/executions.
func legacyGraphExecutions(s *server, w http.ResponseWriter, c *legacyCall) error {
	p := page{number: 1, size: legacyPageSize}
	for name, to := range map[string]*int{"page": &p.number, "page_size": &p.size} {
		if n, err := strconv.Atoi(c.URL.Query().Get(name)); err == nil { // others were refused
			*to = n
		}
	}
	list, total, err := legacyExecutionPage(s, c, c.vars["graph_id"], p)
	if err != nil {
		return err
	}
	of := p.of(total)
	return answerValue(w, map[string]any{"executions": list, "pagination": map[string]int{
		"total_items": of.Total, "total_pages": of.TotalPages, "current_page": of.Page, "page_size": of.PageSize,
	}})
}

func legacyExecutionPage(s *server, c *legacyCall, graphID string, p page) ([]Execution, int, error) {
	found, total, err := s.executions.List(c.Context(), c.user(), execution.Filter{GraphID: graphID, Offset: p.offset(), Limit: p.size})
	list := make([]Execution, len(found))
	for i := range found {
		list[i] = summary(&found[i])
	}
	return list, total, err
}

// ofGraph is an execution whose path names its graph too.
func (c *legacyCall) ofGraph(s *server) (*execution.Details, error) {
	d, err := s.executions.Details(c.Context(), c.user(), c.vars["execution_id"])
	if err != nil {
		return nil, err
	}
	if d.GraphID != c.vars["graph_id"] {
		return nil, execution.ErrNotFound
	}
	return d, nil
}

// legacyStop is POST /graphs/{id}/executions/{id}/stop.
func legacyStop(s *server, w http.ResponseWriter, c *legacyCall) error {
	if _, err := c.ofGraph(s); err != nil {
		return err
	}
	c.next.ServeHTTP(w, c.Request)
	return nil
}

// legacyDetails is GET /graphs/{id}/executions/{id}.
func legacyDetails(s *server, w http.ResponseWriter, c *legacyCall) error {
	d, err := c.ofGraph(s)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.object(func() { j.legacyDetails(d) }) })
}

// legacyResults is GET /graphs/{id}/executions/{id}/results.
func legacyResults(s *server, w http.ResponseWriter, c *legacyCall) error {
	d, err := c.ofGraph(s)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.object(func() { j.legacyResults(d) }) })
}

// legacyKeys is GET /api-keys.
func legacyKeys(s *server, w http.ResponseWriter, c *legacyCall) error {
	list, _, err := s.keys.Keys(c.Context(), c.user(), 0, legacyMax)
	if err != nil {
		return err
	}
	shown := make([]APIKey, len(list))
	for i := range list {
		shown[i] = apiKey(&list[i])
	}
	return answerValue(w, shown)
}

// legacyNewKey is POST /api-keys.
func legacyNewKey(s *server, w http.ResponseWriter, c *legacyCall) error {
	var d CreateAPIKeyJSONRequestBody
	if err := json.Unmarshal(bodyOf(c.Context()), &d); err != nil {
		return problem.Field("body", "has the wrong form")
	}
	k, text, err := s.keys.CreateKey(c.Context(), c.user(), account.Draft{
		Name: &d.Name, Description: d.Description, Permissions: permissionsOf(d.Permissions), ExpiresAt: d.ExpiresAt,
	})
	if err != nil {
		return err
	}
	audited(c.Context(), k.ID)
	return answerValue(w, map[string]any{"api_key": apiKey(k), "plain_text_key": text})
}

// legacyKeyRevocation is DELETE /api-keys/{id}, which answers with what was revoked.
func legacyKeyRevocation(s *server, w http.ResponseWriter, c *legacyCall) error {
	if err := s.keys.RevokeKey(c.Context(), c.user(), c.vars["key_id"]); err != nil {
		return err
	}
	k, err := s.keys.Key(c.Context(), c.user(), c.vars["key_id"])
	if err != nil {
		return err
	}
	return answerValue(w, apiKey(k))
}

// legacyKeyPermissions is PUT /api-keys/{id}/permissions, which changes nothing else.
func legacyKeyPermissions(s *server, w http.ResponseWriter, c *legacyCall) error {
	var d struct{ Permissions []Permission }
	if err := json.Unmarshal(bodyOf(c.Context()), &d); err != nil || len(d.Permissions) == 0 {
		return problem.Field("permissions", "is required")
	}
	k, err := s.keys.UpdateKey(c.Context(), c.user(), c.vars["key_id"], account.Draft{Permissions: permissionsOf(d.Permissions)})
	if err != nil {
		return err
	}
	return answerValue(w, apiKey(k))
}

// answerValue answers with what holds no values of users.
func answerValue(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.value(text) })
}

func (j *jsonWriter) legacyDetails(d *execution.Details) {
	j.detailsHead(d)
	j.key("stats")
	j.stats(d.Stats)
	j.key("inputs")
	j.valueOrEmpty(d.Inputs)
	j.key("outputs")
	j.outputs(d.Outputs)
	j.key("node_executions")
	j.open('[')
	for n, err := range d.NodeExecutions {
		if !j.still(err) {
			return
		}
		j.object(func() {
			j.key("node_exec_id")
			j.string(n.ID)
			j.key("node_id")
			j.string(n.NodeID)
			j.key("block_id")
			j.string(n.BlockID)
			j.key("status")
			j.string(string(n.Status))
			j.key("input_data")
			j.valueOrEmpty(n.Input)
			j.key("output_data")
			j.pinValues(n.Outputs)
			for _, name := range []string{"add_time", "queue_time", "start_time"} { // one moment here
				j.key(name)
				j.timeOrNull(n.StartedAt)
			}
			j.key("end_time")
			j.timeOrNull(n.EndedAt)
		})
	}
	j.close(']')
}

func (j *jsonWriter) legacyResults(d *execution.Details) {
	j.key("execution_id")
	j.string(d.ID)
	j.key("status")
	j.string(string(d.Status))
	j.key("nodes")
	j.open('[')
	for n, err := range d.NodeExecutions {
		if !j.still(err) {
			return
		}
		j.object(func() {
			j.key("node_id")
			j.string(n.NodeID)
			j.key("input")
			j.valueOrEmpty(n.Input)
			j.key("output")
			j.pinValues(n.Outputs)
		})
	}
	j.close(']')
	j.key("output")
	if d.Status != execution.Completed {
		j.null()
		return
	}
	j.open('[')
	for _, pin := range d.Outputs {
		for v, err := range pin.Values {
			if !j.still(err) {
				return
			}
			j.object(func() {
				j.key(pin.Name)
				j.value(v)
			})
		}
	}
	j.close(']')
}
