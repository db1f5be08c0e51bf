package main

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

var templates jinja.Renderer

// filled is a prompt with its values put in. A prompt without values is no template: braces in it stay.
func filled(ctx context.Context, prompt string, values json.RawMessage) (string, error) {
	if value.KindOf(values) != value.Object || !value.Truthy(values) {
		return prompt, nil
	}
	text, err := templates.Render(ctx, prompt, values, false)
	if err != nil && ctx.Err() == nil {
		err = sdk.InvalidInput("the prompt cannot be filled: %w", err)
	}
	return text, err
}

// history reads messages as agents have them: objects of role and content, the content text or a list of parts as
// OpenAI has it; or bare text of the user's.
func history(list []json.RawMessage) ([]message, error) {
	var messages []message
	for i, raw := range list {
		raw = value.Trim(raw)
		switch value.KindOf(raw) {
		case value.Null:
		case value.String:
			messages = append(messages, message{roleUser, value.Text(raw)})
		case value.Object:
			m := message{Role: roleUser, Content: contentOf(raw)}
			role, _ := value.Lookup(raw, "role")
			switch name := strings.ToLower(textOf(role)); name {
			case roleSystem, "developer":
				m.Role = roleSystem
			case roleAssistant, "model", "ai":
				m.Role = roleAssistant
			}
			if m.Content != "" {
				messages = append(messages, m)
			}
		default:
			return nil, sdk.InvalidInput("message %d is %s, not a dictionary of role and content", i+1, value.KindOf(raw))
		}
	}
	return messages, nil
}

func contentOf(m json.RawMessage) string {
	content, ok := value.Lookup(m, "content")
	if !ok || value.KindOf(content) != value.List {
		return textOf(content)
	}
	var parts []string
	for _, part := range value.Elements(content) {
		if text, ok := value.Lookup(part, "text"); ok && value.KindOf(part) == value.Object {
			parts = append(parts, textOf(text))
		} else {
			parts = append(parts, textOf(part))
		}
	}
	return strings.Join(parts, "\n")
}

// textOf is a value as people read it: text as it is, nothing for null, JSON for the rest.
func textOf(raw json.RawMessage) string {
	switch value.KindOf(raw) {
	case value.String:
		return value.Text(raw)
	case value.Null, value.Absent:
		return ""
	}
	return string(raw)
}

// Bytes that are taken for a token, and tokens that a message costs beside its text, where nobody has counted. English
// has four bytes to a token, and code, numbers and other languages fewer.
const (
	tokenBytes    = 3
	messageTokens = 8
)

func tokens(messages []message) int {
	n := 0
	for _, m := range messages {
		n += len(m.Content)/tokenBytes + messageTokens
	}
	return n
}

// fit makes a conversation short enough for the model's context, where that is known: it takes from the middle of the
// longest messages. room is what the answer needs, in tokens.
func fit(messages []message, m model, room int) []message {
	if m.Context == 0 {
		return messages
	}
	if room <= 0 {
		room = min(m.MaxOutput, m.Context/4)
	}
	fitting := append([]message(nil), messages...)
	for tokens(fitting) > m.Context-room {
		longest, second := -1, 0
		for i, m := range fitting {
			if longest < 0 || len(m.Content) > len(fitting[longest].Content) {
				longest = i
			}
		}
		for i, m := range fitting {
			if i != longest {
				second = max(second, len(m.Content))
			}
		}
		over := (tokens(fitting) - m.Context + room) * tokenBytes
		content := fitting[longest].Content
		keep := max(len(content)-over-len(omission), second, len(content)/2)
		if keep >= len(content)-len(omission) {
			keep = len(content)/2 - len(omission)
		}
		if keep < len(omission) {
			return fitting // nothing more can be taken: the provider will say so
		}
		fitting[longest].Content = shortened(content, keep)
	}
	return fitting
}

// omission stands where text was taken out.
const omission = "\n[…]\n"

// shortened keeps so many bytes of a text's beginning and end.
func shortened(text string, keep int) string {
	head, tail := keep/2, len(text)-keep/2
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + omission + text[tail:]
}
