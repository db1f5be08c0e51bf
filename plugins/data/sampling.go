package main

import (
	"context"
	"encoding/json"
	"math/big"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// collectedKey is where a node keeps the elements that it collects.
const collectedKey = "collected"

type dataSamplingInput struct {
	Data        json.RawMessage `json:"data" required:"true" placeholder:"{'id': 1, 'value': 'a'} or [{'id': 1, 'value': 'a'}, {'id': 2, 'value': 'b'}, ...]" schema:"{\"anyOf\":[{\"type\":\"object\",\"additionalProperties\":true},{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"object\",\"additionalProperties\":true},{\"type\":\"array\",\"items\":{}}]}}]}" doc:"What to sample from: a dictionary, or a list of dictionaries or lists"`
	SampleSize  int             `json:"sample_size" default:"10" placeholder:"10" doc:"How many elements to take"`
	Method      string          `json:"sampling_method" default:"random" enum:"random,systematic,top,bottom,stratified,weighted,reservoir,cluster" doc:"How to choose them"`
	Accumulate  bool            `json:"accumulate" default:"false" doc:"Collect the data of run after run of this node, and sample when there is enough"`
	RandomSeed  json.RawMessage `json:"random_seed" type:"integer|null" default:"null" doc:"Makes the choice repeatable"`
	StratifyKey *string         `json:"stratify_key" doc:"Key whose values divide the data into strata, of each of which a share is taken"`
	WeightKey   *string         `json:"weight_key" doc:"Key whose numbers say how probable an element is"`
	ClusterKey  *string         `json:"cluster_key" doc:"Key whose values divide the data into clusters, which are taken whole while there is room"`
}

var dataSampling = sdk.Block[dataSamplingInput]{
	ID:          "4a448883-71fa-49cf-91cf-70d793bd7d87",
	Name:        "Data Sampling",
	Description: "Takes a sample of a list of data, by one of several methods",
	Categories:  []string{"LOGIC"},
	Outputs: sdk.Outputs{
		sdk.Out("sampled_data", sdk.List("The elements that were taken", sdk.Any(""))),
		sdk.Out("sample_indices", sdk.List("Their places in the data, from 0", sdk.Integer(""))),
	},
	Run: func(ctx context.Context, in dataSamplingInput, out sdk.Emitter) error {
		if in.SampleSize < 0 {
			return sdk.InvalidInput("the sample size %d is negative", in.SampleSize)
		}
		seed, err := in.seed()
		if err != nil {
			return err
		}
		elements := []json.RawMessage{in.Data}
		if value.KindOf(in.Data) == value.List {
			elements = value.Elements(in.Data)
		}
		if in.Accumulate {
			if elements, err = collect(ctx, elements, in.SampleSize); err != nil || len(elements) < in.SampleSize {
				return err
			}
		}
		indices, err := in.choose(elements, newRandom(seed))
		if err != nil {
			return err
		}
		sampled := make([]json.RawMessage, len(indices))
		for i, at := range indices {
			sampled[i] = elements[at]
		}
		if err := out.Emit("sampled_data", value.ListOf(sampled)); err != nil {
			return err
		}
		return out.Emit("sample_indices", indices)
	},
	Examples: []sdk.Example{
		{
			Input:  `{"data": [{"id": 1}, {"id": 2}, {"id": 3}], "sample_size": 2, "sampling_method": "top"}`,
			Output: `{"sampled_data": [[{"id": 1}, {"id": 2}]], "sample_indices": [[0, 1]]}`,
		},
		{
			Input:  `{"data": [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}], "sample_size": 2, "random_seed": 42}`,
			Output: `{"sampled_data": [[{"id": 1}, {"id": 4}]], "sample_indices": [[0, 3]]}`,
		},
	},
}

func (in dataSamplingInput) seed() (*big.Int, error) {
	if value.KindOf(in.RandomSeed) == value.Null {
		return nil, nil
	}
	const maxSeed = 1000 // digits
	seed, ok := new(big.Int).SetString(string(in.RandomSeed[:min(len(in.RandomSeed), maxSeed)]), 10)
	if !ok || len(in.RandomSeed) > maxSeed {
		return nil, sdk.InvalidInput("the random seed is no whole number of at most %d digits: %.100s", maxSeed, in.RandomSeed)
	}
	return seed, nil
}

// collect adds elements to those that the node has collected before, and gives them all. When they are enough for a
// sample, nothing stays behind.
func collect(ctx context.Context, elements []json.RawMessage, enough int) ([]json.RawMessage, error) {
	keys := sdk.Keys(sdk.NodeKeys)
	before, found, err := keys.Hold(ctx, collectedKey)
	if err != nil {
		return nil, err
	}
	if found {
		elements = append(value.Elements(before), elements...)
	}
	if len(elements) < enough {
		return elements, keys.Set(ctx, collectedKey, value.ListOf(elements))
	}
	if found {
		return elements, keys.Delete(ctx, collectedKey)
	}
	return elements, nil
}
