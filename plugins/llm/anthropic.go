package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/patchbay-io/patchbay/sdk"
)

// usualOutput is how many tokens an answer may have of models of which nothing is known: Anthropic wants a number.
const usualOutput = 8192

// messages is the dialect of Anthropic's messages.
type messages struct {
	service anthropic.MessageService
	model   model
}

func newMessages(ctx context.Context, base string, m model, key string) *messages {
	// The service is made without the client, which would read the environment.
	return &messages{model: m, service: anthropic.NewMessageService(
		option.WithBaseURL(strings.TrimSuffix(base, "/v1")+"/"), option.WithAPIKey(key), option.WithHTTPClient(newClient(ctx)), option.WithMaxRetries(0),
	)}
}

// params has what the system says apart, and turns of the two sides, the user's first.
func (d *messages) params(q question) anthropic.MessageNewParams {
	p := anthropic.MessageNewParams{Model: d.model.ID, MaxTokens: usualOutput}
	if d.model.MaxOutput > 0 {
		p.MaxTokens = int64(d.model.MaxOutput)
	}
	if q.maxTokens > 0 {
		p.MaxTokens = int64(q.maxTokens)
	}
	for _, m := range q.messages {
		if strings.TrimSpace(m.Content) == "" {
			continue // is refused
		}
		block := anthropic.NewTextBlock(m.Content)
		role := anthropic.MessageParamRoleUser
		switch m.Role {
		case roleSystem:
			p.System = append(p.System, anthropic.TextBlockParam{Text: m.Content})
			continue
		case roleAssistant:
			role = anthropic.MessageParamRoleAssistant
			if len(p.Messages) == 0 {
				p.Messages = append(p.Messages, anthropic.NewUserMessage(anthropic.NewTextBlock("(The conversation begins.)")))
			}
		}
		if last := len(p.Messages) - 1; last >= 0 && p.Messages[last].Role == role {
			p.Messages[last].Content = append(p.Messages[last].Content, block)
		} else {
			p.Messages = append(p.Messages, anthropic.MessageParam{Role: role, Content: []anthropic.ContentBlockParamUnion{block}})
		}
	}
	if len(p.Messages) == 0 && len(p.System) > 0 { // instructions alone: somebody has to say them
		for _, s := range p.System {
			p.Messages = append(p.Messages, anthropic.NewUserMessage(anthropic.NewTextBlock(s.Text)))
		}
		p.System = nil
	}
	return p
}

func (d *messages) ask(ctx context.Context, q question, said func(string)) (answer, error) {
	got, err := d.stream(ctx, d.params(q), said)
	if inOne, ok := errors.AsType[*unstreamed](err); ok {
		got, err = messaged(inOne.content)
		said(got.text)
	}
	return got, err
}

func (d *messages) stream(ctx context.Context, params anthropic.MessageNewParams, said func(string)) (got answer, err error) {
	stream := d.service.NewStreaming(ctx, params)
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	reason, stopped := "", false
	for stream.Next() {
		switch event := stream.Current(); event.Type {
		case "message_start":
			got.inputTokens, got.outputTokens = inputTokens(event.Message.Usage), event.Message.Usage.OutputTokens
		case "content_block_delta":
			if event.Delta.Text != "" {
				text.WriteString(event.Delta.Text)
				said(event.Delta.Text)
			}
		case "message_delta":
			reason = string(event.Delta.StopReason)
			got.outputTokens = max(got.outputTokens, event.Usage.OutputTokens)
		case "message_stop":
			stopped = true
		}
	}
	got.text = text.String()
	switch err := stream.Err(); {
	case err != nil:
		return got, inStream(err)
	case !stopped:
		return got, sdk.Temporary("the answer broke off")
	}
	return got, whyEmpty(got.text, reason)
}

// inStream reads the errors that come as an event of a stream: the library has the event in its text, or as a value.
func inStream(err error) error {
	if _, ok := errors.AsType[*refusal](err); ok {
		return err
	}
	if _, ok := errors.AsType[*unstreamed](err); ok {
		return err
	}
	if known, ok := errors.AsType[*anthropic.Error](err); ok && known.RawJSON() != "" {
		return readRefusal([]byte(known.RawJSON()))
	}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		return sdk.Temporary("the answer is broken: %w", broken)
	}
	if _, event, ok := strings.Cut(err.Error(), "received error while streaming: "); ok {
		return readRefusal([]byte(event))
	}
	return err
}

// messaged reads an answer that came in one piece.
func messaged(content []byte) (answer, error) {
	var m anthropic.Message
	if err := json.Unmarshal(content, &m); err != nil {
		return answer{}, sdk.Temporary("the answer is broken: %w", err)
	}
	if m.Type == "" || string(m.Type) == "error" {
		return answer{}, readRefusal(content)
	}
	got := answer{inputTokens: inputTokens(m.Usage), outputTokens: m.Usage.OutputTokens}
	for _, block := range m.Content {
		got.text += block.Text
	}
	return got, whyEmpty(got.text, string(m.StopReason))
}

// inputTokens counts those from the cache too: they are read all the same.
func inputTokens(u anthropic.Usage) int64 {
	return u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens
}
