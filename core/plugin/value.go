package plugin

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep a value may nest, as in encoding/json: whoever reads it later recurses.
const maxDepth = 10_000

// checkJSON says whether v is one JSON value that everybody can read.
func checkJSON(v []byte) error {
	switch {
	case len(v) == 0:
		return errors.New("no JSON: it is empty")
	case !utf8.Valid(v):
		return errors.New("not valid UTF-8")
	case tooDeep(v): // before gjson, which recurses without a limit
		return fmt.Errorf("JSON nested deeper than %d levels", maxDepth)
	case !gjson.ValidBytes(v):
		return errors.New("not valid JSON")
	}
	return nil
}

func tooDeep(v []byte) bool {
	if len(v) <= maxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}
