package store

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// words takes a text apart into what is searched for: letters and digits in lower case, without accents. Nothing of
// them means anything to the database's query languages.
func words(text string) []string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

func wordsOf(text string) string { return strings.Join(words(text), " ") }

// prefixes is a query of Postgres for texts that have each word, or one that begins like it.
func prefixes(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + w + "':*"
	}
	return strings.Join(quoted, " & ")
}

// slugOf is a text as a part of a path; empty where nothing of it can be.
func slugOf(text string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(text)) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r), r == '\'':
		default:
			b.WriteByte('-')
		}
	}
	parts := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '-' })
	slug := strings.Join(parts, "-")
	return strings.Trim(slug[:min(len(slug), maxSlug)], "-")
}

// maxSlug leaves room for a number behind it.
const maxSlug = 80
