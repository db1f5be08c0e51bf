package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzDecodeEscapes(f *testing.F) {
	for _, seed := range []string{`a\nb`, `\ud83d\ude00`, `\ud83d\`, `\U0010ffff`, `\x4`, `\\`, `\101\9`, `\N{EM DASH}`, `\N{`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		decoded, err := decodeEscapes(text)
		if err != nil {
			return
		}
		if utf8.ValidString(text) && !utf8.ValidString(decoded) || !strings.Contains(text, `\`) && decoded != text {
			t.Fatalf("%q became %q", text, decoded)
		}
	})
}

func FuzzSplitCode(f *testing.F) {
	f.Add("a ```js\n1\n``` b")
	f.Add("``````py\n```")
	f.Fuzz(func(t *testing.T, text string) {
		code, remaining := splitCode(text)
		if len(code) == 0 && remaining != strings.TrimSpace(text) {
			t.Fatalf("%q without code became %q", text, remaining)
		}
	})
}
