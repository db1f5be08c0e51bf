package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type listGeneratorInput struct {
	modelCredentials
	Focus       *string    `json:"focus" default:"null" advanced:"false" placeholder:"The top 5 most interesting news stories in the data." doc:"What the list is to be of"`
	Source      *string    `json:"source_data" default:"null" advanced:"false" placeholder:"News Today: Humans land on Mars: Today humans landed on mars. -- AI wins Nobel Prize: AI wins Nobel Prize for solving world hunger. -- New AI Model: A new AI model has been released." doc:"Text to take the list from"`
	Model       string     `json:"model" default:"gpt-4o" advanced:"true" title:"LLM Model" doc:"Model to ask: a known one, or any other that the provider of the credentials has"`
	Credentials sdk.APIKey `json:"credentials" doc:"Key for the model's provider"`
	MaxRetries  int        `json:"max_retries" default:"3" minimum:"1" maximum:"5" doc:"How often to try, where the answer is no list or the provider fails"`
	ForceJSON   bool       `json:"force_json_output" default:"false" title:"Restrict LLM to pure JSON output" doc:"Have the provider let nothing but JSON pass, where it can; the model then cannot think aloud"`
	MaxTokens   *int       `json:"max_tokens" default:"null" advanced:"true" doc:"The most tokens that the answer may have"`
	OllamaHost  string     `json:"ollama_host" default:"localhost:11434" advanced:"true" doc:"Where Ollama is, for its models"`
}

var listGenerator = sdk.Block[listGeneratorInput]{
	ID:          "9c0b0450-d199-458b-a731-072189dd6593",
	Name:        "AI List Generator",
	Description: "Has a language model make a list, from a text or of what it knows",
	Categories:  []string{"AI", "TEXT"},
	Outputs: sdk.Outputs{
		sdk.Out("generated_list", sdk.List("The list", sdk.String(""))),
		sdk.Out("list_item", sdk.String("Each element of the list")),
		promptOutput,
	},
	Run: func(ctx context.Context, in listGeneratorInput, out sdk.Emitter) error {
		asker, err := newAsker(ctx, in.Model, in.OllamaHost, in.Credentials, in.MaxRetries, out)
		if err != nil {
			return err
		}
		focus, source := trimmed(in.Focus), trimmed(in.Source)
		var wanted string
		switch {
		case focus != "" && source != "":
			wanted = "Make a list of: " + focus + "\n\nTake it from this text:\n" + source
		case focus != "":
			wanted = "Make a list of: " + focus
		case source != "":
			wanted = "Make a list of what this text enumerates, or of its main points:\n" + source
		default:
			return sdk.InvalidInput("there is neither a focus nor a text to make a list of")
		}
		form := "a JSON array of strings"
		if in.ForceJSON { // providers let objects pass, not arrays
			form = `a JSON object with the key "results", whose value is an array of strings`
		}
		q := question{maxTokens: number(in.MaxTokens), json: in.ForceJSON, messages: []message{
			{roleSystem, "You make lists. Your answer is " + form + ", one for each element of the list, and nothing else."},
			{roleUser, wanted},
		}}
		list, messages, err := asker.list(ctx, q)
		if err != nil {
			return err
		}
		if err := out.Emit("generated_list", list); err != nil {
			return err
		}
		for _, item := range list {
			if err := out.Emit("list_item", item); err != nil {
				return err
			}
		}
		return out.Emit("prompt", messages)
	},
	Examples: []sdk.Example{{
		Input: `{"focus": "the planets in it", "source_data": "Mars is red, Venus is hot.", "model": "gpt-4o-mini"}`,
		Output: `{"generated_list": [["Mars", "Venus"]], "list_item": ["Mars", "Venus"],
			"prompt": [[{"role": "system", "content": "You make lists. Your answer is a JSON array of strings, one for each element of the list, and nothing else."},
			{"role": "user", "content": "Make a list of: the planets in it\n\nTake it from this text:\nMars is red, Venus is hot."}]]}`,
	}},
}

func trimmed(text *string) string {
	if text == nil {
		return ""
	}
	return strings.TrimSpace(*text)
}

// list asks until the answer is a list.
func (a *asker) list(ctx context.Context, q question) ([]string, []message, error) {
	for n := range a.attempts {
		if n > 0 {
			sdk.Count(ctx, "llm_retry_count", 1)
		}
		said, err := a.ask(ctx, q)
		if err != nil {
			return nil, nil, err
		}
		if list, ok := listOf(said); ok {
			return list, q.messages, nil
		}
		a.out.Progress(sdk.Progress{Text: "asking again: the answer is no list"})
		q.messages = append(append([]message(nil), q.messages...), message{roleAssistant, said},
			message{roleUser, "That is no JSON array of strings. Give the whole list again as one."})
	}
	return nil, nil, sdk.Temporary("the model's answer is no list after %d attempts", a.attempts)
}

// listOf reads the list in what a model says; elements that are no text become JSON.
func listOf(said string) ([]string, bool) {
	found, ok := findJSON(said, value.List)
	if !ok {
		return nil, false
	}
	if value.KindOf(found) == value.Object {
		found = listIn(found)
		if elements := value.Elements(found); len(elements) == 1 && value.KindOf(elements[0]) == value.Object {
			return nil, false // it is no list at all
		}
	}
	list := []string{}
	for _, element := range value.Elements(found) {
		list = append(list, itemText(element))
	}
	return list, true
}

func itemText(element json.RawMessage) string {
	if value.KindOf(element) == value.Null {
		return "null"
	}
	return textOf(element)
}
