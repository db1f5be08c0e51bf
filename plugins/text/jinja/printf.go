package jinja

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// conversion is one place of a printf format.
var conversion = regexp.MustCompile(`%([-+ 0#]*)(\d{0,4})(?:\.(\d{0,3}))?[hlL]?([a-zA-Z%])`)

// printf is Python's format % number with one place for the number.
func printf(format string, in *exec.Value) (string, error) {
	number, err := float(in)
	if err != nil {
		return "", err
	}
	used := false
	var wrong error
	text := conversion.ReplaceAllStringFunc(format, func(place string) string {
		part := conversion.FindStringSubmatch(place)
		flags, width, precision, verb := part[1], part[2], part[3], part[4]
		if verb == "%" {
			return "%"
		}
		if used {
			wrong = errors.New("the format has more than one place for a number")
			return ""
		}
		used = true
		spec := "%" + flags + width
		if strings.Contains(place, ".") {
			spec += "." + precision
		}
		switch verb {
		case "f", "F", "e", "E", "g", "G":
			if !strings.Contains(place, ".") && strings.ContainsAny(verb, "gG") {
				spec += ".6"
			}
			return fmt.Sprintf(spec+verb, number)
		case "d", "i", "u":
			if math.Abs(number) < math.MaxInt64 {
				return fmt.Sprintf("%"+flags+width+"d", int64(number))
			}
			return fmt.Sprintf("%"+flags+width+".0f", math.Trunc(number))
		case "s", "r":
			return fmt.Sprintf(spec+"s", value.FloatText(number))
		default:
			wrong = fmt.Errorf("the format has the unknown conversion %q", place)
			return ""
		}
	})
	switch {
	case wrong != nil:
		return "", wrong
	case !used:
		return "", fmt.Errorf("the format %q has no place for the number", format)
	}
	return text, nil
}

func float(in *exec.Value) (float64, error) {
	if in.IsNumber() {
		return in.Float(), nil
	}
	if parsed, ok := value.ParseNumber(in.String()); ok && in.IsString() {
		return strconv.ParseFloat(string(parsed), 64)
	}
	return 0, fmt.Errorf("%q is no number", in.String())
}
