package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/shared"

	"github.com/patchbay-io/patchbay/sdk"
)

// completions is the dialect of OpenAI's chat completions, which most providers speak.
type completions struct {
	service openai.ChatCompletionService
	model   model
	own     bool // OpenAI itself, which has given some parameters new names
	body    *ending
}

func newCompletions(ctx context.Context, base string, m model, key string, own bool) *completions {
	c := &completions{model: m, own: own}
	// The service is made without the client, which would read the environment.
	c.service = openai.NewChatCompletionService(
		option.WithBaseURL(base+"/"), option.WithAPIKey(key), option.WithHTTPClient(newClient(ctx)), option.WithMaxRetries(0),
		option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			response, err := next(r)
			if err == nil {
				c.body, _ = response.Body.(*ending)
			}
			return response, err
		}),
	)
	return c
}

func (c *completions) params(q question) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{
		Model:         c.model.ID,
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	for _, m := range q.messages {
		switch m.Role {
		case roleSystem:
			p.Messages = append(p.Messages, openai.SystemMessage(m.Content))
		case roleAssistant:
			p.Messages = append(p.Messages, openai.AssistantMessage(m.Content))
		default:
			p.Messages = append(p.Messages, openai.UserMessage(m.Content))
		}
	}
	if q.maxTokens > 0 {
		if c.own {
			p.MaxCompletionTokens = openai.Int(int64(q.maxTokens))
		} else {
			p.MaxTokens = openai.Int(int64(q.maxTokens))
		}
	}
	if q.json {
		p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONObject: &shared.ResponseFormatJSONObjectParam{}}
	}
	return p
}

func (c *completions) ask(ctx context.Context, q question, said func(string)) (answer, error) {
	params := c.params(q)
	got, err := c.stream(ctx, params, said)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status == http.StatusBadRequest && strings.HasPrefix(refused.param, "stream") {
		// Some accounts and models may not stream.
		params.StreamOptions = openai.ChatCompletionStreamOptionsParam{}
		_, err = c.service.New(ctx, params)
	}
	if inOne, ok := errors.AsType[*unstreamed](err); ok {
		got, err = completed(inOne.content)
		said(got.text)
	}
	return got, err
}

func (c *completions) stream(ctx context.Context, params openai.ChatCompletionNewParams, said func(string)) (got answer, err error) {
	stream := c.service.NewStreaming(ctx, params)
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	finished := ""
	for stream.Next() {
		chunk := stream.Current()
		if chunk.Usage.PromptTokens > 0 || chunk.Usage.CompletionTokens > 0 {
			got.inputTokens, got.outputTokens = chunk.Usage.PromptTokens, chunk.Usage.CompletionTokens
		}
		if len(chunk.Choices) == 0 {
			continue
		}
		choice := chunk.Choices[0]
		if choice.Delta.Content != "" {
			text.WriteString(choice.Delta.Content)
			said(choice.Delta.Content)
		}
		text.WriteString(choice.Delta.Refusal)
		if choice.FinishReason != "" {
			finished = choice.FinishReason
		}
	}
	got.text = text.String()
	switch err := stream.Err(); {
	case err != nil:
		if said, ok := errors.AsType[*ssestream.StreamError](err); ok {
			return got, readRefusal(said.Event.Data)
		}
		if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
			return got, sdk.Temporary("the answer is broken: %w", broken)
		}
		return got, err
	case finished == "" && (c.body == nil || !c.body.met):
		return got, sdk.Temporary("the answer broke off")
	}
	return got, whyEmpty(got.text, finished)
}

// completed reads an answer that came in one piece.
func completed(content []byte) (answer, error) {
	var c openai.ChatCompletion
	if err := json.Unmarshal(content, &c); err != nil {
		return answer{}, sdk.Temporary("the answer is broken: %w", err)
	}
	if len(c.Choices) == 0 {
		if refused := readRefusal(content); refused.message != "" { // some say 200 to an error
			return answer{}, refused
		}
		return answer{}, sdk.Temporary("the answer has no choices")
	}
	choice := c.Choices[0]
	got := answer{text: choice.Message.Content + choice.Message.Refusal, inputTokens: c.Usage.PromptTokens, outputTokens: c.Usage.CompletionTokens}
	return got, whyEmpty(got.text, choice.FinishReason)
}

// whyEmpty is the error of an answer without a text.
func whyEmpty(text, finished string) error {
	switch {
	case text != "":
		return nil
	case finished == "length" || finished == "max_tokens":
		return sdk.InvalidInput("the model spent all its tokens before it said anything: allow it more in max_tokens")
	case finished == "content_filter" || finished == "refusal":
		return sdk.InvalidInput("the provider withholds the answer (%s)", finished)
	}
	return nil
}
