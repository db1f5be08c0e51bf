package jinja

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// kind says what a token of an expression is.
type kind byte

const (
	endToken kind = iota
	nameToken
	textToken // a string literal; its text is what the literal stands for
	integerToken
	floatToken
	operatorToken
)

// token is a part of an expression.
type token struct {
	kind kind
	text string
	line int
}

// located is the token as the library's nodes keep it, for the lines in errors.
func (t token) located() *tokens.Token {
	return &tokens.Token{Type: tokens.Name, Val: t.text, Line: t.line}
}

func (t token) String() string {
	switch t.kind {
	case endToken:
		return "the end"
	case textToken:
		return "a string"
	default:
		return t.text
	}
}

// syntaxError is what is wrong with a template, at a line of it.
type syntaxError struct {
	line int
	what string
}

func (s syntaxError) Error() string {
	return fmt.Sprintf("the template is malformed: line %d: %s", s.line, s.what)
}

// The tokens of Jinja's lexer.
var (
	floatForm    = regexp.MustCompile(`^(?i)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)`)
	integerForm  = regexp.MustCompile(`^(?i)(?:0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*)`)
	nameForm     = regexp.MustCompile(`^[\pL\pN\pM_]+`)
	textForm     = regexp.MustCompile(`^(?s)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`)
	operatorForm = regexp.MustCompile(`^(?:\*\*|//|==|!=|>=|<=|[-+/*%~\[\](){}><=.:|,;])`)
	escapeForm   = regexp.MustCompile(`(?s)\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|.)`)
)

// scanner reads the tokens of an expression or tag.
type scanner struct {
	source string
	pos    int
	line   int
}

func (s *scanner) rest() string { return s.source[s.pos:] }

func (s *scanner) advance(n int) string {
	passed := s.source[s.pos : s.pos+n]
	s.pos += n
	s.line += strings.Count(passed, "\n")
	return passed
}

func (s *scanner) fail(format string, arguments ...any) {
	panic(syntaxError{s.line, fmt.Sprintf(format, arguments...)})
}

// tokens reads up to the closing braces, which do not count within brackets; trims is whether they take white space
// behind them away.
func (s *scanner) tokens(closing string) (found []token, trims bool) {
	var open []byte
	for {
		rest := s.rest()
		if rest == "" {
			s.fail("%s is missing", closing)
		}
		if r, size := utf8.DecodeRuneInString(rest); unicode.IsSpace(r) {
			s.advance(size)
			continue
		}
		if len(open) == 0 {
			for _, control := range []string{"-", "+", ""} {
				if strings.HasPrefix(rest, control+closing) && (control != "+" || closing == "%}") {
					found = append(found, token{line: s.line})
					s.advance(len(control + closing))
					return found, control == "-"
				}
			}
		}
		t := token{line: s.line}
		size := 0
		afterDot := s.pos > 0 && s.source[s.pos-1] == '.' // a.0.5 are two places
		for _, form := range []struct {
			kind kind
			*regexp.Regexp
		}{{floatToken, floatForm}, {integerToken, integerForm}, {nameToken, nameForm}, {textToken, textForm}, {operatorToken, operatorForm}} {
			if form.kind == floatToken && afterDot {
				continue
			}
			if t.text = form.FindString(rest); t.text != "" {
				t.kind, size = form.kind, len(t.text)
				break
			}
		}
		switch {
		case size == 0:
			r, _ := utf8.DecodeRuneInString(rest)
			s.fail("unexpected %q", r)
		case t.kind == textToken:
			text, ok := unquoted(t.text)
			if !ok {
				s.fail("the string has a character that does not exist")
			}
			t.text = text
		case t.kind == operatorToken:
			switch c := t.text[0]; c {
			case '(', '[', '{':
				open = append(open, map[byte]byte{'(': ')', '[': ']', '{': '}'}[c])
			case ')', ']', '}':
				if len(open) == 0 || open[len(open)-1] != c {
					s.fail("unexpected %q", c)
				}
				open = open[:len(open)-1]
			}
		}
		s.advance(size)
		found = append(found, t)
	}
}

// unquoted is what a string literal stands for, by Python's escapes.
func unquoted(literal string) (string, bool) {
	literal, ok := literal[1:len(literal)-1], true
	text := escapeForm.ReplaceAllStringFunc(literal, func(escape string) string {
		switch c := escape[1]; c {
		case '\n':
			return ""
		case '\\', '\'', '"':
			return escape[1:]
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			return string("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case 'x', 'u', 'U':
			if len(escape) == 2 {
				ok = false
				return ""
			}
			return character(escape[2:], 16, &ok)
		case '0', '1', '2', '3', '4', '5', '6', '7':
			return character(escape[1:], 8, &ok)
		default:
			return escape
		}
	})
	return text, ok
}

func character(digits string, base int, ok *bool) string {
	code := 0
	for _, d := range strings.ToLower(digits) {
		code = min(code*base+strings.IndexRune("0123456789abcdef", d), unicode.MaxRune+1)
	}
	if !utf8.ValidRune(rune(code)) {
		*ok = false
	}
	return string(rune(code))
}
