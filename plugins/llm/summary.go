package main

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/sdk"
)

type textSummarizerInput struct {
	modelCredentials
	Text        string     `json:"text" required:"true" placeholder:"Enter the text to summarize here..." doc:"Text to sum up, of any length"`
	Model       string     `json:"model" default:"gpt-4o" title:"LLM Model" doc:"Model to ask: a known one, or any other that the provider of the credentials has"`
	Focus       string     `json:"focus" default:"general information" title:"Focus" doc:"What the summary is to be about"`
	Style       string     `json:"style" default:"concise" enum:"concise,detailed,bullet points,numbered list" title:"Summary Style" doc:"How it is to be written"`
	Credentials sdk.APIKey `json:"credentials" doc:"Key for the model's provider"`
	MaxTokens   int        `json:"max_tokens" default:"4096" minimum:"1" title:"Max Tokens" doc:"About how many tokens a part of the text has, of those that the model reads one by one; and the most that an answer may have"`
	Overlap     int        `json:"chunk_overlap" default:"100" minimum:"0" title:"Chunk Overlap" doc:"How many tokens of a part's end the next one begins with"`
	OllamaHost  string     `json:"ollama_host" default:"localhost:11434" advanced:"true" doc:"Where Ollama is, for its models"`
}

// maxParts bounds the questions that one text takes.
const maxParts = 1000

var textSummarizer = sdk.Block[textSummarizerInput]{
	ID:          "a0a69be1-4528-491c-a85a-a4ab6873e3f0",
	Name:        "AI Text Summarizer",
	Description: "Sums a text up. A long one is read in parts, and their summaries are summed up together",
	Categories:  []string{"AI", "TEXT"},
	Outputs:     sdk.Outputs{sdk.Out("summary", sdk.String("The summary")), promptOutput},
	Run: func(ctx context.Context, in textSummarizerInput, out sdk.Emitter) error {
		asker, err := newAsker(ctx, in.Model, in.OllamaHost, in.Credentials, usualAttempts, out)
		if err != nil {
			return err
		}
		if strings.TrimSpace(in.Text) == "" {
			return sdk.InvalidInput("there is no text to sum up")
		}
		// An answer has room for as much as a part: a summary of it is shorter.
		text, asked := in.Text, 0
		for {
			chunks := parts(text, in.MaxTokens, in.Overlap)
			if asked += len(chunks); asked > maxParts {
				return sdk.InvalidInput("the text needs more than %d parts of %d tokens", maxParts, in.MaxTokens)
			}
			var summaries []string
			var messages []message
			for i, chunk := range chunks {
				if len(chunks) > 1 {
					out.Progress(sdk.Progress{Text: fmt.Sprintf("part %d of %d", i+1, len(chunks)), Percent: 100 * float64(i) / float64(len(chunks)+1)})
				}
				messages = in.messages(chunk, asked > len(chunks))
				summary, err := asker.ask(ctx, question{messages: messages, maxTokens: in.MaxTokens})
				if err != nil {
					return err
				}
				summaries = append(summaries, strings.TrimSpace(summary))
			}
			together := strings.Join(summaries, "\n\n")
			if len(chunks) == 1 {
				if err := out.Emit("summary", together); err != nil {
					return err
				}
				return out.Emit("prompt", messages)
			}
			if len(together) >= len(text) { // it would never end
				return sdk.Temporary("the summaries of the parts are no shorter than the text: allow more tokens in max_tokens")
			}
			text = together
		}
	},
	Examples: []sdk.Example{{
		Input: `{"text": "A patch bay is a panel with many sockets. Cables between them connect devices.", "model": "gpt-4o-mini"}`,
		Output: `{"summary": ["A patch bay connects devices by cables."], "prompt": [[{"role": "system", "content": "You sum texts up. Write a concise summary of the text with the focus: general information. Give the summary alone."},
			{"role": "user", "content": "A patch bay is a panel with many sockets. Cables between them connect devices."}]]}`,
	}},
}

var styles = map[string]string{
	"concise": "a concise summary", "detailed": "a detailed summary", "bullet points": "a summary in bullet points", "numbered list": "a summary as a numbered list",
}

func (in textSummarizerInput) messages(text string, again bool) []message {
	what := "the text"
	if again {
		what = "these summaries of a text's parts, as if they were the text,"
	}
	return []message{
		{roleSystem, "You sum texts up. Write " + styles[in.Style] + " of " + what + " with the focus: " + in.Focus + ". Give the summary alone."},
		{roleUser, text},
	}
}

// parts cuts a text between words into parts of about so many tokens, each beginning with the end of the one before.
func parts(text string, size, overlap int) []string {
	fits := func(tokens int) int { return tokens * tokenBytes }
	if len(text) <= fits(size) {
		return []string{text}
	}
	overlap = min(overlap, size/2)
	var words []string
	for _, word := range strings.Fields(text) {
		for len(word) > fits(size) { // languages without spaces
			cut := fits(size)
			for cut > 0 && !utf8.RuneStart(word[cut]) {
				cut--
			}
			if cut == 0 {
				break
			}
			words, word = append(words, word[:cut]), word[cut:]
		}
		words = append(words, word)
	}
	var all []string
	for begin := 0; begin < len(words); {
		end, bytes := begin, 0
		for end < len(words) && (end == begin || bytes+len(words[end])+1 <= fits(size)) {
			bytes += len(words[end]) + 1
			end++
		}
		all = append(all, strings.Join(words[begin:end], " "))
		if end == len(words) {
			break
		}
		next := end
		for bytes = 0; next > begin+1 && bytes+len(words[next-1])+1 <= fits(overlap); next-- {
			bytes += len(words[next-1]) + 1
		}
		begin = next
	}
	return all
}
