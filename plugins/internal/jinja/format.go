package jinja

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

var (
	// replacement is {name!conversion:layout} without the braces.
	replacement = regexp.MustCompile(`(?s)^([^!:]*)(?:!([rsa]))?(?::(.*))?$`)
	layoutText  = regexp.MustCompile(`(?s)^(?:(.)?([<>=^]))?([-+ ]?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$`)
	accessor    = regexp.MustCompile(`\.([^.\[]+)|\[([^\]]+)\]`)
)

// format is Python's format.format(…).
func (e *engine) format(format string, a arguments) (string, error) {
	next := 0
	text, err := e.formatted(format, a, &next, 2)
	if err == nil && len(text) > maxOutput {
		err = errTooLong
	}
	return text, err
}

func (e *engine) formatted(format string, a arguments, next *int, depth int) (string, error) {
	var text strings.Builder
	for format != "" {
		at := strings.IndexAny(format, "{}")
		if at < 0 {
			text.WriteString(format)
			break
		}
		text.WriteString(format[:at])
		rest := format[at:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			text.WriteByte(rest[0])
			format = rest[2:]
			continue
		}
		end := closing(rest)
		if rest[0] == '}' || end < 0 || depth == 0 {
			return "", errors.New("the braces of the format do not match")
		}
		written, err := e.replaced(rest[1:end], a, next, depth)
		if err != nil {
			return "", err
		}
		text.WriteString(written)
		format = rest[end+1:]
	}
	return text.String(), nil
}

// closing is where the brace that a text begins with ends.
func closing(text string) int {
	open := 0
	for i, c := range text {
		switch c {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

func (e *engine) replaced(place string, a arguments, next *int, depth int) (string, error) {
	part := replacement.FindStringSubmatch(place)
	if part == nil {
		return "", fmt.Errorf("the format has the odd place {%s}", place)
	}
	v, err := e.argument(part[1], a, next)
	if err != nil {
		return "", err
	}
	form, err := e.formatted(part[3], a, next, depth-1)
	if err != nil {
		return "", err
	}
	switch part[2] {
	case "r", "a":
		var text strings.Builder
		e.repr(&text, v)
		v = exec.AsValue(text.String())
	case "s":
		v = exec.AsValue(e.str(v))
	}
	text, err := e.laidOut(v, form)
	if err == nil && a.markup && !isMarkup(v) {
		text = escaped(text)
	}
	return text, err
}

// argument finds what a place names: an argument by place or name, then attributes and elements of it.
func (e *engine) argument(name string, a arguments, next *int) (*exec.Value, error) {
	first := name
	if end := strings.IndexAny(name, ".["); end >= 0 {
		first = name[:end]
	}
	var v *exec.Value
	if place, err := strconv.Atoi(first); err == nil || first == "" {
		if first == "" {
			place = *next
			*next++
		}
		if place < 0 || place >= len(a.Args) {
			return nil, errors.New("there are fewer values than places in the format")
		}
		v = a.Args[place]
	} else if v = a.KwArgs[first]; v == nil {
		return nil, fmt.Errorf("there is no %q for the format", first)
	}
	for _, access := range accessor.FindAllStringSubmatch(name[len(first):], -1) {
		key := exec.AsValue(access[1] + access[2])
		if n, err := strconv.Atoi(access[2]); err == nil {
			key = exec.AsValue(n)
		}
		v = e.item(nil, v, &exec.VarArgs{Args: []*exec.Value{key}})
		if v.IsError() {
			return nil, v
		}
	}
	return v, nil
}

func (e *engine) laidOut(v *exec.Value, form string) (string, error) {
	part := layoutText.FindStringSubmatch(form)
	if part == nil {
		return "", fmt.Errorf("the format has the odd layout %q", form)
	}
	l := layout{fill: " ", prefixed: part[4] != "", grouping: part[7]}
	if part[2] != "" {
		l.align = part[2][0]
	}
	if part[1] != "" {
		l.fill = part[1]
	}
	if part[3] != "" && part[3] != "-" {
		l.sign = part[3][0]
	}
	if part[5] != "" && part[2] == "" {
		l.fill, l.align = "0", '='
	}
	var err error
	if l.width, err = parseWidth(part[6], 0); err != nil {
		return "", err
	}
	if l.precision, err = parseWidth(part[8], -1); err != nil {
		return "", err
	}
	if part[9] != "" {
		l.verb = part[9][0]
	}
	n, isNumber := numberOf(v)
	switch {
	case isNumber && !(v.IsBool() && form == ""):
		return l.number(n)
	case l.verb != 0 && l.verb != 's':
		return "", fmt.Errorf("%c takes a number, not %s", l.verb, typeName(v))
	default:
		return l.text(e.str(v)), nil
	}
}
