package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
)

type libraryAgent struct {
	ID       string   `json:"id"`
	Version  int      `json:"agent_version"`
	Latest   bool     `json:"is_latest_version"`
	Runs     int      `json:"execution_count"`
	Rate     *float64 `json:"success_rate"`
	LastRun  *string  `json:"last_run_at"`
	Status   string   `json:"status"`
	Favorite bool     `json:"is_favorite"`
}

func (i *instance) libraryAgent(graph string) libraryAgent {
	i.t.Helper()
	status, body := i.call(alice, http.MethodGet, "/api/v2/library/agents/by-graph/"+graph, nil)
	var a libraryAgent
	if err := json.Unmarshal(body, &a); err != nil || status != http.StatusOK {
		i.t.Fatalf("library agent: %d %s", status, body)
	}
	return a
}

func TestLibraryCountsExecutions(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	graph := i.create(through(calculatorBlock, "operation", "result", map[string]any{"a": 1, "b": 1}))
	if a := i.libraryAgent(graph); a.Runs != 0 || a.Rate != nil || a.LastRun != nil || a.Status != "COMPLETED" || a.Version != 1 || !a.Latest {
		t.Errorf("before it ran: %+v", a)
	}
	for range 3 {
		i.run(graph, `{"Value":"Add"}`)
	}
	if a := i.libraryAgent(graph); a.Runs != 3 || a.Rate == nil || *a.Rate != 100 || a.LastRun == nil || a.Status != "COMPLETED" {
		t.Errorf("after three executions: %+v", a)
	}
	if d := i.run(graph, `{"Value":"no operation"}`); d.Status != "FAILED" {
		t.Fatalf("%+v", d)
	}
	if a := i.libraryAgent(graph); a.Runs != 4 || *a.Rate != 75 || a.Status != "ERROR" {
		t.Errorf("after a failure: %+v", a)
	}
	// Last executed first, whether that was counted already or is still to be, and those at the end that never were.
	other, never := i.create(through(calculatorBlock, "operation", "result", map[string]any{"a": 1, "b": 1})), i.create([]byte(`{"name":"never"}`))
	for _, order := range [][]string{{graph, other, never}, {other, graph, never}} {
		if order[0] == other {
			i.run(other, `{"Value":"Add"}`)
		} else {
			i.run(other, `{"Value":"Add"}`)
			i.run(graph, `{"Value":"Add"}`)
		}
		var list struct {
			Agents []struct {
				Graph string `json:"graph_id"`
			}
		}
		if err := json.Unmarshal([]byte(i.ask(alice, "GET", "/api/v2/library/agents?sort_by=lastRunAt", "", 200)), &list); err != nil || len(list.Agents) != 3 {
			t.Fatalf("%+v %v", list, err)
		}
		for n, want := range order {
			if list.Agents[n].Graph != want {
				t.Errorf("%d. is %s, want %s", n+1, list.Agents[n].Graph, want)
			}
		}
	}
	if status, _ := i.call(alice, http.MethodDelete, "/api/v2/builder/graphs/"+graph, nil); status != http.StatusNoContent {
		t.Fatalf("delete: %d", status)
	}
	for path, want := range map[string]int{"/api/v2/library/agents": 2, "/api/v2/executions?graph_id=" + graph: 5} {
		var list struct {
			Pagination struct{ Total int }
		}
		status, body := i.call(alice, http.MethodGet, path, nil)
		if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK || list.Pagination.Total != want {
			t.Errorf("%s: %d %s, not %d", path, status, body, want)
		}
	}
}

// Case 47, over HTTP: each of many updates at the same time gets a version of its own; of those that name the version
// that they know one gets through.
func TestUpdatesAtTheSameTime(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	document := through(calculatorBlock, "a", "result", map[string]any{"operation": "Add", "b": 1})
	graph := i.create(document)
	const n = 12
	together := func(headers ...string) (versions, statuses []int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				status, body, err := i.try(alice, http.MethodPut, "/api/v2/builder/graphs/"+graph, document, headers...)
				var g struct{ Version int }
				if err == nil {
					err = json.Unmarshal(body, &g)
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if statuses = append(statuses, status); status == http.StatusOK {
					versions = append(versions, g.Version)
				}
			})
		}
		wg.Wait()
		slices.Sort(versions)
		slices.Sort(statuses)
		return versions, statuses
	}
	versions, _ := together()
	for v := range n {
		if len(versions) != n || versions[v] != v+2 {
			t.Fatalf("the versions are %v", versions)
		}
	}
	if a := i.libraryAgent(graph); a.Version != n+1 || !a.Latest {
		t.Errorf("the library has %+v", a)
	}
	versions, statuses := together("If-Match", fmt.Sprintf(`"%d"`, n+1))
	if len(versions) != 1 || versions[0] != n+2 || statuses[1] != http.StatusConflict || statuses[n-1] != http.StatusConflict {
		t.Errorf("got versions %v and statuses %v", versions, statuses)
	}
}
