package block

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// decimal is a number as its digits, since values must not pass through floating point: it stands for
// ±0.d1d2d3… × 10^point, digits without zeros at either end.
type decimal struct {
	negative bool
	digits   string
	point    int
}

// maxExpanded bounds how many digits an exponent may be written out to.
const maxExpanded = 400

// parseDecimal reads a number as Python's float does: white space around, a sign, underscores between digits, no
// digits on one side of the point. What is no finite number is not read.
func parseDecimal(s string) (decimal, bool) {
	s = asciiDigits(strings.TrimSpace(s))
	var d decimal
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa = s[:i]
		text, ok := plainDigits(strings.TrimPrefix(strings.TrimPrefix(s[i+1:], "+"), "-"))
		if !ok || text == "" || strings.HasPrefix(s[i+1:], "+-") {
			return decimal{}, false
		}
		n, err := strconv.Atoi(text)
		if err != nil || n > 1<<40 {
			n = 1 << 40 // beyond any number that is ever written out
		}
		if strings.HasPrefix(s[i+1:], "-") {
			n = -n
		}
		exponent = n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	whole, ok1 := plainDigits(whole)
	fraction, ok2 := plainDigits(fraction)
	if !ok1 || !ok2 || whole == "" && fraction == "" {
		return decimal{}, false
	}
	digits := whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	d.point = len(whole) - (len(digits) - len(trimmed)) + exponent
	d.digits = strings.TrimRight(trimmed, "0")
	if d.digits == "" {
		d.point = 0
	}
	return d, true
}

// asciiDigits writes the decimal digits of all scripts as those of ASCII. Unicode has each ten of them in a row, the
// zero first.
func asciiDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf || !unicode.IsDigit(r) {
			return r
		}
		before := rune(0)
		for unicode.IsDigit(r - 1 - before) {
			before++
		}
		return '0' + before%10
	}, s)
}

// plainDigits removes underscores between digits; false for anything that is not a digit.
func plainDigits(s string) (string, bool) {
	underscore := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] >= '0' && s[i] <= '9':
		case s[i] == '_' && i > 0 && i < len(s)-1 && s[i-1] != '_':
			underscore = true
		default:
			return "", false
		}
	}
	if underscore {
		s = strings.ReplaceAll(s, "_", "")
	}
	return s, true
}

func (d decimal) zero() bool { return d.digits == "" }

// integral says whether nothing stands behind the point.
func (d decimal) integral() bool { return d.point >= len(d.digits) }

// truncated is the number without what stands behind the point, as JSON; false where it is too long to be written
// out (it is integral then).
func (d decimal) truncated() (string, bool) {
	if d.zero() || d.point <= 0 {
		return "0", true
	}
	if d.point > maxExpanded && d.point > len(d.digits) {
		return "", false
	}
	whole := d.digits
	if d.point < len(whole) {
		whole = whole[:d.point]
	} else {
		whole += strings.Repeat("0", d.point-len(whole))
	}
	if d.negative {
		return "-" + whole, true
	}
	return whole, true
}

// float is the number as JSON, with a point or an exponent, as Python prints floats.
func (d decimal) float() string {
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch {
	case d.zero():
		return sign + "0.0"
	case d.point > maxExpanded && d.point > len(d.digits), d.point < -maxExpanded:
		fraction := d.digits[1:]
		if fraction == "" {
			fraction = "0"
		}
		return sign + d.digits[:1] + "." + fraction + "e" + strconv.Itoa(d.point-1)
	case d.point <= 0:
		return sign + "0." + strings.Repeat("0", -d.point) + d.digits
	case d.integral():
		return sign + d.digits + strings.Repeat("0", d.point-len(d.digits)) + ".0"
	}
	return sign + d.digits[:d.point] + "." + d.digits[d.point:]
}

// plainInteger says whether a JSON number is written without point and exponent.
func plainInteger(number []byte) bool {
	for _, c := range number {
		if c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return len(number) > 0
}
