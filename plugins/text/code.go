package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

type codeExtractionInput struct {
	Text string `json:"text" required:"true" placeholder:"Enter text containing code blocks" doc:"Text with fenced code"`
}

// languages are the output pins in their order, each with the names that its code is fenced by.
var languages = []struct {
	pin   string
	names []string
}{
	{"html", []string{"html", "htm"}},
	{"css", []string{"css"}},
	{"javascript", []string{"javascript", "js"}},
	{"python", []string{"python", "py"}},
	{"sql", []string{"sql"}},
	{"java", []string{"java"}},
	{"cpp", []string{"cpp", "c++"}},
	{"csharp", []string{"csharp", "c#", "cs"}},
	{"json_code", []string{"json"}},
	{"bash", []string{"bash", "shell", "sh"}},
	{"php", []string{"php"}},
	{"ruby", []string{"ruby", "rb"}},
	{"yaml", []string{"yaml", "yml"}},
	{"markdown", []string{"markdown", "md"}},
	{"typescript", []string{"typescript", "ts"}},
	{"xml", []string{"xml"}},
}

// fence begins a piece of code with its language, ticks may end it.
var (
	fence = regexp.MustCompile("(`{3,})([A-Za-z+#]+)[ \t]*\r?\n")
	ticks = regexp.MustCompile("`{3,}")
)

// piece is a fenced piece of code: where it is with its fences, and without them, and its language.
type piece struct {
	from, to     int
	begins, ends int
	language     string
}

// fenced finds the pieces of code in a text. A fence is ended by one that is as long, or longer: within one of four
// ticks three are code. Each run of ticks is looked at once for every length of fence, of which long ones are rare.
func fenced(text string) []piece {
	var found []piece
	runs := ticks.FindAllStringIndex(text, -1)
	unended := len(text) + 1 // no fence of this length or longer has an end any more
	end, next := 0, 0
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		length := at[3] - at[2]
		if at[0] < end || length >= unended {
			continue
		}
		for next < len(runs) && runs[next][0] < at[1] {
			next++
		}
		closing := next
		for closing < len(runs) && runs[closing][1]-runs[closing][0] < length {
			closing++
		}
		if closing == len(runs) {
			unended = length
			continue
		}
		end = runs[closing][1]
		found = append(found, piece{from: at[0], to: end, begins: at[1], ends: runs[closing][0], language: text[at[4]:at[5]]})
	}
	return found
}

var extractCode = sdk.Block[codeExtractionInput]{
	ID:          "d3a7d896-3b78-4f44-8b4b-48fbf4f0bcd8",
	Name:        "Code Extraction",
	Description: "Takes the code out of a text, by language, such as of a model's answer",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     codeOutputs(),
	Run: func(_ context.Context, in codeExtractionInput, out sdk.Emitter) error {
		code, remaining := splitCode(in.Text)
		for _, language := range languages {
			if pieces := code[language.pin]; len(pieces) > 0 {
				if err := out.Emit(language.pin, strings.Join(pieces, "\n\n")); err != nil {
					return err
				}
			}
		}
		if remaining == "" {
			return nil
		}
		return out.Emit("remaining_text", remaining)
	},
	Examples: []sdk.Example{{
		Input:  "{\"text\": \"See:\\n```py\\nprint(1)\\n```\"}",
		Output: `{"python": ["print(1)"], "remaining_text": ["See:"]}`,
	}},
}

func codeOutputs() sdk.Outputs {
	var outputs sdk.Outputs
	for _, language := range languages {
		outputs = append(outputs, sdk.Out(language.pin, sdk.String("Code in "+language.names[0])))
	}
	return append(outputs, sdk.Out("remaining_text", sdk.String("The text without the code")))
}

// splitCode gives the pieces of code by output pin, and the text around. Code in languages without a pin stays there.
func splitCode(text string) (code map[string][]string, remaining string) {
	pins := map[string]string{}
	for _, language := range languages {
		for _, name := range language.names {
			pins[name] = language.pin
		}
	}
	code = map[string][]string{}
	var around []string
	end := 0
	for _, p := range fenced(text) {
		pin, ok := pins[strings.ToLower(p.language)]
		if !ok {
			continue
		}
		code[pin] = append(code[pin], strings.TrimSpace(text[p.begins:p.ends]))
		around = append(around, strings.TrimSpace(text[end:p.from]))
		end = p.to
	}
	around = append(around, strings.TrimSpace(text[end:]))
	var parts []string
	for _, part := range around {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return code, strings.Join(parts, "\n")
}
