package block

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// Ids of structural blocks that others look for.
const (
	AgentID    = "e189baac-8c20-45a1-94a7-55177ea42565"
	OutputID   = "363ae599-353e-4804-937e-b2ee3cef3da4"
	InputID    = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
	DropdownID = "655d6fdf-a334-421c-b733-520549c07cd1"
	FileID     = "95ead23f-8283-4654-aef3-10c053b74a31"
	TableID    = "5603b273-f41e-4020-af7d-fbc9c6a8d928"
	DriveID    = "d3b32f15-6fd7-40e3-be52-e083f51b19a2"
	NoteID     = "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc"
)

// Example is a run of a block, for its documentation.
type Example struct {
	Input   json.RawMessage
	Outputs []ExampleOutput // in order
}

// ExampleOutput is a value at a pin.
type ExampleOutput struct {
	Pin   string
	Value json.RawMessage
}

// Structural are the blocks that the scheduler runs itself: the input family, output, note and nested agent. The slice
// and its blocks are shared.
func Structural() []*Block { return structural() }

var structural = sync.OnceValue(func() []*Block {
	blocks := make([]*Block, len(structuralDefinitions))
	for i, d := range structuralDefinitions {
		b, err := New(d)
		if err != nil {
			panic(fmt.Sprintf("structural block %s: %v", d.Name, err)) // a mistake in the table below
		}
		blocks[i] = b
	}
	return blocks
})

var structuralDefinitions = []Definition{
	input(InputID, "Agent Input", "Takes a value of any type from whoever runs the agent.", []string{"INPUT", "BASIC"},
		`{}`, inputNode{value: `{"title":"Value","description":"What is used when the run gives nothing.","default":null}`, valueSecond: true}),
	input("7fcd3bcb-8e1b-4e69-903d-32d3d4a92158", "Agent Short Text Input", "Takes one line of text from whoever runs the agent.", nil,
		`{"type":"string"}`, inputNode{value: nullable(`{"type":"string","format":"short-text"}`)}),
	input("90a56ffb-7024-4b2b-ab50-e26c5e5ab8ba", "Agent Long Text Input", "Takes text of several lines from whoever runs the agent.", nil,
		`{"type":"string"}`, inputNode{value: nullable(`{"type":"string","format":"long-text"}`)}),
	input("96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98", "Agent Number Input", "Takes a whole number from whoever runs the agent.", nil,
		`{"type":"integer"}`, inputNode{value: nullable(`{"type":"integer"}`)}),
	input("7e198b09-4994-47db-8b4d-952d98241817", "Agent Date Input", "Takes a date (YYYY-MM-DD) from whoever runs the agent.", nil,
		`{"type":"string","format":"date"}`, inputNode{value: nullable(`{"type":"string","format":"date"}`)}),
	input("2a1c757e-86cf-4c7e-aacf-060dc382e434", "Agent Time Input", "Takes a time of day (HH:MM:SS) from whoever runs the agent.", nil,
		`{"type":"string","format":"time"}`, inputNode{value: nullable(`{"type":"string","format":"time"}`)}),
	input(FileID, "Agent File Input", "Takes a file from whoever runs the agent.", nil,
		`{"type":"string"}`, inputNode{
			value: nullable(`{"type":"string","format":"file"}`),
			extra: `"base_64":{"title":"Produce Base64 Output","type":"boolean","default":false,"advanced":true,"description":"Whether the file itself is handed on, as a data URI, in place of a reference to it."}`,
		}),
	input(DropdownID, "Agent Dropdown Input", "Lets whoever runs the agent choose one of several texts.", nil,
		`{"type":"string"}`, inputNode{
			value: nullable(`{"type":"string"}`),
			extra: `"placeholder_values":{"title":"Dropdown Options","type":"array","items":{},"default":[],"advanced":false,"description":"What can be chosen."}`,
		}),
	input("cbf36ab5-df4a-43b6-8a7f-f7ed8652116e", "Agent Toggle Input", "Takes yes or no from whoever runs the agent.", nil,
		`{"type":"boolean"}`, inputNode{value: `{"title":"Default Value","type":"boolean","default":false,"advanced":false,"description":"What is used when the run gives nothing."}`}),
	input(TableID, "Agent Table Input", "Takes rows with named columns from whoever runs the agent.", nil,
		tableRows, inputNode{
			value: strings.Replace(nullable(tableRows), `{`, `{"format":"table",`, 1),
			extra: `"column_headers":{"title":"Column Headers","type":"array","items":{"type":"string"},"default":["Column 1","Column 2","Column 3"],"advanced":false,"description":"Names of the columns."}`,
		}),
	input(DriveID, "Agent Google Drive File Input", "Lets whoever runs the agent choose a file on Google Drive.", nil,
		driveFile, inputNode{
			value: strings.Replace(nullable(driveFile), "Default Value", "Selected File", 1),
			extra: `"allowed_views":{"title":"Allowed Views","type":"array","items":{"enum":["DOCS","DOCUMENTS","SPREADSHEETS","PRESENTATIONS","DOCS_IMAGES","FOLDERS"]},` +
				`"default":["DOCS","SPREADSHEETS","PRESENTATIONS"],"advanced":false,"description":"What the picker shows."},` +
				`"allow_folder_selection":{"title":"Allow Folder Selection","type":"boolean","default":false,"advanced":true,"description":"Whether folders can be chosen too."}`,
		}),
	{
		ID: OutputID, Name: "Agent Output", Kind: Output, StaticOutput: true, Categories: []string{"OUTPUT", "BASIC"},
		Description: "Hands a value to whoever ran the agent.",
		InputSchema: json.RawMessage(`{"type":"object","properties":{` +
			`"value":{"title":"Value","default":null,"advanced":false,"description":"What the agent hands out."},` +
			`"name":{"title":"Name","type":"string","description":"The output's name."},` + titleAndDescription + `,` +
			`"format":{"title":"Format","type":"string","default":"","advanced":true,"description":"A template that renders the value; the value is called like the output."},` +
			`"escape_html":{"title":"Escape Html","type":"boolean","default":false,"advanced":true,"description":"Whether the template escapes HTML."},` +
			flags + `},"required":["name"]}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{"output":{"title":"Output","description":"The value, as the template renders it if there is one."},"name":{"title":"Name","description":"The output's name."}},"required":["output","name"]}`),
	},
	{
		ID: NoteID, Name: "Note", Kind: Note, Categories: []string{"BASIC"},
		Description:  "A text for those who read the graph. It never runs.",
		InputSchema:  json.RawMessage(`{"type":"object","properties":{"text":{"title":"Text","type":"string","description":"The text."}},"required":["text"]}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{"output":{"title":"Output","type":"string","description":"The text."}},"required":["output"]}`),
	},
	{
		ID: AgentID, Name: "Agent Executor", Kind: Agent, Categories: []string{"AGENT"},
		Description: "Runs another agent: its inputs and outputs are the pins.",
		InputSchema: json.RawMessage(`{"type":"object","properties":{` +
			`"user_id":{"title":"User Id","type":"string"},` +
			`"graph_id":{"title":"Graph Id","type":"string","description":"The agent that is run."},` +
			`"graph_version":{"title":"Graph Version","type":"integer","description":"Its version."},` +
			`"agent_name":{"title":"Agent Name","anyOf":[{"type":"string"},{"type":"null"}],"default":null},` +
			`"inputs":{"title":"Inputs","type":"object","description":"Constants for the agent's inputs."},` +
			`"input_schema":{"title":"Input Schema","type":"object","description":"The agent's inputs, as they were when the node was placed."},` +
			`"output_schema":{"title":"Output Schema","type":"object","description":"The agent's outputs, as they were when the node was placed."},` +
			`"nodes_input_masks":{"title":"Nodes Input Masks","anyOf":[{"type":"object"},{"type":"null"}],"default":null,"hidden":true}` +
			`},"required":["user_id","graph_id","graph_version","inputs","input_schema","output_schema"]}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{}}`),
	},
}

const (
	tableRows = `{"type":"array","items":{"type":"object","additionalProperties":true}}`
	driveFile = `{"type":"object","properties":{` +
		`"id":{"type":"string"},"name":{"anyOf":[{"type":"string"},{"type":"null"}]},"mime_type":{"anyOf":[{"type":"string"},{"type":"null"}]},` +
		`"url":{"anyOf":[{"type":"string"},{"type":"null"}]},"icon_url":{"anyOf":[{"type":"string"},{"type":"null"}]},` +
		`"is_folder":{"anyOf":[{"type":"boolean"},{"type":"null"}]},"_credentials_id":{"anyOf":[{"type":"string"},{"type":"null"}]}},"required":["id"]}`

	titleAndDescription = `"title":{"title":"Title","anyOf":[{"type":"string"},{"type":"null"}],"default":null,"advanced":true,"description":"What forms show in place of the name."},` +
		`"description":{"title":"Description","anyOf":[{"type":"string"},{"type":"null"}],"default":null,"advanced":true,"description":"What forms explain."}`
	flags = `"advanced":{"title":"Advanced","type":"boolean","default":false,"advanced":true,"description":"Whether forms fold it away."},` +
		`"secret":{"title":"Secret","type":"boolean","default":false,"advanced":true,"description":"Whether forms hide the value, and exports leave it out."}`
	placeholderValues = `"placeholder_values":{"title":"Placeholder Values","type":"array","items":{},"default":[],"advanced":true,"hidden":true}`
)

// inputNode is in what the members of the input family differ.
type inputNode struct {
	value       string // schema of the value pin
	valueSecond bool   // it stands behind name, not behind the flags
	extra       string // further pins, in place of the hidden placeholder_values where they bring their own
}

func input(id, name, description string, categories []string, result string, n inputNode) Definition {
	pins := []string{`"name":{"title":"Name","type":"string","description":"The input's name."}`}
	value := `"value":` + n.value
	if n.valueSecond {
		pins = append(pins, value)
	}
	pins = append(pins, titleAndDescription)
	if !strings.Contains(n.extra, `"placeholder_values"`) {
		pins = append(pins, placeholderValues)
	}
	pins = append(pins, flags)
	if !n.valueSecond {
		pins = append(pins, value)
	}
	if n.extra != "" {
		pins = append(pins, n.extra)
	}
	return Definition{
		ID: id, Name: name, Description: description, Categories: categories, Kind: Input, StaticOutput: true,
		InputSchema:  json.RawMessage(`{"type":"object","properties":{` + strings.Join(pins, ",") + `},"required":["name"]}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{"result":` + titled(result) + `},"required":["result"]}`),
	}
}

// titled adds what the result pin's schema is called.
func titled(schema string) string {
	if schema == `{}` {
		return `{"title":"Result","description":"The value of the run, else the default."}`
	}
	return `{"title":"Result","description":"The value of the run, else the default.",` + schema[1:]
}

// nullable is the value pin of a typed input: its type or null, null by default.
func nullable(schema string) string {
	return `{"title":"Default Value","anyOf":[` + schema + `,{"type":"null"}],"default":null,"advanced":false,"description":"What is used when the run gives nothing."}`
}
