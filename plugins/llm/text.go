package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/sdk"
)

type textGeneratorInput struct {
	modelCredentials
	Prompt       string          `json:"prompt" required:"true" placeholder:"Enter your prompt here..." doc:"What to ask; with values it is a template, as in Dear {{name}}"`
	Model        string          `json:"model" default:"gpt-4o" advanced:"false" title:"LLM Model" doc:"Model to ask: a known one, or any other that the provider of the credentials has"`
	Credentials  sdk.APIKey      `json:"credentials" doc:"Key for the model's provider"`
	SystemPrompt string          `json:"sys_prompt" default:"" title:"System Prompt" doc:"How the model is to behave"`
	Retry        int             `json:"retry" default:"3" title:"Retry Count" doc:"How often to try, where the provider is busy or fails"`
	Values       json.RawMessage `json:"prompt_values" schema:"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}" default:"{}" advanced:"false" doc:"Values for the prompts' variables"`
	OllamaHost   string          `json:"ollama_host" default:"localhost:11434" advanced:"true" doc:"Where Ollama is, for its models"`
	MaxTokens    *int            `json:"max_tokens" default:"null" advanced:"true" doc:"The most tokens that the answer may have"`
}

var textGenerator = sdk.Block[textGeneratorInput]{
	ID:          "1f292d4a-41a4-4977-9684-7c8d560b9f91",
	Name:        "AI Text Generator",
	Description: "Asks a language model and gives what it says. While it speaks, the answer is shown to who watches",
	Categories:  []string{"AI"},
	Outputs:     sdk.Outputs{sdk.Out("response", sdk.String("The model's answer")), promptOutput},
	Run: func(ctx context.Context, in textGeneratorInput, out sdk.Emitter) error {
		asker, err := newAsker(ctx, in.Model, in.OllamaHost, in.Credentials, in.Retry, out)
		if err != nil {
			return err
		}
		messages, err := prompts(ctx, in.SystemPrompt, in.Prompt, in.Values)
		if err != nil {
			return err
		}
		return asker.converse(ctx, question{messages: messages, maxTokens: number(in.MaxTokens)})
	},
	Examples: []sdk.Example{{
		Input:  `{"prompt": "Greet {{name}} in a word.", "prompt_values": {"name": "Ada"}, "model": "gpt-4o-mini"}`,
		Output: `{"response": ["Hello!"], "prompt": [[{"role": "user", "content": "Greet Ada in a word."}]]}`,
	}},
}

var promptOutput = sdk.Out("prompt", sdk.List("What the model was asked", sdk.Any("")))

// prompts are the system's and the user's, each where there is one, filled with values.
func prompts(ctx context.Context, system, user string, values json.RawMessage) ([]message, error) {
	var messages []message
	for _, m := range []message{{roleSystem, system}, {roleUser, user}} {
		content, err := filled(ctx, m.Content, values)
		if err != nil {
			return nil, err
		}
		if content != "" {
			messages = append(messages, message{m.Role, content})
		}
	}
	if len(messages) == 0 {
		return nil, sdk.InvalidInput("the prompt is empty")
	}
	return messages, nil
}

// converse puts out what the model says, and what it was asked.
func (a *asker) converse(ctx context.Context, q question) error {
	text, err := a.ask(ctx, q)
	if err != nil {
		return err
	}
	if err := a.out.Emit("response", text); err != nil {
		return err
	}
	return a.out.Emit("prompt", q.messages)
}

func number(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}
