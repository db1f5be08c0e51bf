//go:build linux

package chaos

import "encoding/json"

// Blocks of the agents.
const (
	inputBlock      = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
	outputBlock     = "363ae599-353e-4804-937e-b2ee3cef3da4"
	calculatorBlock = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
	stepBlock       = "f66a3543-28d3-4ab5-8945-9b336371e2ce"
	agentBlock      = "e189baac-8c20-45a1-94a7-55177ea42565"
	storeBlock      = "1ff065e9-88e8-4358-9d82-8dc91f622ba9"
	countdownBlock  = "d67a9c52-5e4e-11e2-bcfd-0800200c9a71"
	persistBlock    = "1d055e55-a2b9-4547-8311-907d05b0304d"
	retrieveBlock   = "d8710fc9-6e29-481e-a7d5-165eb16f8471"
	conditionBlock  = "715696a0-e1da-45c8-b209-c2fa9c3b0be6"
	samplingBlock   = "4a448883-71fa-49cf-91cf-70d793bd7d87"
	markBlock       = "c4a05000-0000-4000-8000-000000000001" // of testdata/markplugin
	markOnceBlock   = "c4a05000-0000-4000-8000-000000000002"
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

func document(nodes []graphNode, links []graphLink) []byte {
	raw, err := json.Marshal(map[string]any{"name": "Chaos", "description": "", "nodes": nodes, "links": links})
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
	}, []graphLink{
		{ID: "a", SourceID: "in", SourceName: "result", SinkID: "middle", SinkName: in},
		{ID: "b", SourceID: "middle", SourceName: out, SinkID: "out", SinkName: "value"},
	})
}
