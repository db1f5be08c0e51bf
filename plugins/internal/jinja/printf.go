package jinja

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// conversion is one place of a printf format.
var conversion = regexp.MustCompile(`%(?:\(([^)]*)\))?([-+ 0#]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.|$)`)

// formatArguments are what fills a printf format: a tuple's elements, or else the one value.
func formatArguments(v *exec.Value) []*exec.Value {
	elements, ok := v.Interface().(tuple)
	if !ok {
		return []*exec.Value{v}
	}
	arguments := make([]*exec.Value, len(elements))
	for i, element := range elements {
		arguments[i] = exec.ToValue(element)
	}
	return arguments
}

// printf is Python's format % arguments; named places are filled from a dictionary.
// Into markup they are written escaped.
func (e *engine) printf(format *exec.Value, arguments []*exec.Value, dictionary *exec.Value) (*exec.Value, error) {
	var wrong error
	safe := isMarkup(format)
	used, named := 0, false
	fail := func(err error) string {
		if wrong == nil {
			wrong = err
		}
		return ""
	}
	text := conversion.ReplaceAllStringFunc(e.str(format), func(place string) string {
		part := conversion.FindStringSubmatch(place)
		if part[5] == "%" {
			return "%"
		}
		for i := 3; i <= 4; i++ { // a width or precision of * is the next value
			if part[i] != "*" {
				continue
			}
			if used == len(arguments) {
				return fail(errTooFew)
			}
			n, ok := numberOf(arguments[used])
			if used++; !ok || n.i == nil {
				return fail(errors.New("* takes a whole number"))
			}
			if part[i] = n.i.String(); i == 3 && n.i.Sign() < 0 {
				part[2] += "-"
				part[3] = part[3][1:]
			} else if n.i.Sign() < 0 {
				part[4] = "0"
			}
		}
		var v *exec.Value
		if strings.HasPrefix(place, "%(") {
			named = true
			var ok bool
			if dictionary == nil || !dictionary.IsDict() {
				return fail(errors.New("the format's names need a dictionary"))
			}
			if v, ok = e.member(dictionary, exec.AsValue(part[1])); !ok {
				return fail(fmt.Errorf("there is no %q for the format", part[1]))
			}
		} else {
			if used == len(arguments) {
				return fail(errTooFew)
			}
			v = arguments[used]
			used++
		}
		written, err := e.converted(v, part, safe)
		if err != nil {
			return fail(err)
		}
		return written
	})
	if wrong == nil && !named && used < len(arguments) && (dictionary == nil || !dictionary.IsDict()) {
		wrong = errors.New("there are more values than places in the format")
	}
	if wrong == nil && len(text) > maxOutput {
		wrong = errTooLong
	}
	if wrong != nil {
		return nil, wrong
	}
	return marked(text, safe), nil
}

var errTooFew = errors.New("there are fewer values than places in the format")

// converted writes a value at a printf place.
func (e *engine) converted(v *exec.Value, part []string, safe bool) (string, error) {
	l := layout{fill: " ", align: '>'}
	var err error
	if l.width, err = parseWidth(part[3], 0); err != nil {
		return "", err
	}
	if l.precision, err = parseWidth(part[4], -1); err != nil {
		return "", err
	}
	if strings.HasSuffix(part[0], "."+part[5]) { // "%.f"
		l.precision = 0
	}
	for _, flag := range part[2] {
		switch {
		case flag == '-':
			l.align = '<'
		case flag == '+', flag == ' ' && l.sign == 0:
			l.sign = byte(flag)
		case flag == '#':
			l.prefixed = true
		case flag == '0' && l.align == '>':
			l.fill, l.align = "0", '='
		}
	}
	if l.align == '<' {
		l.fill = " "
	}
	n, isNumber := numberOf(v)
	switch verb := part[5]; verb {
	case "s", "r", "a", "c":
		l.fill, l.align = " ", map[bool]byte{true: '<', false: '>'}[l.align == '<']
		switch {
		case verb == "c" && isNumber:
			l.verb, l.sign = 'c', 0
			return l.number(n)
		case verb == "s" || verb == "c":
			return l.text(e.markupOf(v, safe)), nil
		default:
			var text strings.Builder
			e.repr(&text, v)
			return l.text(e.markupOf(exec.AsValue(text.String()), safe)), nil
		}
	case "d", "i", "u", "x", "X", "o", "f", "F", "e", "E", "g", "G":
		if !isNumber {
			return "", fmt.Errorf("%%%s takes a number, not %s", verb, typeName(v))
		}
		l.verb = verb[0]
		if strings.Contains("diu", verb) {
			l.verb = 'd'
			if n.i == nil {
				if math.IsInf(n.f, 0) || math.IsNaN(n.f) {
					return "", errTooLarge
				}
				n.i, _ = big.NewFloat(n.f).Int(nil)
			}
		}
		return l.number(n)
	default:
		return "", fmt.Errorf("the format has the unknown conversion %q", part[0])
	}
}
