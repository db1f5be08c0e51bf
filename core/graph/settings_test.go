package graph_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/graph"
)

func TestSettingsOfAGraph(t *testing.T) {
	t.Parallel()
	decode := func(settings string) (*graph.Graph, error) {
		return graph.Decode([]byte(`{"name":"g","settings":` + settings + `}`))
	}
	for settings, want := range map[string]graph.Settings{
		`null`: {}, `{}`: {}, `{"human_in_the_loop_safe_mode":true}`: {}, `{"max_concurrent_executions":null,"execution_timeout":null}`: {},
		`{"max_concurrent_executions":2.0}`:                           {MaxConcurrent: 2},
		`{"execution_timeout":1.5,"max_concurrent_executions":1}`:     {MaxConcurrent: 1, Timeout: 1500 * time.Millisecond},
		`{"execution_timeout":7776000,"max_concurrent_executions":1}`: {MaxConcurrent: 1, Timeout: graph.MaxExecutionTimeout},
	} {
		if g, err := decode(settings); err != nil || g.Settings != want {
			t.Errorf("%s: %+v, %v", settings, g, err)
		}
	}
	for settings, want := range map[string]string{
		`3`: "settings must be an object", `{"max_concurrent_executions":0}`: "settings.max_concurrent_executions must", `{"max_concurrent_executions":1.5}`: "settings.max_concurrent_executions must",
		`{"max_concurrent_executions":"2"}`: "settings.max_concurrent_executions must", `{"execution_timeout":0}`: "settings.execution_timeout must", `{"execution_timeout":1e300}`: "settings.execution_timeout must",
	} {
		_, err := decode(settings)
		var malformed *graph.Malformed
		if !errors.As(err, &malformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}
