package execution

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

// help is a block that does a part of a structural node's work in a plugin. It is a block id of the reference:
// whichever plugin provides it is asked.
type help struct {
	block  block.Definition // stands for the block where the plan does not have it
	input  func(e *nodeExec) json.RawMessage
	output string // its pin that counts
	as     string // the node's pin that yields what comes on it
}

var (
	// templateHelp renders the format of an output node. Rendering has no effect outside and the same result again.
	templateHelp = &help{
		block: block.Definition{ID: "db7d8f02-2f44-4c55-ab7a-eae0941f0c30", Name: "Fill Text Template", Traits: block.Traits{Pure: true}},
		input: (*nodeExec).templateInput, output: "output", as: outputPin,
	}
	// fileHelp brings a file that was given to a run into the file store.
	fileHelp = &help{
		block: block.Definition{ID: "cbb50872-625b-42f0-8203-a2ae78242d8a", Name: "File Store"},
		input: (*nodeExec).fileInput, output: "file_out", as: resultPin,
	}
)

// help is what e needs, or nil: an output node with a format, a file input with a file.
func (e *nodeExec) help() *help {
	switch {
	case e.kind() == block.Output && gjson.GetBytes(e.input, "format").String() != "":
		return templateHelp
	case e.plan().block.ID == block.FileID && e.failure == "" && e.pinValue(valuePin).text() != "" && !e.pinValue(valuePin).null():
		return fileHelp
	default:
		return nil
	}
}

// renders says whether e is an output node with a format.
func (e *nodeExec) renders() bool { return e.help() == templateHelp }

// runs is the block that a plugin runs for e.
func (e *nodeExec) runs() *block.Block {
	h := e.help()
	if h == nil {
		return e.plan().block
	}
	if b, ok := e.run.plan.Block(h.block.ID); ok {
		return b
	}
	return &block.Block{Definition: h.block}
}

// blockInput is what the block gets.
func (e *nodeExec) blockInput() json.RawMessage {
	if h := e.help(); h != nil {
		return h.input(e)
	}
	return graph.WithoutNulls(e.input)
}

// ownOutputs are what the node yields of a block's outputs.
func (e *nodeExec) ownOutputs(outputs []output) []output {
	h := e.help()
	if h == nil {
		return outputs
	}
	own := make([]output, 0, len(outputs))
	for _, o := range outputs {
		if o.pin == h.output {
			own = append(own, output{pin: h.as, value: o.value})
		}
	}
	return own
}

// templateInput is what the template block gets for an output node with a format: one variable, called like the node.
func (e *nodeExec) templateInput() json.RawMessage {
	var b bytes.Buffer
	b.WriteString(`{"values":{`)
	b.Write(quote(e.outputName()))
	b.WriteByte(':')
	b.Write(e.pinValue(valuePin).raw)
	b.WriteString(`},"format":`)
	b.WriteString(gjson.GetBytes(e.input, "format").Raw)
	e.passOn(&b, "escape_html")
	b.WriteByte('}')
	return b.Bytes()
}

// fileInput is what the File Store block gets for a file input.
func (e *nodeExec) fileInput() json.RawMessage {
	var b bytes.Buffer
	b.WriteString(`{"file_in":`)
	b.Write(e.pinValue(valuePin).raw)
	e.passOn(&b, "base_64")
	b.WriteByte('}')
	return b.Bytes()
}

// passOn adds a pin of the node that the block has too.
func (e *nodeExec) passOn(b *bytes.Buffer, pin string) {
	if v := gjson.GetBytes(e.input, pin); v.Exists() && v.Type != gjson.Null {
		b.WriteString(`,"` + pin + `":`)
		b.WriteString(v.Raw)
	}
}
