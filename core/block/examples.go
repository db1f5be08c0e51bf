package block

import "encoding/json"

// StructuralExample documents a structural block. The one of the nested agent runs an agent of that id, with an input
// topic that it hands out as answer.
func StructuralExample(id string) (Example, bool) {
	e, ok := structuralExamples[id]
	return e, ok
}

// ExampleAgentID is the agent that the nested agent's example runs.
const ExampleAgentID = "00000000-0000-4000-8000-0000000000a9"

var structuralExamples = map[string]Example{
	InputID:                                example(`{"name":"topic","value":"cats"}`, "result", `"cats"`),
	"7fcd3bcb-8e1b-4e69-903d-32d3d4a92158": example(`{"name":"topic","value":"cats"}`, "result", `"cats"`),
	"90a56ffb-7024-4b2b-ab50-e26c5e5ab8ba": example(`{"name":"letter","value":"Dear Ada,\nhello."}`, "result", `"Dear Ada,\nhello."`),
	"96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98": example(`{"name":"count","value":8}`, "result", `8`),
	"7e198b09-4994-47db-8b4d-952d98241817": example(`{"name":"day","value":"2028-02-29"}`, "result", `"2028-02-29"`),
	"2a1c757e-86cf-4c7e-aacf-060dc382e434": example(`{"name":"alarm","value":"06:30:00"}`, "result", `"06:30:00"`),
	FileID:                                 example(`{"name":"notes","value":"data:text/plain,Hello","base_64":true}`, "result", `"data:text/plain;base64,SGVsbG8="`),
	DropdownID:                             example(`{"name":"size","placeholder_values":["small","large"],"value":"small"}`, "result", `"small"`),
	"cbf36ab5-df4a-43b6-8a7f-f7ed8652116e": example(`{"name":"urgent","value":true}`, "result", `true`),
	TableID:                                example(`{"name":"people","column_headers":["name"],"value":[{"name":"Ada"}]}`, "result", `[{"name":"Ada"}]`),
	DriveID:                                example(`{"name":"report","value":{"id":"f1","name":"Report"}}`, "result", `{"id":"f1","name":"Report"}`),
	OutputID:                               example(`{"name":"answer","value":42,"format":"It is {{ answer }}."}`, "output", `"It is 42."`),
	NoteID:                                 example(`{"text":"What follows sorts the letters."}`),
	AgentID: example(`{"user_id":"","graph_id":"`+ExampleAgentID+`","graph_version":1,"inputs":{"topic":"cats"},`+
		`"input_schema":{"type":"object","properties":{"topic":{}}},"output_schema":{"type":"object","properties":{"answer":{}}}}`, "answer", `"cats"`),
}

// example has pins and values by turns.
func example(input string, outputs ...string) Example {
	e := Example{Input: json.RawMessage(input)}
	for i := 0; i < len(outputs); i += 2 {
		e.Outputs = append(e.Outputs, ExampleOutput{Pin: outputs[i], Value: json.RawMessage(outputs[i+1])})
	}
	return e
}
