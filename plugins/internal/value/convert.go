package value

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Convert makes a value fit a kind by the rules of coercion. What is of the kind already comes back as it is, except
// a number: it becomes a float.
func Convert(raw json.RawMessage, to Kind) (json.RawMessage, error) {
	from := KindOf(raw)
	switch to {
	case String:
		if from == String {
			return raw, nil
		}
		return FromText(JSONText(raw)), nil
	case Number:
		if from == String {
			if _, ok := NonFinite(Text(raw)); ok {
				return nil, errors.New("JSON has no number that is infinite or none")
			}
		}
		return toFloat(raw), nil
	case Bool:
		if from == String {
			text := strings.ToLower(Text(raw))
			return FromBool(text == "true" || text == "1"), nil
		}
		return FromBool(Truthy(raw)), nil
	case List:
		return toList(raw), nil
	case Object:
		return toObject(raw), nil
	default:
		return nil, fmt.Errorf("no value converts to %s", to)
	}
}

// toFloat keeps all digits of what is a number; what is none counts as zero.
func toFloat(raw json.RawMessage) json.RawMessage {
	number := json.RawMessage("0")
	switch KindOf(raw) {
	case Number:
		number = raw
	case Bool:
		if raw[0] == 't' {
			number = json.RawMessage("1")
		}
	case List:
		number = FromInt(Len(raw))
	case Object:
		number = FromInt(Keys(raw))
	case String:
		if parsed, ok := ParseNumber(Text(raw)); ok {
			number = parsed
		}
	}
	if IsInteger(number) {
		return append(append(json.RawMessage{}, number...), ".0"...)
	}
	return number
}

func toList(raw json.RawMessage) json.RawMessage {
	switch KindOf(raw) {
	case List:
		return raw
	case Object:
		var pairs []json.RawMessage
		for _, member := range Members(raw) {
			pairs = append(pairs, ListOf([]json.RawMessage{member.RawKey, member.Value}))
		}
		return ListOf(pairs)
	case String:
		text := strings.TrimFunc(Text(raw), IsSpace)
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			if list, ok := Parse(text); ok {
				return list
			}
		}
		return ListOf([]json.RawMessage{FromText(text)})
	default:
		return ListOf([]json.RawMessage{raw})
	}
}

func toObject(raw json.RawMessage) json.RawMessage {
	content := raw
	switch KindOf(raw) {
	case Object:
		return raw
	case List:
		var members []Member
		for i, element := range Elements(raw) {
			members = append(members, Member{FromText(strconv.Itoa(i)), element})
		}
		return ObjectOf(members)
	case String:
		if parsed, ok := Parse(Text(raw)); ok {
			if KindOf(parsed) == Object {
				return parsed
			}
			content = parsed
		}
	}
	return ObjectOf([]Member{{json.RawMessage(`"value"`), content}})
}

// JSONText is the value as Python's json.dumps writes it: ", " and ": " between, everything beyond ASCII escaped.
func JSONText(raw json.RawMessage) string {
	var text strings.Builder
	text.Grow(len(raw) + len(raw)/8)
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			end := i + stringEnd(raw[i:])
			writeString(&text, raw[i+1:end-1])
			i = end
		case c == ',' || c == ':':
			text.WriteByte(c)
			text.WriteByte(' ')
			i++
		case c == '-' || isDigit(c):
			end := i
			for end < len(raw) && strings.IndexByte("+-.eE0123456789", raw[end]) >= 0 {
				end++
			}
			text.WriteString(NumberText(raw[i:end]))
			i = end
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		default:
			text.WriteByte(c)
			i++
		}
	}
	return text.String()
}

func writeString(text *strings.Builder, body []byte) {
	text.WriteByte('"')
	for unit := range units(body) {
		switch {
		case unit == '"' || unit == '\\':
			text.WriteByte('\\')
			text.WriteRune(unit)
		case unit == '\n':
			text.WriteString(`\n`)
		case unit == '\r':
			text.WriteString(`\r`)
		case unit == '\t':
			text.WriteString(`\t`)
		case unit == '\b':
			text.WriteString(`\b`)
		case unit == '\f':
			text.WriteString(`\f`)
		case unit >= 0x10000:
			unit -= 0x10000
			fmt.Fprintf(text, `\u%04x\u%04x`, 0xd800+unit>>10, 0xdc00+unit&0x3ff)
		case unit < ' ' || unit > '~' && unit != 0x7f:
			fmt.Fprintf(text, `\u%04x`, unit)
		default:
			text.WriteRune(unit)
		}
	}
	text.WriteByte('"')
}

// IsSpace is Python's white space: Unicode's, and the four separators of ASCII.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
