package server_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/api/client"
)

// What programs in Go see of a real server.
func TestClient(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	ctx := t.Context()
	c, err := client.NewClientWithResponses(i.base, client.WithToken(token(t, alice)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("../../examples/agents/calculator-agent.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	graph, err := c.CreateGraphWithBodyWithResponse(ctx, nil, "application/json", file)
	if err != nil {
		t.Fatal(err)
	}
	if graph.JSON201 == nil || len(graph.JSON201.Nodes) == 0 {
		t.Fatalf("%s", graph.Body)
	}
	wait, inputs := "wait=60", client.Values(`{"Input":8}`)
	run, err := c.ExecuteGraphWithResponse(ctx, graph.JSON201.Id, &client.ExecuteGraphParams{Prefer: &wait}, client.ExecuteRequest{InputData: &inputs})
	if err != nil {
		t.Fatal(err)
	}
	if run.JSON200 == nil || run.JSON200.Outputs == nil || string((*run.JSON200.Outputs)["Output"][0]) != "42" {
		t.Fatalf("%s", run.Body)
	}
	details, err := c.GetExecutionWithResponse(ctx, run.JSON200.ExecutionId, nil)
	if err != nil {
		t.Fatal(err)
	}
	if details.JSON200 == nil || details.JSON200.Status != client.StatusCOMPLETED || string(details.JSON200.Inputs) != string(inputs) || len(details.JSON200.NodeExecutions) == 0 {
		t.Errorf("%s", details.Body)
	}
	library, err := c.ListLibraryAgentsWithResponse(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if library.JSON200 == nil || len(library.JSON200.Agents) != 1 || library.JSON200.Agents[0].AgentId != graph.JSON201.Id || library.JSON200.Pagination.Total != 1 {
		t.Errorf("%s", library.Body)
	}

	missing, err := c.GetGraphWithResponse(ctx, "nothing", nil)
	if err != nil {
		t.Fatal(err)
	}
	if missing.JSON404 == nil {
		t.Fatalf("%s", missing.Body)
	}
	var p *client.Problem
	if err := client.Check(missing.HTTPResponse, missing.Body); !errors.As(err, &p) || p.Code != "NOT_FOUND" || p.Status != 404 || p.Message == "" {
		t.Errorf("%v", err)
	}
	if err := client.Check(library.HTTPResponse, library.Body); err != nil {
		t.Error(err)
	}

	cmd := exec.CommandContext(ctx, "go", "run", "./examples/client", "examples/agents/hello-agent.json", "Name=Ada")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "PATCHBAY_URL="+i.base, "PATCHBAY_TOKEN="+token(t, alice))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Hello, Ada!") {
		t.Errorf("the example: %v\n%s", err, out)
	}
}
