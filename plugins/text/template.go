package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/sdk"
)

type fillTextTemplateInput struct {
	Values     json.RawMessage `json:"values" type:"object" required:"true" doc:"Variables of the template"`
	Format     string          `json:"format" required:"true" doc:"Template in Jinja's language, such as Dear {{ name }}"`
	EscapeHTML bool            `json:"escape_html" default:"false" advanced:"true" doc:"Escape the values for HTML"`
}

var templates jinja.Renderer

var fillTextTemplate = sdk.Block[fillTextTemplateInput]{
	ID:          "db7d8f02-2f44-4c55-ab7a-eae0941f0c30",
	Name:        "Fill Text Template",
	Description: "Fills a template with values. The language is Jinja's, without other templates and the tags of its extensions; random picks the same for the same template and values",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("output", sdk.String("The filled template"))},
	Run: func(ctx context.Context, in fillTextTemplateInput, out sdk.Emitter) error {
		text, err := templates.Render(ctx, in.Format, in.Values, in.EscapeHTML)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			return sdk.InvalidInput("%w", err)
		}
		return out.Emit("output", text)
	},
	Examples: []sdk.Example{
		{Input: `{"values": {"name": "Alice"}, "format": "Hello, {{ name }}!"}`, Output: `{"output": ["Hello, Alice!"]}`},
		{Input: `{"values": {"list": ["a", 1]}, "format": "{% for x in list %}<{{ x }}>{% endfor %}"}`, Output: `{"output": ["<a><1>"]}`},
	},
}
