package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type structuredInput struct {
	modelCredentials
	Prompt       string            `json:"prompt" required:"true" placeholder:"Enter your prompt here..." doc:"What to ask; with values it is a template, as in Dear {{name}}"`
	Format       json.RawMessage   `json:"expected_format" schema:"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}" required:"true" doc:"The keys that the answer is to have, and what each is to hold, in words"`
	List         bool              `json:"list_result" default:"false" title:"List Result" doc:"Ask for a list of such answers"`
	Model        string            `json:"model" default:"gpt-4o" advanced:"false" title:"LLM Model" doc:"Model to ask: a known one, or any other that the provider of the credentials has"`
	ForceJSON    bool              `json:"force_json_output" default:"false" title:"Restrict LLM to pure JSON output" doc:"Have the provider let nothing but JSON pass, where it can; the model then cannot think aloud"`
	Credentials  sdk.APIKey        `json:"credentials" doc:"Key for the model's provider"`
	SystemPrompt string            `json:"sys_prompt" default:"" title:"System Prompt" doc:"How the model is to behave"`
	History      []json.RawMessage `json:"conversation_history" schema:"{\"anyOf\":[{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":true}},{\"type\":\"null\"}]}" doc:"A conversation to go on with"`
	Retry        int               `json:"retry" default:"3" title:"Retry Count" doc:"How often to try, where the answer does not fit or the provider fails"`
	Values       json.RawMessage   `json:"prompt_values" schema:"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}" default:"{}" advanced:"false" doc:"Values for the prompts' variables"`
	MaxTokens    *int              `json:"max_tokens" default:"null" advanced:"true" doc:"The most tokens that the answer may have"`
	Compress     bool              `json:"compress_prompt_to_fit" default:"true" advanced:"true" doc:"Take from the middle of what is too long for the model"`
	OllamaHost   string            `json:"ollama_host" default:"localhost:11434" advanced:"true" doc:"Where Ollama is, for its models"`
}

var structuredGenerator = sdk.Block[structuredInput]{
	ID:   "ed55ac19-356e-4243-a6cb-bc599e9b716f",
	Name: "AI Structured Response Generator",
	Description: "Asks a language model for an answer with given keys. JSON that is broken is repaired; where keys are missing the " +
		"model is told so and asked again",
	Categories: []string{"AI"},
	Outputs: sdk.Outputs{
		sdk.Out("response", sdk.Schema(`{"anyOf":[{"type":"object","additionalProperties":true},{"type":"array","items":{"type":"object","additionalProperties":true}}],"description":"The answer, or the list of answers"}`)),
		promptOutput,
	},
	Run: func(ctx context.Context, in structuredInput, out sdk.Emitter) error {
		asker, err := newAsker(ctx, in.Model, in.OllamaHost, in.Credentials, in.Retry, out)
		if err != nil {
			return err
		}
		messages, err := history(in.History)
		if err != nil {
			return err
		}
		asked, err := prompts(ctx, in.SystemPrompt, in.Prompt, in.Values)
		if err != nil {
			return err
		}
		shape := shapeOf(in.Format, in.List)
		last := len(asked) - 1
		messages = append(messages, asked[:last]...)
		if shape.wanted() {
			messages = append(messages, message{roleSystem, shape.instructions()})
		}
		messages = append(messages, asked[last])
		if in.Compress {
			messages = fit(messages, asker.model, number(in.MaxTokens))
		}
		q := question{messages: messages, maxTokens: number(in.MaxTokens), json: in.ForceJSON && shape.wanted() && !in.List}
		if !shape.wanted() {
			text, err := asker.ask(ctx, q)
			if err != nil {
				return err
			}
			return emitBoth(out, map[string]string{"response": text}, q.messages)
		}
		fitting, messages, err := asker.shaped(ctx, q, shape)
		if err != nil {
			return err
		}
		return emitBoth(out, fitting, messages)
	},
	Examples: []sdk.Example{{
		Input: `{"prompt": "Name the capital of {{country}}.", "prompt_values": {"country": "France"}, "expected_format": {"capital": "name of the city"}, "model": "gpt-4o-mini"}`,
		Output: `{"response": [{"capital": "Paris"}], "prompt": [[{"role": "system", "content": "Your answer is one JSON object with these keys, and nothing behind it:\n\n` +
			`{\n  \"capital\": name of the city\n}\n\nYou may think aloud before it."}, {"role": "user", "content": "Name the capital of France."}]]}`,
	}},
}

func emitBoth(out sdk.Emitter, response any, messages []message) error {
	if err := out.Emit("response", response); err != nil {
		return err
	}
	return out.Emit("prompt", messages)
}

// shape is what an answer is to look like.
type shape struct {
	keys []value.Member // each with what it is to hold
	list bool
}

func shapeOf(format json.RawMessage, list bool) shape {
	return shape{keys: value.Members(value.Trim(format)), list: list}
}

func (s shape) wanted() bool { return len(s.keys) > 0 }

func (s shape) instructions() string {
	var w strings.Builder
	if s.list {
		w.WriteString("Your answer is one JSON array of objects with these keys, and nothing behind it:\n\n[{\n")
	} else {
		w.WriteString("Your answer is one JSON object with these keys, and nothing behind it:\n\n{\n")
	}
	for i, k := range s.keys {
		comma := ","
		if i == len(s.keys)-1 {
			comma = ""
		}
		fmt.Fprintf(&w, "  %s: %s%s\n", value.FromText(k.Key()), textOf(k.Value), comma)
	}
	if s.list {
		w.WriteString("}]")
	} else {
		w.WriteString("}")
	}
	w.WriteString("\n\nYou may think aloud before it.")
	return w.String()
}

// fitting takes the answer out of what a model says, or says to the model what is wrong with it.
func (s shape) fitting(said string) (fitting json.RawMessage, complaint string) {
	want := value.Object
	if s.list {
		want = value.List
	}
	found, ok := findJSON(said, want)
	if !ok {
		return nil, "There is no JSON " + map[value.Kind]string{value.Object: "object", value.List: "array"}[want] + " in your answer."
	}
	if s.list && value.KindOf(found) == value.Object {
		found = listIn(found)
	}
	if !s.list {
		return found, s.missing(found)
	}
	for i, element := range value.Elements(found) {
		if value.KindOf(element) != value.Object {
			return nil, fmt.Sprintf("Element %d of your array is no object.", i+1)
		}
		if complaint := s.missing(element); complaint != "" {
			return nil, fmt.Sprintf("In element %d: %s", i+1, complaint)
		}
	}
	return found, ""
}

// listIn is the list for which a model has made an object: {"results": [...]}. An object without one is the only element.
func listIn(object json.RawMessage) json.RawMessage {
	members := value.Members(object)
	if i := value.Position(members, "results"); i >= 0 && value.KindOf(members[i].Value) == value.List {
		return members[i].Value
	}
	if len(members) == 1 && value.KindOf(members[0].Value) == value.List {
		return members[0].Value
	}
	return value.ListOf([]json.RawMessage{object})
}

func (s shape) missing(object json.RawMessage) (complaint string) {
	members := value.Members(object)
	var missing []string
	for _, k := range s.keys {
		if !slices.ContainsFunc(members, func(m value.Member) bool { return m.Key() == k.Key() }) {
			missing = append(missing, k.Key())
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "These keys are missing: " + strings.Join(missing, ", ") + "."
}

// shaped asks until the answer has the shape, telling the model what is wrong. It gives the conversation too.
func (a *asker) shaped(ctx context.Context, q question, s shape) (json.RawMessage, []message, error) {
	complaint := ""
	for n := range a.attempts {
		if n > 0 {
			sdk.Count(ctx, "llm_retry_count", 1)
		}
		said, err := a.ask(ctx, q)
		if err != nil {
			return nil, nil, err
		}
		var fitting json.RawMessage
		if fitting, complaint = s.fitting(said); complaint == "" {
			return fitting, q.messages, nil
		}
		a.out.Progress(sdk.Progress{Text: "asking again: the answer does not fit"})
		q.messages = append(slices.Clone(q.messages), message{roleAssistant, said},
			message{roleUser, complaint + " Give the whole answer again, in the form that was asked for."})
	}
	return nil, nil, sdk.Temporary("the model's answer does not fit after %d attempts. %s", a.attempts, complaint)
}
