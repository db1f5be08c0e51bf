package jinja

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// markupMethod calls a method of markup: its texts are markup too, and what it takes in is escaped.
func (e *engine) markupMethod(method textMethod, name, self string, a arguments) (any, error) {
	a.markup = true
	if replacement := a.at(1, "new"); name == "replace" && replacement != nil && isText(replacement) {
		given := &exec.VarArgs{Args: slices.Clone(a.Args), KwArgs: maps.Clone(a.KwArgs)}
		escaped := exec.AsValue(e.markupOf(replacement, true))
		if len(given.Args) > 1 {
			given.Args[1] = escaped
		} else {
			given.KwArgs["new"] = escaped
		}
		a.VarArgs = given
	}
	result, err := method(self, a)
	if err != nil {
		return nil, err
	}
	mark := func(parts []any) {
		for i, part := range parts {
			if text, ok := part.(string); ok {
				parts[i] = markup(text)
			}
		}
	}
	switch r := result.(type) {
	case string:
		return markup(r), nil
	case *[]any:
		mark(*r)
	case tuple:
		mark(r)
	}
	return result, nil
}

func escape(c filterCall) (any, error) {
	return markup(c.engine.markupOf(c.in, true)), nil
}

func centered(c filterCall) (any, error) {
	if c.at(0, "width") == nil {
		c.VarArgs = &exec.VarArgs{Args: []*exec.Value{exec.AsValue(80)}}
	}
	return byMethod("center")(c)
}

func replaced(c filterCall) (any, error) {
	old, replacement := c.at(0, "old"), c.at(1, "new")
	if old == nil || replacement == nil {
		return nil, errors.New("it takes what is replaced, and by what")
	}
	count, err := c.integerOr(2, "count", -1)
	if err != nil {
		return nil, err
	}
	safe := c.evaluator.Config.AutoEscape && (isMarkup(c.in) || isMarkup(old) || isMarkup(replacement))
	text := strings.Replace(c.engine.markupOf(c.in, safe), c.engine.str(old), c.engine.markupOf(replacement, safe), count)
	return marked(text, safe), nil
}

var (
	words          = regexp.MustCompile(`[\pL\pN\pM_]+`)
	wordBeginnings = regexp.MustCompile(`[-\s({\[<]+`)
)

// titleCased makes the first character of each word a capital, and the others small.
func titleCased(c filterCall) (any, error) {
	var out strings.Builder
	text := c.engine.str(c.in)
	for text != "" {
		word := text
		gap := wordBeginnings.FindStringIndex(text)
		if gap != nil {
			word = text[:gap[0]]
		}
		if word != "" {
			_, size := utf8.DecodeRuneInString(word)
			out.WriteString(strings.ToUpper(word[:size]) + strings.ToLower(word[size:]))
		}
		if gap == nil {
			break
		}
		out.WriteString(text[gap[0]:gap[1]])
		text = text[gap[1]:]
	}
	return out.String(), nil
}

// random picks an element. The same template with the same values gives the same text, since it may be made again.
func random(c filterCall) (any, error) {
	elements, err := c.elements()
	if err != nil || len(elements) == 0 {
		return exec.AsValue(nil), err
	}
	if c.engine.chance == nil {
		c.engine.chance = rand.New(rand.NewPCG(c.engine.seed, 0))
	}
	return elements[c.engine.chance.IntN(len(elements))], nil
}

// wrapParts are the parts that a line may be broken between, of Python's textwrap: words, at hyphens too, and what is
// between them.
var (
	wrapParts = regexp2.MustCompile(`[\t\n\v\f\r ]+|(?<=[\w!"'&.,?])-{2,}(?=\w)|[^\t\n\v\f\r ]+?(?:-(?:(?<=[^\d\W]{2}-)|(?<=[^\d\W]-[^\d\W]-))(?=[^\d\W]-?[^\d\W])|(?=[\t\n\v\f\r ]|\z)|(?<=[\w!"'&.,?])(?=-{2,}\w))`, regexp2.None)
	wrapWords = regexp2.MustCompile(`[\t\n\v\f\r ]+|[^\t\n\v\f\r ]+`, regexp2.None)
)

// wrapped breaks lines that are longer than a width.
func wrapped(c filterCall) (any, error) {
	width, err := c.integerOr(0, "width", 79)
	if err != nil {
		return nil, err
	}
	if width <= 0 {
		return nil, fmt.Errorf("the width %d is not above 0", width)
	}
	between, err := c.textOr(2, "wrapstring", "\n")
	if err != nil {
		return nil, err
	}
	breaks := c.at(1, "break_long_words") == nil || c.flag(1, "break_long_words")
	hyphens := c.at(3, "break_on_hyphens") == nil || c.flag(3, "break_on_hyphens")
	parts := wrapWords
	if hyphens {
		parts = wrapParts
	}
	var out []string
	for _, line := range lines(c.engine.str(c.in), false) {
		var chunks []string
		match, err := parts.FindStringMatch(line)
		for ; err == nil && match != nil; match, err = parts.FindNextMatch(match) {
			chunks = append(chunks, match.String())
		}
		if err != nil {
			return nil, err
		}
		out = append(out, strings.Join(wrap(chunks, width, breaks, hyphens), between))
	}
	return strings.Join(out, between), nil
}

// wrap fills lines with chunks, and leaves out the white space at their ends.
func wrap(chunks []string, width int, breaks, hyphens bool) []string {
	isSpace := func(text string) bool { return strings.Trim(text, "\t\n\v\f\r ") == "" }
	var all []string
	for len(chunks) > 0 {
		if len(all) > 0 && isSpace(chunks[0]) {
			chunks = chunks[1:]
		}
		var line []string
		length := 0
		for len(chunks) > 0 && length+utf8.RuneCountInString(chunks[0]) <= width {
			length += utf8.RuneCountInString(chunks[0])
			line = append(line, chunks[0])
			chunks = chunks[1:]
		}
		if len(chunks) > 0 && utf8.RuneCountInString(chunks[0]) > width {
			if word := []rune(chunks[0]); breaks {
				end := max(width-length, 1)
				if hyphen := strings.LastIndexByte(string(word[:end]), '-'); hyphens && hyphen > 0 && strings.Trim(string(word[:end])[:hyphen], "-") != "" {
					end = utf8.RuneCountInString(string(word[:end])[:hyphen]) + 1
				}
				line = append(line, string(word[:end]))
				chunks[0] = string(word[end:])
			} else if len(line) == 0 {
				line = append(line, chunks[0])
				chunks = chunks[1:]
			}
		}
		if len(line) > 0 && isSpace(line[len(line)-1]) {
			line = line[:len(line)-1]
		}
		if len(line) > 0 {
			all = append(all, strings.Join(line, ""))
		}
	}
	return all
}
