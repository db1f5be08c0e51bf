// Package charname finds characters by their names in Unicode, as \N{…} of Python names them.
package charname

import (
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/runenames"
)

// ideograph begins the names of those whose rest is their number.
const ideograph = "CJK UNIFIED IDEOGRAPH-"

var byName = sync.OnceValue(func() map[string]rune {
	names := make(map[string]rune, 1<<15)
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if name := runenames.Name(r); name != "" && name[0] != '<' { // <control>, and names of whole ranges
			names[name] = r
		}
	}
	return names
})

// Find is the character of a name, in letters of any size.
func Find(name string) (rune, bool) {
	name = strings.ToUpper(name)
	if digits, ok := strings.CutPrefix(name, ideograph); ok && len(digits) >= 4 {
		n, err := strconv.ParseUint(digits, 16, 32)
		return rune(n), err == nil && n <= unicode.MaxRune && unicode.Is(unicode.Unified_Ideograph, rune(n))
	}
	r, ok := byName()[name]
	return r, ok
}
