package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// PinSchemer may be implemented by an input struct to give the whole schema of some of its pins; nil leaves a pin to
// its tags.
type PinSchemer interface {
	PinSchema(pin string) json.RawMessage
}

var nullSchema = json.RawMessage(`{"type":"null"}`)

// properties reads the fields of a struct, embedded structs in place.
func (r *reflection) properties(t reflect.Type, path []int) ([]field, error) {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), path...), i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			embedded, err := r.properties(f.Type, index)
			if err != nil {
				return nil, err
			}
			fields = append(fields, embedded...)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		property, err := r.property(f)
		if err != nil {
			return nil, fmt.Errorf("input field %s.%s: %w", t, f.Name, err)
		}
		property.name, property.index = name, index
		if property.credentials == nil {
			property.untyped = untyped(f.Type, 0)
		}
		fields = append(fields, property)
	}
	return fields, nil
}

// property makes the schema of one field: its type, then what the tags say about it.
func (r *reflection) property(f reflect.StructField) (field, error) {
	var p field
	var err error
	if isCredentials(f.Type) {
		// Its schema waits for what the input struct says of it.
		if p.notes, err = annotations(f.Tag); err == nil {
			p.credentials, err = credentialsOf(f)
		}
		return p, err
	}
	if p.required, err = boolean(f.Tag, "required"); err != nil {
		return p, err
	}
	branches, err := r.branches(f)
	if err != nil {
		return p, err
	}
	if err := r.constrain(f, branches); err != nil {
		return p, err
	}
	schema := branches[0]
	if len(branches) > 1 {
		schema = objectOf([]member{{"anyOf", encodeSchemas(branches)}})
	}
	notes, err := annotations(f.Tag)
	if err != nil {
		return p, err
	}
	if !p.required {
		if p.fallback, err = fallback(f); err != nil {
			return p, err
		}
		if p.fallback != nil {
			notes = append(notes, member{"default", p.fallback})
		}
	} else if _, ok := f.Tag.Lookup("default"); ok {
		return p, errors.New("a required pin has no default")
	}
	p.schema = extend(schema, notes)
	return p, nil
}

// branches are the types that a field takes: one, or those of an anyOf.
func (r *reflection) branches(f reflect.StructField) ([]json.RawMessage, error) {
	if raw, ok := f.Tag.Lookup("schema"); ok {
		if !isObject([]byte(raw)) {
			return nil, fmt.Errorf("tag schema: not a JSON object: %s", raw)
		}
		return []json.RawMessage{json.RawMessage(raw)}, nil
	}
	if names, ok := f.Tag.Lookup("type"); ok {
		var branches []json.RawMessage
		for name := range strings.SplitSeq(names, "|") {
			schema, err := named(strings.TrimSpace(name))
			if err != nil {
				return nil, err
			}
			branches = append(branches, schema)
		}
		return branches, nil
	}
	if f.Type.Kind() == reflect.Pointer {
		schema, err := r.typeSchema(f.Type.Elem())
		return []json.RawMessage{schema, nullSchema}, err
	}
	schema, err := r.typeSchema(f.Type)
	return []json.RawMessage{schema}, err
}

func named(name string) (json.RawMessage, error) {
	switch name {
	case "string", "integer", "number", "boolean", "null":
		return objectOf([]member{{"type", mustEncode(name)}}), nil
	case "array":
		return json.RawMessage(`{"type":"array","items":{}}`), nil
	case "object":
		return json.RawMessage(`{"type":"object","additionalProperties":true}`), nil
	}
	return nil, fmt.Errorf("tag type: %q is none of string, integer, number, boolean, array, object, null", name)
}

// constrain adds what limits values to the branches that it applies to.
func (r *reflection) constrain(f reflect.StructField, branches []json.RawMessage) error {
	var limits []member
	if list, ok := f.Tag.Lookup("enum"); ok {
		options, err := enum(f, list)
		if err != nil {
			return err
		}
		limits = append(limits, member{"enum", options})
	}
	for _, key := range []string{"format", "pattern"} {
		if text, ok := f.Tag.Lookup(key); ok {
			limits = append(limits, member{key, mustEncode(text)})
		}
	}
	for _, key := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"} {
		if text, ok := f.Tag.Lookup(key); ok {
			if _, err := strconv.ParseFloat(text, 64); err != nil || !json.Valid([]byte(text)) {
				return fmt.Errorf("tag %s: %q is no number", key, text)
			}
			limits = append(limits, member{key, json.RawMessage(text)})
		}
	}
	if len(limits) == 0 {
		return nil
	}
	for i, branch := range branches {
		if string(branch) != string(nullSchema) {
			branches[i] = extend(branch, limits)
		}
	}
	return nil
}

// enum reads a comma-separated list: numbers where the field is a number, text otherwise.
func enum(f reflect.StructField, list string) (json.RawMessage, error) {
	var options []json.RawMessage
	for option := range strings.SplitSeq(list, ",") {
		if isNumber(f.Type) {
			if !json.Valid([]byte(option)) {
				return nil, fmt.Errorf("tag enum: %q is no number", option)
			}
			options = append(options, json.RawMessage(option))
			continue
		}
		options = append(options, mustEncode(option))
	}
	return encodeSchemas(options), nil
}

// annotations are what people and forms are told about a pin.
func annotations(tag reflect.StructTag) ([]member, error) {
	var notes []member
	for _, key := range []string{"title", "doc", "placeholder"} {
		if text, ok := tag.Lookup(key); ok {
			name := key
			if key == "doc" {
				name = "description"
			}
			notes = append(notes, member{name, mustEncode(text)})
		}
	}
	for _, key := range []string{"advanced", "secret", "hidden"} {
		if _, ok := tag.Lookup(key); ok {
			value, err := boolean(tag, key)
			if err != nil {
				return nil, err
			}
			notes = append(notes, member{key, mustEncode(value)})
		}
	}
	if list, ok := tag.Lookup("depends_on"); ok {
		notes = append(notes, member{"depends_on", mustEncode(strings.Split(list, ","))})
	}
	return notes, nil
}

// fallback is the value of an absent pin: the tag's, else what Go gives an empty field, nil where that says nothing.
func fallback(f reflect.StructField) (json.RawMessage, error) {
	t := f.Type
	text, ok := f.Tag.Lookup("default")
	if !ok {
		switch {
		case t == rawType, t.Kind() == reflect.Interface, t.Kind() == reflect.Pointer:
			return json.RawMessage("null"), nil
		case t == numberType:
			return json.RawMessage("0"), nil
		case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
			return json.RawMessage("[]"), nil
		case t.Kind() == reflect.Map:
			return json.RawMessage("{}"), nil
		case t.Kind() == reflect.String, t.Kind() == reflect.Bool, isNumber(t):
			return encode(reflect.Zero(t).Interface())
		}
		return nil, nil
	}
	value := json.RawMessage(text)
	if t.Kind() == reflect.Pointer && text != "null" {
		t = t.Elem()
	}
	if t.Kind() == reflect.String && t != numberType || !json.Valid(value) && (t == rawType || t.Kind() == reflect.Interface) {
		value = mustEncode(text)
	}
	if !json.Valid(value) {
		return nil, fmt.Errorf("tag default: %q is not JSON", text)
	}
	if err := unmarshal(value, reflect.New(f.Type), false); err != nil {
		return nil, fmt.Errorf("tag default: %w", err)
	}
	return value, nil
}

// reflection makes the schemas of the types of one input.
type reflection struct {
	inside []reflect.Type // the structs that are being described, outermost first
	err    error          // jsonschema's mapper cannot return one
}

func (r *reflection) typeSchema(t reflect.Type) (schema json.RawMessage, err error) {
	// jsonschema panics at types that have no JSON, such as functions.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	reflector := jsonschema.Reflector{Anonymous: true, DoNotReference: true, Mapper: r.mapped}
	s := reflector.ReflectFromType(t)
	s.Version = ""
	if r.err != nil {
		return nil, r.err
	}
	return encode(s)
}

// mapped gives the schemas where jsonschema's own differ from what the server expects.
func (r *reflection) mapped(t reflect.Type) *jsonschema.Schema {
	switch {
	case isAny(t):
		return anySchema()
	case t == numberType:
		return &jsonschema.Schema{Type: "number"}
	case t.Kind() == reflect.Map && isAny(t.Elem()):
		return &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.TrueSchema}
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() && t != reflect.TypeFor[url.URL]() && !reflect.PointerTo(t).Implements(customType):
		return r.structSchema(t)
	}
	return nil
}

func (r *reflection) structSchema(t reflect.Type) *jsonschema.Schema {
	for _, outer := range r.inside {
		if outer == t {
			r.err = fmt.Errorf("%s contains itself: use json.RawMessage with a schema tag", t)
			return anySchema()
		}
	}
	r.inside = append(r.inside, t)
	defer func() { r.inside = r.inside[:len(r.inside)-1] }()
	fields, err := r.properties(t, nil)
	if err != nil {
		r.err = err
		return anySchema()
	}
	for _, f := range fields {
		if f.credentials != nil {
			r.err = fmt.Errorf("%s.%s: credentials are a pin of the block itself", t, f.name)
			return anySchema()
		}
	}
	s := &jsonschema.Schema{Type: "object", Extras: map[string]any{}}
	for _, m := range propertiesOf(fields) {
		s.Extras[m.key] = m.value
	}
	return s
}

// anySchema marshals as {}; a Schema without Extras would become true.
func anySchema() *jsonschema.Schema { return &jsonschema.Schema{Extras: map[string]any{}} }

// propertiesOf are the members "properties" and "required" of an object with these fields.
func propertiesOf(fields []field) []member {
	properties := make([]member, 0, len(fields))
	var required []string
	for _, f := range fields {
		if f.credentials != nil && f.credentials.Inside != "" {
			continue
		}
		properties = append(properties, member{f.name, f.schema})
		if f.required {
			required = append(required, f.name)
		}
	}
	members := []member{{"properties", objectOf(properties)}}
	if required != nil {
		members = append(members, member{"required", mustEncode(required)})
	}
	return members
}

var (
	rawType    = reflect.TypeFor[json.RawMessage]()
	numberType = reflect.TypeFor[json.Number]()
	customType = reflect.TypeFor[interface{ JSONSchema() *jsonschema.Schema }]()
)

func isAny(t reflect.Type) bool { return t == rawType || t.Kind() == reflect.Interface }

func isNumber(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == numberType || t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 && t.Kind() != reflect.Uintptr
}

func boolean(tag reflect.StructTag, key string) (bool, error) {
	text, ok := tag.Lookup(key)
	if !ok {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("tag %s: %q is neither true nor false", key, text)
	}
	return value, nil
}

// extend appends members to an object.
func extend(object json.RawMessage, members []member) json.RawMessage {
	if len(members) == 0 {
		return object
	}
	more := objectOf(members)
	body := strings.TrimSpace(string(object))
	body = strings.TrimSpace(body[1 : len(body)-1])
	if body == "" {
		return more
	}
	return json.RawMessage("{" + body + "," + string(more[1:]))
}

// encodeSchemas writes a list of values that are known to be valid.
func encodeSchemas(list []json.RawMessage) json.RawMessage {
	return mustEncode(list)
}
