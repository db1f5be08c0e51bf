package conformance

import (
	"net/http"
	"testing"
)

// Somebody else's executions are not there, whatever is asked of them.
func TestExecutionsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c, stranger := w.client(), w.client()
	g := nestedChain.store(t, c)
	id := c.execute(t, g.ID, nestedChain.inputs)
	at := gates.await(t, id, "b", "", 1)
	child := c.children(t, id)[0].ID
	for _, id := range []string{id, child} {
		for path, method := range map[string]string{"": http.MethodGet, "/nodes": http.MethodGet, "/stop": http.MethodPost, "/retry": http.MethodPost} {
			if a := stranger.do(t, method, "/executions/"+id+path, ""); a.status != 404 {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
		if a := stranger.do(t, http.MethodDelete, "/executions/"+id, ""); a.status != 404 {
			t.Errorf("delete: %d %s", a.status, a.body)
		}
	}
	for _, query := range []string{"", "?graph_id=" + g.ID, "?parent_execution_id=" + id, "?include_nested=true", "?status=RUNNING&status=COMPLETED", "?created_after=2000-01-01T00:00:00Z"} {
		var list struct {
			Executions []details `json:"executions"`
			Pagination struct {
				Total int `json:"total"`
			} `json:"pagination"`
		}
		stranger.ok(t, http.MethodGet, "/executions"+query, "", &list)
		if list.Pagination.Total != 0 || len(list.Executions) != 0 {
			t.Errorf("%s: a stranger sees %+v", query, list)
		}
		c.ok(t, http.MethodGet, "/executions"+query, "", &list)
		if list.Pagination.Total == 0 || len(list.Executions) != list.Pagination.Total {
			t.Errorf("%s: the owner sees %+v", query, list)
		}
	}
	if a := stranger.do(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", ""); a.status != 404 {
		t.Errorf("execute: %d %s", a.status, a.body)
	}
	at.release()
	parseExpectation(t, nestedChain.want).check(t, &nestedChain, w.finish(t, c, id))
}
