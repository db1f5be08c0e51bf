package main

import (
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestExtractionIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, pattern string
		length, count int // of the first match, and of all
	}{
		"a long match":      {strings.Repeat("é", 20_000), ".+", maxMatchLength, 1},
		"many matches":      {strings.Repeat("é", 2_000), ".", 1, maxMatches},
		"a long text":       {strings.Repeat("é", maxSearched) + "x", "x", 0, 0},
		"text of its limit": {strings.Repeat("é", maxSearched-1) + "x", "x", 1, 1},
	} {
		in := extractTextInput{Pattern: c.pattern, CaseSensitive: true, FindAll: true}
		found, err := in.find(t.Context(), c.text)
		if err != nil || len(found) != c.count || c.count > 0 && len([]rune(found[0])) != c.length {
			t.Errorf("%s: %d matches, %v", name, len(found), err)
		}
	}
}

func TestCatastrophicPatternIsAnError(t *testing.T) {
	t.Parallel()
	values, err := blocktest.Run(t, matchTextPattern, `{"text": "`+strings.Repeat("a", 50)+`b", "match": "(a+)+$", "data": 1}`)
	if err == nil || !strings.Contains(err.Error(), "did not end within 5s") || len(values) != 0 {
		t.Errorf("%v, %v", values, err)
	}
}
