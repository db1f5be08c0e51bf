package main

import (
	"context"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// run gives the only output of a block.
func run(ctx context.Context, t *testing.T, block sdk.Definition, input string) string {
	t.Helper()
	values, err := blocktest.RunContext(ctx, t, block, input)
	if err != nil || len(values) != 1 {
		t.Fatalf("%s: %v, %v", input, values, err)
	}
	return string(values[0].Value)
}

func TestWhatIsKeptIsFoundInItsScope(t *testing.T) {
	t.Parallel()
	host := sdk.WithHost(t.Context(), &blocktest.Host{})
	agent := func(user, graph string) context.Context {
		return sdk.WithRun(host, sdk.Run{UserID: user, GraphID: graph, NodeID: "n"})
	}
	const value = `{"z":1e400,"a":[9007199254740993,"\u0000"]}`
	run(agent("u", "a"), t, persist, `{"key":"k","value":`+value+`}`)
	run(agent("u", "a"), t, persist, `{"key":"k","value":2,"scope":"across_agents"}`)
	for _, c := range []struct{ user, graph, scope, want string }{
		{"u", "a", "within_agent", value},
		{"u", "b", "within_agent", `"none"`},
		{"u", "b", "across_agents", "2"},
		{"other", "a", "across_agents", `"none"`},
	} {
		got := run(agent(c.user, c.graph), t, retrieve, `{"key":"k","scope":"`+c.scope+`","default_value":"none"}`)
		if got != c.want {
			t.Errorf("user %s, agent %s, %s: %s, want %s", c.user, c.graph, c.scope, got, c.want)
		}
	}
	run(agent("u", "a"), t, persist, `{"key":"k","value":false}`)
	if got := run(agent("u", "a"), t, retrieve, `{"key":"k","default_value":1}`); got != "false" {
		t.Errorf("the new value is %s", got)
	}
}
