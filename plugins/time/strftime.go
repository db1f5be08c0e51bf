package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/sdk"
)

const (
	maxWidth     = 1_000   // of one field
	maxFormatted = 1 << 20 // bytes of the whole
)

// strftime writes a moment as Python's strftime does on Linux, in English: fields such as %Y, with the flags - (no
// padding), _ (spaces), 0 (zeros), ^ (capitals), # (the other case), a width, and the modifiers E and O. What is no
// field stays as it is.
func strftime(moment time.Time, layout string) (string, error) {
	var out strings.Builder
	for layout != "" {
		plain, rest, found := strings.Cut(layout, "%")
		out.WriteString(plain)
		if !found {
			break
		}
		f, size := fieldOf(rest)
		if f.width > maxWidth {
			return "", sdk.InvalidInput("a field of the format is wider than %d characters", maxWidth)
		}
		if text, ok := f.text(moment); ok {
			out.WriteString(text)
		} else {
			out.WriteString("%" + rest[:size])
		}
		if layout = rest[size:]; out.Len()+len(layout) > maxFormatted {
			return "", sdk.InvalidInput("the text would be longer than %d MiB", maxFormatted>>20)
		}
	}
	return out.String(), nil
}

// field is one field of a format: what it shows, and how.
type field struct {
	letter string // "Y"; ":z" is one too
	pad    byte   // of the flags - _ 0 the last, or 0
	upper  bool
	swap   bool
	width  int
}

// fieldOf reads what stands behind a percent sign, and says how long that is.
func fieldOf(text string) (f field, size int) {
	i := 0
	for ; i < len(text) && strings.IndexByte("-_0^#", text[i]) >= 0; i++ {
		switch text[i] {
		case '^':
			f.upper = true
		case '#':
			f.swap = true
		default:
			f.pad = text[i]
		}
	}
	for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
		f.width = min(f.width*10+int(text[i]-'0'), maxWidth+1)
	}
	if i < len(text) && (text[i] == 'E' || text[i] == 'O') {
		i++
	}
	begin := i
	if strings.HasPrefix(text[i:], ":z") {
		i++
	}
	if i < len(text) {
		_, letter := utf8.DecodeRuneInString(text[i:])
		i += letter
	}
	f.letter = text[begin:i]
	return f, i
}

// compound are the fields that stand for several.
var compound = map[string]string{
	"c": "%a %b %e %H:%M:%S %Y", "D": "%m/%d/%y", "x": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M",
	"r": "%I:%M:%S %p", "T": "%H:%M:%S", "X": "%H:%M:%S",
}

func (f field) text(moment time.Time) (text string, ok bool) {
	if f.letter == "f" && f != (field{letter: "f"}) { // it is Python's own, and knows nothing of flags
		return "", false
	}
	if layout, ok := compound[f.letter]; ok {
		text, err := strftime(moment, layout)
		return f.word(text), err == nil
	}
	if text, ok := words(moment, f.letter); ok {
		switch {
		case f.swap && (f.letter == "p" || f.letter == "Z"):
			text = strings.ToLower(text)
		case f.swap:
			text = strings.ToUpper(text)
		}
		return f.word(text), true
	}
	if n, digits, pad, ok := numbers(moment, f.letter); ok {
		return f.number(n, digits, pad), true
	}
	return "", false
}

// words are the fields that are text.
func words(moment time.Time, letter string) (string, bool) {
	switch letter {
	case "a":
		return moment.Format("Mon"), true
	case "A":
		return moment.Format("Monday"), true
	case "b", "h":
		return moment.Format("Jan"), true
	case "B":
		return moment.Format("January"), true
	case "p":
		return moment.Format("PM"), true
	case "P":
		return moment.Format("pm"), true
	case "Z":
		return moment.Format("MST"), true
	case "z":
		return moment.Format("-0700"), true
	case ":z":
		return moment.Format("-07:00"), true
	case "f":
		return moment.Format(".000000")[1:], true
	case "n":
		return "\n", true
	case "t":
		return "\t", true
	case "%":
		return "%", true
	default:
		return "", false
	}
}

// numbers are the fields that are numbers: how many digits they have at least, and what fills those up.
func numbers(moment time.Time, letter string) (n, digits int, pad byte, ok bool) {
	isoYear, isoWeek := moment.ISOWeek()
	weekday, hour := int(moment.Weekday()), moment.Hour()
	hour12 := (hour+11)%12 + 1
	switch letter {
	case "Y":
		return moment.Year(), 1, '0', true
	case "G":
		return isoYear, 1, '0', true
	case "C":
		return moment.Year() / 100, 2, '0', true
	case "y":
		return moment.Year() % 100, 2, '0', true
	case "g":
		return isoYear % 100, 2, '0', true
	case "m":
		return int(moment.Month()), 2, '0', true
	case "d":
		return moment.Day(), 2, '0', true
	case "e":
		return moment.Day(), 2, ' ', true
	case "j":
		return moment.YearDay(), 3, '0', true
	case "H":
		return hour, 2, '0', true
	case "k":
		return hour, 2, ' ', true
	case "I":
		return hour12, 2, '0', true
	case "l":
		return hour12, 2, ' ', true
	case "M":
		return moment.Minute(), 2, '0', true
	case "S":
		return moment.Second(), 2, '0', true
	case "s":
		return int(moment.Unix()), 1, '0', true
	case "u":
		return (weekday+6)%7 + 1, 1, '0', true
	case "w":
		return weekday, 1, '0', true
	case "U":
		return (moment.YearDay() + 6 - weekday) / 7, 2, '0', true
	case "W":
		return (moment.YearDay() + 6 - (weekday+6)%7) / 7, 2, '0', true
	case "V":
		return isoWeek, 2, '0', true
	default:
		return 0, 0, 0, false
	}
}

func (f field) word(text string) string {
	if f.upper {
		text = strings.ToUpper(text)
	}
	fill := " "
	if f.pad == '0' {
		fill = "0"
	}
	return strings.Repeat(fill, max(0, f.width-utf8.RuneCountInString(text))) + text
}

func (f field) number(n, digits int, pad byte) string {
	switch f.pad {
	case '-':
		return strconv.Itoa(n)
	case '_':
		pad = ' '
	case '0':
		pad = '0'
	}
	width := max(digits, f.width)
	if pad == ' ' {
		return fmt.Sprintf("%*d", width, n)
	}
	return fmt.Sprintf("%0*d", width, n)
}
