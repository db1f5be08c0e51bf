package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/sdk"
)

type conversationInput struct {
	modelCredentials
	Prompt      string            `json:"prompt" default:"" advanced:"false" placeholder:"Enter your prompt here..." doc:"What to say next; may be left out where the messages end with a question"`
	Messages    []json.RawMessage `json:"messages" required:"true" doc:"The conversation so far: dictionaries of role (user, assistant, system) and content"`
	Model       string            `json:"model" default:"gpt-4o" title:"LLM Model" doc:"Model to ask: a known one, or any other that the provider of the credentials has"`
	Credentials sdk.APIKey        `json:"credentials" doc:"Key for the model's provider"`
	MaxTokens   *int              `json:"max_tokens" default:"null" advanced:"true" doc:"The most tokens that the answer may have"`
	OllamaHost  string            `json:"ollama_host" default:"localhost:11434" advanced:"true" doc:"Where Ollama is, for its models"`
}

var conversation = sdk.Block[conversationInput]{
	ID:          "32a87eab-381e-4dd4-bdb8-4c47151be35a",
	Name:        "AI Conversation",
	Description: "Goes on with a conversation: gives the model's next answer",
	Categories:  []string{"AI"},
	Outputs:     sdk.Outputs{sdk.Out("response", sdk.String("The model's answer")), promptOutput},
	Run: func(ctx context.Context, in conversationInput, out sdk.Emitter) error {
		asker, err := newAsker(ctx, in.Model, in.OllamaHost, in.Credentials, usualAttempts, out)
		if err != nil {
			return err
		}
		messages, err := history(in.Messages)
		if err != nil {
			return err
		}
		if in.Prompt != "" {
			messages = append(messages, message{roleUser, in.Prompt})
		}
		if len(messages) == 0 {
			return sdk.InvalidInput("there is neither a message nor a prompt")
		}
		return asker.converse(ctx, question{messages: messages, maxTokens: number(in.MaxTokens)})
	},
	Examples: []sdk.Example{{
		Input: `{"messages": [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Nice to meet you!"}], "prompt": "What is my name?", "model": "gpt-4o-mini"}`,
		Output: `{"response": ["Ada."], "prompt": [[{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Nice to meet you!"},
			{"role": "user", "content": "What is my name?"}]]}`,
	}},
}
