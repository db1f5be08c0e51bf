package server_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// values makes JSON of schemas, as odd as the schema allows. Where a name is that of something that exists, such as a
// graph, it mostly means one.
type values struct {
	*rand.Rand
	known map[string][]string // identifiers by the names of fields and parameters
}

// oneIn is true once in n times.
func (v *values) oneIn(n int) bool { return v.IntN(n) == 0 }

func pick[E any](v *values, list ...E) E { return list[v.IntN(len(list))] }

// of makes a value that a schema allows. The name is that of the field, empty for what has none.
func (v *values) of(s *openapi3.Schema, name string, depth int) json.RawMessage {
	if s.Nullable && v.oneIn(8) {
		return json.RawMessage("null")
	}
	if len(s.Enum) > 0 {
		return encoded(pick(v, s.Enum...))
	}
	if len(s.AllOf) > 0 {
		whole := openapi3.Schema{Type: &openapi3.Types{"object"}, Properties: openapi3.Schemas{}}
		for _, part := range s.AllOf {
			for name, p := range part.Value.Properties {
				whole.Properties[name] = p
			}
			whole.Required = append(whole.Required, part.Value.Required...)
		}
		return v.of(&whole, name, depth)
	}
	switch {
	case s.Type.Is("string"):
		return v.string(s, name)
	case s.Type.Is("integer"), s.Type.Is("number"):
		return v.number(s, name)
	case s.Type.Is("boolean"):
		return json.RawMessage(pick(v, "true", "false"))
	case s.Type.Is("array"):
		return v.array(s, name, depth)
	case s.Type.Is("object"):
		return v.object(s, depth)
	}
	return v.any(depth)
}

func (v *values) string(s *openapi3.Schema, name string) json.RawMessage {
	if ids := v.known[name]; len(ids) > 0 && !v.oneIn(6) {
		return encoded(pick(v, ids...))
	}
	if s.Format == "date-time" {
		return encoded(pick(v, "2024-01-15T10:30:00Z", "2999-12-31T23:59:59.999999999+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-02-29T00:00:00-12:00"))
	}
	longest := 40
	if s.MaxLength != nil {
		longest = int(min(*s.MaxLength, 10_000))
	}
	length := pick(v, int(s.MinLength), int(s.MinLength)+1, longest, v.IntN(min(longest, 30)+1))
	var b strings.Builder
	b.WriteByte('"')
	odd := v.oneIn(3)
	for range min(max(length, int(s.MinLength)), longest) {
		if odd && v.oneIn(4) {
			b.WriteString(pick(v, `\u0000`, `\n`, `\"`, `\\`, "%", "_", "'", ";", "<", "é", "漢", "😀", "\u202e", "İ", "ß", "\u0301", `\ud83d\ude00`, "/", "..", "$", "{"))
		} else {
			b.WriteByte(byte('a' + v.IntN(26)))
		}
	}
	b.WriteByte('"')
	if v.oneIn(200) {
		return json.RawMessage(`"\ud800"`) // half of a character
	}
	return json.RawMessage(b.String())
}

func (v *values) number(s *openapi3.Schema, name string) json.RawMessage {
	lowest, highest := -math.MaxInt32, math.MaxInt32
	if s.Min != nil {
		lowest = int(*s.Min)
	}
	if s.Max != nil {
		highest = int(*s.Max)
	}
	n := pick(v, lowest, highest, lowest+1, lowest+v.IntN(min(highest-lowest, 20)+1))
	if strings.Contains(name, "version") || name == "page" {
		n = pick(v, 1, 1, 1, 2, 3, n)
	}
	if s.Type.Is("integer") && v.oneIn(10) && n < 1<<20 {
		return json.RawMessage(strconv.Itoa(n) + pick(v, ".0", "e0"))
	}
	return json.RawMessage(strconv.Itoa(n))
}

func (v *values) array(s *openapi3.Schema, name string, depth int) json.RawMessage {
	most := 4
	if s.MaxItems != nil && v.oneIn(10) {
		most = int(min(*s.MaxItems, 20))
	}
	n := max(int(s.MinItems), v.IntN(most+1))
	parts := make([]string, n)
	for i := range parts {
		parts[i] = string(v.of(s.Items.Value, name, depth+1))
	}
	return json.RawMessage("[" + strings.Join(parts, ",") + "]")
}

func (v *values) object(s *openapi3.Schema, depth int) json.RawMessage {
	var parts []string
	for _, name := range sortedNames(s.Properties) {
		if slices.Contains(s.Required, name) || depth < 3 && !v.oneIn(3) {
			parts = append(parts, strconv.Quote(name)+":"+string(v.of(s.Properties[name].Value, name, depth+1)))
		}
	}
	more := s.AdditionalProperties
	if depth < 3 && (more.Schema != nil || more.Has != nil && *more.Has || v.oneIn(10)) {
		for range v.IntN(3) {
			value := v.any(depth + 1)
			if more.Schema != nil {
				value = v.of(more.Schema.Value, "", depth+1)
			}
			parts = append(parts, fmt.Sprintf(`"%s%d":%s`, pick(v, "x", "user_id", "id", "version", "name", "is_featured", "", "data"), v.IntN(3), value))
		}
	}
	return json.RawMessage("{" + strings.Join(parts, ",") + "}")
}

// any is whatever JSON.
func (v *values) any(depth int) json.RawMessage {
	if depth > 3 || !v.oneIn(3) {
		return json.RawMessage(pick(v, "null", "true", "0", "-1", "1e400", "12345678901234567890", "0.1", `""`, `"text"`, `"\u0000"`, "[]", "{}", `"2024-01-15"`))
	}
	if v.oneIn(2) {
		return json.RawMessage("[" + string(v.any(depth+1)) + "," + string(v.any(depth+1)) + "]")
	}
	return json.RawMessage(`{"a":` + string(v.any(depth+1)) + `,"b":` + string(v.any(depth+1)) + `}`)
}

// broken makes of good JSON something that mostly is not allowed.
func (v *values) broken(good json.RawMessage) json.RawMessage {
	text := string(good)
	switch v.IntN(8) {
	case 0:
		return json.RawMessage(text[:v.IntN(len(text)+1)])
	case 1:
		return json.RawMessage(text + pick(v, "x", text, "{}", ",", "\x00", "\xff"))
	case 2:
		return json.RawMessage(strings.Repeat("[", 12_000) + strings.Repeat("]", 12_000))
	case 3:
		return v.any(0)
	}
	// Another value in the place of one of the members.
	var members map[string]json.RawMessage
	if json.Unmarshal(good, &members) != nil || len(members) == 0 {
		return v.any(0)
	}
	names := sortedNames(members)
	name := pick(v, names...)
	if v.oneIn(4) {
		delete(members, name)
	} else {
		members[name] = json.RawMessage(pick(v, "null", "[]", "{}", `""`, "-1", "0", "1.5", "1e400", "99999999999999999999", `"x"`, "true", `[null]`, `{"a":1}`, strconv.Quote(strings.Repeat("y", 20_000))))
	}
	text = "{"
	for i, name := range sortedNames(members) {
		if i > 0 {
			text += ","
		}
		text += strconv.Quote(name) + ":" + string(members[name])
	}
	if v.oneIn(6) {
		text += `,"` + name + `":null`
	}
	return json.RawMessage(text + "}")
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func encoded(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
