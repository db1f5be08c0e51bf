package block

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// addFlaws says why a schema does not compile: where it is no schema itself, each place once and in few words, and not
// what of the schema of schemas it does not fit.
func (p *problems) addFlaws(where string, err error) {
	refused, _ := errors.AsType[*jsonschema.SchemaValidationError](err)
	if refused == nil {
		p.add(where, "%v", err)
		return
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](refused.Err)
	if !ok {
		p.add(where, "%v", err)
		return
	}
	var found []string // in no order
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		switch _, either := e.ErrorKind.(*kind.AnyOf); {
		case len(e.Causes) == 0:
			found = append(found, strings.Join(append([]string{where}, e.InstanceLocation...), ".")+": "+flaw(e))
		case either: // what came furthest is what was meant
			meant := e.Causes[0]
			for _, c := range e.Causes[1:] {
				if len(c.InstanceLocation) > len(meant.InstanceLocation) {
					meant = c
				}
			}
			walk(meant)
		default:
			for _, c := range e.Causes {
				walk(c)
			}
		}
	}
	walk(invalid)
	slices.Sort(found)
	for _, text := range found[:min(len(found), maxReasons)] {
		*p = append(*p, errors.New(text))
	}
}

func flaw(e *jsonschema.ValidationError) string {
	if k, ok := e.ErrorKind.(*kind.Enum); ok && strings.HasSuffix(e.SchemaURL, "/simpleTypes") {
		known := make([]string, len(k.Want))
		for i, name := range k.Want {
			known[i] = fmt.Sprint(name)
		}
		got := fmt.Sprint(k.Got)
		if text, ok := k.Got.(string); ok {
			got = fmt.Sprintf("%.100q", text)
		}
		return fmt.Sprintf("%.110s is no JSON type; known are %s", got, strings.Join(known, ", "))
	}
	return e.ErrorKind.LocalizedString(printer)
}
