package block

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shapeKind is what coercion knows of a type.
type shapeKind byte

const (
	shapeAny    shapeKind = iota
	shapeOpaque           // never coerced: enums, literals, structured models, dates
	shapeNull
	shapeString
	shapeInteger
	shapeNumber
	shapeBoolean
	shapeList
	shapeMap
	shapeUnion
)

// shape is a JSON Schema reduced to what coercion decides by. exact says that the shape is all that the schema asks
// for, so that a value can be checked without decoding it.
type shape struct {
	kind    shapeKind
	elem    *shape   // list and map: nil for any
	members []*shape // union
	schema  *jsonschema.Schema
	exact   bool
}

var anyShape = &shape{kind: shapeAny, exact: true}

// annotations are the keywords that never refuse a value. A format does so only for dates and times.
var annotations = map[string]bool{
	"title": true, "description": true, "default": true, "examples": true, "example": true, "deprecated": true,
	"readOnly": true, "writeOnly": true, "$comment": true, "placeholder": true, "secret": true, "advanced": true,
	"hidden": true, "depends_on": true, "discriminator": true, "discriminator_mapping": true,
	"discriminator_values": true, "credentials_provider": true, "credentials_types": true, "credentials_scopes": true,
	"format": true,
}

// dateFormats are the formats that are checked, and whose values are never coerced.
var dateFormats = map[string]bool{"date": true, "time": true, "date-time": true}

// shaper reduces the schemas of one document.
type shaper struct {
	root    json.RawMessage                                  // for local references
	compile func(pointer string) (*jsonschema.Schema, error) // of the same document
}

// maxSchemaDepth bounds references that lead in circles; below it a type is opaque.
const maxSchemaDepth = 24

// shape reduces the schema at pointer.
func (s *shaper) shape(schema json.RawMessage, pointer string, depth int) (*shape, error) {
	compiled, err := s.compile(pointer)
	if err != nil {
		return nil, err
	}
	sh, err := s.reduce(schema, pointer, depth)
	if err != nil {
		return nil, err
	}
	if sh == anyShape {
		return sh, nil
	}
	if sh.kind == shapeAny {
		sh.exact = false // keywords without a type
	}
	sh.schema = compiled
	return sh, nil
}

func (s *shaper) reduce(schema json.RawMessage, pointer string, depth int) (*shape, error) {
	if depth > maxSchemaDepth {
		return &shape{kind: shapeOpaque}, nil
	}
	if jsonscan.KindOf(schema) != jsonscan.Object {
		if string(jsonscan.Trim(schema)) == "true" {
			return anyShape, nil
		}
		return &shape{kind: shapeOpaque}, nil
	}
	fields := map[string]json.RawMessage{}
	exact, constraining := true, false
	for k, v := range jsonscan.Members(schema) {
		key := jsonscan.Unquote(k)
		fields[key] = v
		if annotations[key] {
			continue
		}
		constraining = true
		switch key {
		case "type", "items", "additionalProperties", "anyOf", "oneOf", "$ref":
		default:
			exact = false
		}
	}
	if !constraining {
		return anyShape, nil
	}
	if ref, ok := fields["$ref"]; ok {
		target, at, ok := s.resolve(jsonscan.Unquote(ref))
		if !ok {
			return &shape{kind: shapeOpaque}, nil
		}
		sh, err := s.shape(target, at, depth+1)
		if err != nil {
			return nil, err
		}
		copied := *sh
		copied.exact = sh.exact && exact && len(withoutAnnotations(fields)) == 1
		return &copied, nil
	}
	if fields["enum"] != nil || fields["const"] != nil {
		return &shape{kind: shapeOpaque}, nil
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if list, ok := fields[key]; ok {
			// oneOf refuses a value of which two members approve; that only the schema can tell.
			exact = exact && key == "anyOf" && len(withoutAnnotations(fields)) == 1
			return s.union(list, pointer+"/"+key, exact, depth)
		}
	}
	if all, ok := fields["allOf"]; ok && jsonscan.Len(all) == 1 {
		only, _ := jsonscan.At(all, 0)
		sh, err := s.shape(only, pointer+"/allOf/0", depth+1)
		if err != nil {
			return nil, err
		}
		copied := *sh
		copied.exact = false
		return &copied, nil
	} else if ok {
		return &shape{kind: shapeOpaque}, nil
	}
	types := fields["type"]
	if jsonscan.KindOf(types) == jsonscan.Array {
		union := &shape{kind: shapeUnion, exact: exact}
		for t := range jsonscan.Elements(types) {
			member, err := s.typed(jsonscan.Unquote(t), fields, pointer, exact, depth)
			if err != nil {
				return nil, err
			}
			union.exact = union.exact && member.exact
			union.members = append(union.members, member)
		}
		return union, nil
	}
	if types == nil {
		return &shape{kind: shapeAny}, nil
	}
	return s.typed(jsonscan.Unquote(types), fields, pointer, exact, depth)
}

func (s *shaper) union(list json.RawMessage, pointer string, exact bool, depth int) (*shape, error) {
	union := &shape{kind: shapeUnion, exact: exact}
	i := 0
	for member := range jsonscan.Elements(list) {
		sh, err := s.shape(member, fmt.Sprintf("%s/%d", pointer, i), depth+1)
		if err != nil {
			return nil, err
		}
		union.exact = union.exact && sh.exact
		union.members = append(union.members, sh)
		i++
	}
	return union, nil
}

// typed is the shape of one named type with the other keywords of its schema.
func (s *shaper) typed(name string, fields map[string]json.RawMessage, pointer string, exact bool, depth int) (*shape, error) {
	sh := &shape{exact: exact}
	switch name {
	case "string":
		if dateFormats[jsonscan.Unquote(fields["format"])] {
			return &shape{kind: shapeOpaque}, nil
		}
		sh.kind = shapeString
	case "integer":
		sh.kind = shapeInteger
	case "number":
		sh.kind = shapeNumber
	case "boolean":
		sh.kind = shapeBoolean
	case "null":
		sh.kind = shapeNull
	case "array":
		return sh, s.inner(sh, shapeList, fields["items"], pointer+"/items", depth)
	case "object":
		if jsonscan.Len(fields["properties"]) > 0 {
			return &shape{kind: shapeOpaque}, nil
		}
		return sh, s.inner(sh, shapeMap, fields["additionalProperties"], pointer+"/additionalProperties", depth)
	default:
		return &shape{kind: shapeOpaque}, nil
	}
	return sh, nil
}

// inner fills in a container's element type.
func (s *shaper) inner(sh *shape, kind shapeKind, elem json.RawMessage, pointer string, depth int) error {
	sh.kind = kind
	if elem == nil || string(jsonscan.Trim(elem)) == "true" {
		return nil
	}
	if jsonscan.KindOf(elem) != jsonscan.Object { // false, or a list of schemas in old drafts
		sh.exact = false
		return nil
	}
	e, err := s.shape(elem, pointer, depth+1)
	if err != nil {
		return err
	}
	sh.exact = sh.exact && e.exact
	if e.kind != shapeAny || !e.exact {
		sh.elem = e
	}
	return nil
}

// resolve follows a reference within the document.
func (s *shaper) resolve(ref string) (target json.RawMessage, pointer string, ok bool) {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, "", false
	}
	at := s.root
	for part := range strings.SplitSeq(path, "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		next, ok := jsonscan.Find(at, part)
		if !ok {
			return nil, "", false
		}
		at = next
	}
	return at, "/" + path, true
}

func withoutAnnotations(fields map[string]json.RawMessage) []string {
	var keys []string
	for k := range fields {
		if !annotations[k] {
			keys = append(keys, k)
		}
	}
	return keys
}

// accepts says whether v is of the type. Coercion asks strictly: 3.0 satisfies integer for a check and not for it,
// since 3.0 becomes 3.
func (sh *shape) accepts(v []byte, strict bool) bool {
	kind := jsonscan.KindOf(v)
	switch sh.kind {
	case shapeAny:
		return sh.exact || sh.valid(v)
	case shapeNull:
		return kind == jsonscan.Null
	case shapeString:
		return kind == jsonscan.String
	case shapeBoolean:
		return kind == jsonscan.Bool
	case shapeNumber:
		return kind == jsonscan.Number
	case shapeInteger:
		if kind != jsonscan.Number {
			return false
		}
		if plainInteger(jsonscan.Trim(v)) {
			return true
		}
		d, ok := parseDecimal(string(jsonscan.Trim(v)))
		if _, short := d.truncated(); strict && short {
			return false
		}
		return ok && d.integral()
	case shapeList:
		if kind != jsonscan.Array {
			return false
		}
		if sh.elem == nil {
			return true
		}
		for e := range jsonscan.Elements(v) {
			if !sh.elem.accepts(e, strict) {
				return false
			}
		}
		return true
	case shapeMap:
		if kind != jsonscan.Object {
			return false
		}
		if sh.elem == nil {
			return true
		}
		for _, e := range jsonscan.Members(v) {
			if !sh.elem.accepts(e, strict) {
				return false
			}
		}
		return true
	case shapeUnion:
		for _, m := range sh.members {
			if m.accepts(v, strict) {
				return true
			}
		}
		return false
	}
	return sh.valid(v)
}

// valid asks the compiled schema.
func (sh *shape) valid(v []byte) bool {
	if sh.schema == nil {
		return true
	}
	decoded, err := decodeForCheck(v)
	return err == nil && sh.schema.Validate(decoded) == nil
}
