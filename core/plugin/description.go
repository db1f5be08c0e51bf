package plugin

import (
	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Description is what a plugin says of itself, for people.
type Description struct {
	Name      string
	Version   string
	Text      string
	Settings  []Setting
	Providers []*Provider      // in the plugin's order
	Blocks    []DescribedBlock // in the plugin's order
}

// Setting is one that administrators may give a plugin.
type Setting struct {
	Name     string
	Text     string
	Default  string
	Required bool
	Secret   bool
}

// DescribedBlock is a block with what documents it.
type DescribedBlock struct {
	*block.Block
	Examples []block.Example
}

// Descriptions are those of all plugins that could be asked, sorted by name: also of such as did not start then.
func (h *Host) Descriptions() []Description {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Description
	for _, s := range h.plugins {
		s.mu.Lock()
		o := s.described
		s.mu.Unlock()
		if o != nil {
			all = append(all, o.forPeople())
		}
	}
	return all
}

func (o *offer) forPeople() Description {
	d := Description{
		Name: o.description.GetName(), Version: o.description.GetVersion(), Text: o.description.GetDescription(), Providers: o.providers,
	}
	for _, s := range o.description.GetSettings() {
		d.Settings = append(d.Settings, Setting{
			Name: s.GetName(), Text: s.GetDescription(), Default: s.GetDefault(), Required: s.GetRequired(), Secret: s.GetSecret(),
		})
	}
	for i, b := range o.blocks {
		d.Blocks = append(d.Blocks, DescribedBlock{b, examplesOf(o.description.GetBlocks()[i])})
	}
	return d
}

func examplesOf(d *proto.BlockDescription) []block.Example {
	var examples []block.Example
	for _, e := range d.GetExamples() {
		example := block.Example{Input: e.GetInput()}
		for _, output := range e.GetOutputs() {
			example.Outputs = append(example.Outputs, block.ExampleOutput{Pin: output.GetPin(), Value: output.GetValue()})
		}
		examples = append(examples, example)
	}
	return examples
}
