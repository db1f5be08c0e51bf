package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/sdk"
)

type persistInput struct {
	Key   string          `json:"key" required:"true" doc:"Name to find the value by"`
	Value json.RawMessage `json:"value" required:"true" doc:"What to keep"`
	Scope string          `json:"scope" enum:"within_agent,across_agents" default:"within_agent" doc:"Who finds it: this agent, or all agents of the user"`
}

var persist = sdk.Block[persistInput]{
	ID:          "1d055e55-a2b9-4547-8311-907d05b0304d",
	Name:        "Persist Information",
	Description: "Keeps a value for later executions, under a name",
	Categories:  []string{"DATA"},
	Outputs:     sdk.Outputs{sdk.Out("value", sdk.Any("The value"))},
	Run: func(ctx context.Context, in persistInput, out sdk.Emitter) error {
		keys, err := keysOf(in.Scope)
		if err != nil {
			return err
		}
		if err := keys.Set(ctx, in.Key, in.Value); err != nil {
			return err
		}
		return out.Emit("value", in.Value)
	},
	Examples: []sdk.Example{{
		Input:  `{"key": "last_visit", "value": {"page": 3}}`,
		Output: `{"value": [{"page": 3}]}`,
	}},
}

type retrieveInput struct {
	Key      string          `json:"key" required:"true" doc:"Name that the value was kept under"`
	Scope    string          `json:"scope" enum:"within_agent,across_agents" default:"within_agent" doc:"Where to look: with this agent, or with all agents of the user"`
	Fallback json.RawMessage `json:"default_value" doc:"What comes out if nothing was kept"`
}

var retrieve = sdk.Block[retrieveInput]{
	ID:           "d8710fc9-6e29-481e-a7d5-165eb16f8471",
	Name:         "Retrieve Information",
	Description:  "Finds a value that Persist Information has kept",
	Categories:   []string{"DATA"},
	StaticOutput: true,
	Outputs:      sdk.Outputs{sdk.Out("value", sdk.Any("The value, else the default"))},
	Run: func(ctx context.Context, in retrieveInput, out sdk.Emitter) error {
		keys, err := keysOf(in.Scope)
		if err != nil {
			return err
		}
		kept, found, err := keys.Get(ctx, in.Key)
		if err != nil {
			return err
		}
		if !found {
			kept = in.Fallback
		}
		return out.Emit("value", kept)
	},
	Examples: []sdk.Example{{
		Input:  `{"key": "greeting", "default_value": "Hello"}`,
		Output: `{"value": ["Hello"]}`,
	}},
}

func keysOf(scope string) (sdk.KeyStore, error) {
	switch scope {
	case "within_agent":
		return sdk.Keys(sdk.AgentKeys), nil
	case "across_agents":
		return sdk.Keys(sdk.UserKeys), nil
	default:
		return sdk.KeyStore{}, sdk.InvalidInput("there is no scope %q", scope)
	}
}
