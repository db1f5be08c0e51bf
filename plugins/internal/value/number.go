package value

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// ParseNumber reads text as Python's float() does, in the decimal digits of any script, and gives it as a JSON number
// with all its digits: "+1_000." is 1000. Infinity and not-a-number, which JSON lacks, are no numbers here: see NonFinite.
func ParseNumber(text string) (json.RawMessage, bool) {
	text = plainDigits(strings.TrimFunc(text, IsSpace))
	var out strings.Builder
	if rest, minus := strings.CutPrefix(text, "-"); minus {
		out.WriteByte('-')
		text = rest
	} else {
		text = strings.TrimPrefix(text, "+")
	}
	whole, text := digits(text)
	fraction := ""
	if rest, point := strings.CutPrefix(text, "."); point {
		fraction, text = digits(rest)
	}
	if whole == "" && fraction == "" {
		return nil, false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	out.WriteString(whole)
	if fraction != "" {
		out.WriteString("." + fraction)
	}
	if text != "" && (text[0] == 'e' || text[0] == 'E') {
		out.WriteByte('e')
		text = text[1:]
		if text != "" && (text[0] == '-' || text[0] == '+') {
			out.WriteByte(text[0])
			text = text[1:]
		}
		var exponent string
		if exponent, text = digits(text); exponent == "" {
			return nil, false
		}
		out.WriteString(exponent)
	}
	if text != "" {
		return nil, false
	}
	return json.RawMessage(out.String()), true
}

// NonFinite reads the texts that Python's float() takes for what is no finite number: inf, Infinity and nan, with a sign
// or without, in any case.
func NonFinite(text string) (float64, bool) {
	text = strings.ToLower(strings.TrimFunc(text, IsSpace))
	name, negative := strings.CutPrefix(text, "-")
	if !negative {
		name = strings.TrimPrefix(name, "+")
	}
	switch name {
	case "inf", "infinity":
		if negative {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	case "nan":
		return math.NaN(), true
	default:
		return 0, false
	}
}

// plainDigits writes the decimal digits of all scripts as those of ASCII.
func plainDigits(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r <= unicode.MaxASCII || !unicode.IsDigit(r) {
			return r
		}
		return '0' + digit(r)
	}, text)
}

// digit is what a decimal digit of any script stands for: Unicode has each ten of them in a row, the zero first.
func digit(r rune) rune {
	before := rune(0)
	for unicode.IsDigit(r - 1 - before) {
		before++
	}
	return before % 10
}

// digits takes leading digits off; single underscores between two digits are left out, as Python allows them.
func digits(text string) (found, rest string) {
	i := 0
	for i < len(text) {
		if text[i] == '_' && i > 0 && text[i-1] != '_' && i+1 < len(text) && isDigit(text[i+1]) {
			i++
			continue
		}
		if !isDigit(text[i]) {
			break
		}
		i++
	}
	return strings.ReplaceAll(text[:i], "_", ""), text[i:]
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// IsInteger says whether a number is written as an integer: an int to Python.
func IsInteger(number json.RawMessage) bool { return !strings.ContainsAny(string(number), ".eE") }

// FloatText is Python's repr of a float: 1.0, 1e+16, 1e-05, inf.
func FloatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	if magnitude := math.Abs(f); magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// NumberText is how Python prints a JSON number that it has read. A number beyond the range of floats, which Python
// would print as infinite, stays as it is written.
func NumberText(number json.RawMessage) string {
	if IsInteger(number) {
		if string(number) == "-0" {
			return "0"
		}
		return string(number)
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil {
		return string(number)
	}
	return FloatText(f)
}

// decimal is a number as sign × 0.digits × 10^exponent, with digits free of zeros at both ends: numbers of any size
// compare exactly and nothing grows with an exponent.
type decimal struct {
	sign     int
	exponent int64
	digits   string
}

func decimalOf(number string) decimal {
	number, negative := strings.CutPrefix(number, "-")
	mantissa, power := number, ""
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, power = number[:i], number[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	significant := strings.TrimLeft(all, "0")
	if significant == "" {
		return decimal{}
	}
	exponent := int64(len(whole) - (len(all) - len(significant)))
	if power != "" {
		p, err := strconv.ParseInt(power, 10, 64)
		if err != nil || p > math.MaxInt64/4 || p < -math.MaxInt64/4 {
			p = math.MaxInt64 / 4
			if strings.HasPrefix(power, "-") {
				p = -p
			}
		}
		exponent += p
	}
	sign := 1
	if negative {
		sign = -1
	}
	return decimal{sign, exponent, strings.TrimRight(significant, "0")}
}

func (d decimal) compare(other decimal) int {
	switch {
	case d.sign != other.sign:
		return cmp.Compare(d.sign, other.sign)
	case d.exponent != other.exponent && d.sign != 0:
		return d.sign * cmp.Compare(d.exponent, other.exponent)
	default:
		return d.sign * strings.Compare(d.digits, other.digits)
	}
}
