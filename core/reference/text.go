package reference

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// schema is what a reader wants to know of a pin's JSON Schema.
type schema struct {
	Type                 any               `json:"type"`
	Format               string            `json:"format"`
	Description          string            `json:"description"`
	Enum                 []json.RawMessage `json:"enum"`
	Items                *schema           `json:"items"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
	AnyOf                []*schema         `json:"anyOf"`
	OneOf                []*schema         `json:"oneOf"`
	Advanced             bool              `json:"advanced"`
}

// describe gives nothing where a schema is written in another way.
func describe(raw json.RawMessage) *schema {
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return &schema{}
	}
	return &s
}

// kind names the values of a schema.
func (s *schema) kind() string {
	if len(s.Enum) > 0 {
		options := make([]string, len(s.Enum))
		for i, option := range s.Enum {
			options[i] = code(string(option))
		}
		return "one of " + strings.Join(options, ", ")
	}
	var kinds []string
	for _, branch := range append(s.AnyOf, s.OneOf...) {
		if branch != nil {
			kinds = append(kinds, branch.kind())
		}
	}
	if len(kinds) > 0 {
		return strings.Join(kinds, " or ")
	}
	if several, ok := s.Type.([]any); ok {
		for _, one := range several {
			kinds = append(kinds, cell(fmt.Sprint(one)))
		}
		return strings.Join(kinds, " or ")
	}
	switch s.Type {
	case "array":
		if s.Items != nil && s.Items.kind() != "any" {
			return "list of " + s.Items.kind()
		}
		return "list"
	case "object":
		if values := describe(s.AdditionalProperties); values.kind() != "any" {
			return "dictionary of " + values.kind()
		}
		return "dictionary"
	case nil:
		return "any"
	}
	if s.Type == "string" && s.Format != "" {
		return "string (" + cell(s.Format) + ")"
	}
	return cell(fmt.Sprint(s.Type))
}

// line makes one line of what an author wrote in several.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// cell is a text that stands in a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(line(text))
}

// code is a value as it is written. Back quotes around it are more than those in it.
func code(text string) string {
	text = strings.ReplaceAll(line(text), "|", `\|`)
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}

func orNothing(text string) string {
	if text == "" {
		return ""
	}
	return code(text)
}

// note is a remark behind a description.
func note(holds bool, remark string) string {
	if !holds {
		return ""
	}
	return " (" + remark + ")"
}

var noAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchors are what the headings of blocks are linked by. Headings that are the same are counted.
func anchors(blocks []plugin.DescribedBlock) []string {
	seen := map[string]int{}
	names := make([]string, len(blocks))
	for i, b := range blocks {
		name := strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(line(b.Name)), ""), " ", "-")
		names[i] = name
		if n := seen[name]; n > 0 {
			names[i] = fmt.Sprintf("%s-%d", name, n)
		}
		seen[name]++
	}
	return names
}
