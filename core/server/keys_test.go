package server_test

import "testing"

const (
	persistBlock  = "1d055e55-a2b9-4547-8311-907d05b0304d"
	retrieveBlock = "d8710fc9-6e29-481e-a7d5-165eb16f8471"
)

// What an agent keeps outlives its executions and the server, byte for byte.
func TestKeptValuesOutliveTheServer(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	keep := i.create(through(persistBlock, "value", "value", map[string]any{"key": "k", "scope": "across_agents"}))
	find := i.create(through(retrieveBlock, "default_value", "value", map[string]any{"key": "k", "scope": "across_agents"}))
	value := func(graph, input string) string {
		d := i.ended(i.execute(graph, `{"Value":`+input+`}`))
		if d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 1 {
			t.Fatalf("ended %s with %s, %+v", d.Status, d.Outputs["Output"], d.Error)
		}
		return string(d.Outputs["Output"][0])
	}
	if got := value(find, `"nothing"`); got != `"nothing"` {
		t.Errorf("before there is %s", got)
	}
	for n, exact := range []string{`{"b":1e400,"a":12345678901234567890}`, `"\u0000é"`} {
		value(keep, exact)
		if n == 0 {
			i.kill()
			i.start()
		}
		if got := value(find, `"nothing"`); got != exact {
			t.Errorf("kept %s, found %s", exact, got)
		}
	}
}
