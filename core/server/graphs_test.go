package server_test

import "encoding/json"

// Graphs that the tests run. Node ids are what a reader of an event sees.

const (
	inputBlock      = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
	shortTextBlock  = "7fcd3bcb-8e1b-4e69-903d-32d3d4a92158"
	outputBlock     = "363ae599-353e-4804-937e-b2ee3cef3da4"
	calculatorBlock = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
	stepBlock       = "f66a3543-28d3-4ab5-8945-9b336371e2ce"
	agentBlock      = "e189baac-8c20-45a1-94a7-55177ea42565"
	storeBlock      = "1ff065e9-88e8-4358-9d82-8dc91f622ba9"
	countdownBlock  = "d67a9c52-5e4e-11e2-bcfd-0800200c9a71"
)

type graphNode struct {
	ID           string         `json:"id"`
	BlockID      string         `json:"block_id"`
	InputDefault map[string]any `json:"input_default"`
}

type graphLink struct {
	ID         string `json:"id"`
	SourceID   string `json:"source_id"`
	SinkID     string `json:"sink_id"`
	SourceName string `json:"source_name"`
	SinkName   string `json:"sink_name"`
}

func document(nodes []graphNode, links ...graphLink) []byte {
	for i := range links {
		links[i].ID = "link-" + links[i].SourceID + "-" + links[i].SinkID
	}
	raw, err := json.Marshal(map[string]any{"name": "Test", "description": "", "nodes": nodes, "links": links})
	if err != nil {
		panic(err)
	}
	return raw
}

// through passes the input "Value" through one block.
func through(block, in, out string, defaults map[string]any) []byte {
	return document([]graphNode{
		{"in", inputBlock, map[string]any{"name": "Value"}},
		{"middle", block, defaults},
		{"out", outputBlock, map[string]any{"name": "Output"}},
	},
		graphLink{SourceID: "in", SourceName: "result", SinkID: "middle", SinkName: in},
		graphLink{SourceID: "middle", SourceName: out, SinkID: "out", SinkName: "value"},
	)
}

// stepping adds 1 to each item of the list "Value": a streaming block, and as many runs of another behind it.
func stepping() []byte {
	return document([]graphNode{
		{"in", inputBlock, map[string]any{"name": "Value"}},
		{"step", stepBlock, map[string]any{}},
		{"add", calculatorBlock, map[string]any{"operation": "Add", "b": 1}},
		{"out", outputBlock, map[string]any{"name": "Output"}},
	},
		graphLink{SourceID: "in", SourceName: "result", SinkID: "step", SinkName: "items"},
		graphLink{SourceID: "step", SourceName: "item", SinkID: "add", SinkName: "a"},
		graphLink{SourceID: "add", SourceName: "result", SinkID: "out", SinkName: "value"},
	)
}
