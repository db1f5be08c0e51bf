package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// layout is how a value is written: a place of "%5.2f" % x, or of "{:>5.2f}".format(x).
type layout struct {
	fill      string
	align     byte // < > ^, = behind the sign; 0: as the value's kind has it
	sign      byte // + or space before what is not negative; 0: nothing
	prefixed  bool // 0x before hexadecimal
	grouping  string
	width     int
	precision int // -1: none
	verb      byte
}

// maxWidth bounds widths and precisions: more would only fill the memory.
const maxWidth = 100_000

func parseWidth(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > maxWidth {
		return 0, fmt.Errorf("the width or precision %s is too large", text)
	}
	return n, nil
}

// text writes a text.
func (l layout) text(text string) string {
	if l.precision >= 0 {
		if characters := []rune(text); len(characters) > l.precision {
			text = string(characters[:l.precision])
		}
	}
	return l.aligned("", text)
}

// number writes a number.
func (l layout) number(n number) (string, error) {
	digits, prefix, err := l.digits(n)
	if err != nil {
		return "", err
	}
	digits, negative := strings.CutPrefix(digits, "-")
	switch {
	case negative:
		prefix = "-" + prefix
	case l.sign != 0:
		prefix = string(l.sign) + prefix
	}
	if l.grouping != "" {
		whole, rest := digits, ""
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			whole, rest = digits[:end], digits[end:]
		}
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + l.grouping + whole[i:]
		}
		digits = whole + rest
	}
	if l.align == 0 {
		l.align = '>'
	}
	return l.aligned(prefix, digits), nil
}

func (l layout) digits(n number) (digits, prefix string, err error) {
	switch l.verb {
	case 'd', 'n', 'b', 'o', 'x', 'X', 'c':
		if n.i == nil {
			return "", "", fmt.Errorf("%c takes a whole number, not %s", l.verb, value.FloatText(n.f))
		}
		return l.integer(n.i)
	case 0:
		if n.i != nil {
			return n.i.String(), "", nil
		}
		if l.precision < 0 {
			return value.FloatText(n.f), "", nil
		}
		l.verb = 'g'
	}
	f, err := n.float()
	if err != nil {
		return "", "", err
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return value.FloatText(f), "", nil
	}
	if l.precision < 0 {
		l.precision = 6
	}
	switch l.verb {
	case 'f', 'F':
		return strconv.FormatFloat(f, 'f', l.precision, 64), "", nil
	case '%':
		return strconv.FormatFloat(f*100, 'f', l.precision, 64) + "%", "", nil
	case 'e', 'E', 'g', 'G':
		return fmt.Sprintf("%."+strconv.Itoa(max(l.precision, 0))+string(l.verb), f), "", nil
	default:
		return "", "", fmt.Errorf("the format has the unknown conversion %q for a number", l.verb)
	}
}

func (l layout) integer(n *big.Int) (digits, prefix string, err error) {
	switch l.verb {
	case 'b':
		digits, prefix = n.Text(2), "0b"
	case 'o':
		digits, prefix = n.Text(8), "0o"
	case 'x':
		digits, prefix = n.Text(16), "0x"
	case 'X':
		digits, prefix = strings.ToUpper(n.Text(16)), "0X"
	case 'c':
		if !n.IsInt64() || n.Sign() < 0 || n.Int64() > utf8.MaxRune {
			return "", "", fmt.Errorf("%s is no character", n)
		}
		return string(rune(n.Int64())), "", nil
	default:
		return n.String(), "", nil
	}
	if !l.prefixed {
		prefix = ""
	}
	return digits, prefix, nil
}

// aligned fills up to the width.
func (l layout) aligned(prefix, body string) string {
	missing := l.width - utf8.RuneCountInString(prefix) - utf8.RuneCountInString(body)
	if missing <= 0 {
		return prefix + body
	}
	filling := strings.Repeat(l.fill, missing)
	switch l.align {
	case '>':
		return filling + prefix + body
	case '=':
		return prefix + filling + body
	case '^':
		half := missing / 2 * len(l.fill)
		return filling[:half] + prefix + body + filling[half:]
	default:
		return prefix + body + filling
	}
}
