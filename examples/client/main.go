// Command client runs an agent of a file over REST and prints what comes out:
//
//	export PATCHBAY_TOKEN=$(bin/patchbay token --user 00000000-0000-4000-8000-000000000001)
//	go run ./examples/client examples/agents/calculator-agent.json Input=8
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/api/client"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: client FILE [NAME=VALUE…]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string, inputs []string) error {
	url := cmp.Or(os.Getenv("PATCHBAY_URL"), "http://127.0.0.1:8006")
	c, err := client.NewClientWithResponses(url, client.WithToken(os.Getenv("PATCHBAY_TOKEN")))
	if err != nil {
		return err
	}

	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	graph, err := c.CreateGraphWithBodyWithResponse(ctx, nil, "application/json", file)
	if err == nil {
		err = client.Check(graph.HTTPResponse, graph.Body)
	}
	if err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}

	values, err := valuesOf(inputs)
	if err != nil {
		return err
	}
	wait := "wait=60"
	execution, err := c.ExecuteGraphWithResponse(ctx, graph.JSON201.Id, &client.ExecuteGraphParams{Prefer: &wait}, client.ExecuteRequest{InputData: &values})
	if err == nil {
		err = client.Check(execution.HTTPResponse, execution.Body)
	}
	if err != nil {
		return fmt.Errorf("execute %s: %w", graph.JSON201.Name, err)
	}
	ended := execution.JSON200
	switch {
	case ended.Status == nil || ended.Outputs == nil:
		return errors.New("the server did not wait")
	case ended.Error != nil:
		return errors.New(ended.Error.Message)
	}
	for name, list := range *ended.Outputs {
		for _, value := range list {
			fmt.Printf("%s: %s\n", name, value)
		}
	}
	return nil
}

// valuesOf reads inputs of the form NAME=VALUE. A value that is no JSON is a string.
func valuesOf(inputs []string) (client.Values, error) {
	values := map[string]json.RawMessage{}
	for _, input := range inputs {
		name, value, ok := strings.Cut(input, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not NAME=VALUE", input)
		}
		if values[name] = json.RawMessage(value); !json.Valid(values[name]) {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			values[name] = text
		}
	}
	return json.Marshal(values)
}
