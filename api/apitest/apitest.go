// Package apitest holds answers of the API against its document, more strictly than clients should: an answer must not
// have a status, a type of content or a field that the document does not name. It is for tests of every layer that has
// answers.
package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Checker checks answers.
type Checker struct {
	Spec   *openapi3.T // whose schemas of answers are closed
	router routers.Router
}

// New reads a document.
func New(document []byte) (*Checker, error) {
	spec, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	spec.Servers = nil
	c := closer{}
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				for _, media := range response.Value.Content {
					media.Schema = c.close(media.Schema)
				}
			}
		}
	}
	router, err := gorillamux.NewRouter(spec)
	if err != nil {
		return nil, err
	}
	return &Checker{Spec: spec, router: router}, nil
}

// ErrUnknown is an answer to a request that no operation of the document takes.
var ErrUnknown = errors.New("no operation of the document takes this")

// Check says what of an answer the document does not have. HEAD is GET without a body.
func (c *Checker) Check(r *http.Request, status int, header http.Header, body []byte) error {
	asked := r.Clone(r.Context())
	if asked.Method == http.MethodHead {
		asked.Method = http.MethodGet
	}
	asked.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	route, _, err := c.router.FindRoute(asked)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	response := route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("the status %d is not documented", status)
	}
	for name, h := range response.Value.Headers {
		if h.Value.Required && header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if len(response.Value.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%d bytes of a body are not documented", len(body))
		}
		return nil
	}
	contentType := header.Get("Content-Type")
	media := response.Value.Content.Get(contentType)
	if media == nil {
		return fmt.Errorf("the type of content %q is not documented", contentType)
	}
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != "application/json" {
		return err // files and the like
	}
	value, err := Decode(body)
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return media.Schema.Value.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors(), openapi3.EnableFormatValidation())
}

// Decode reads JSON as it must be for schemas to be asked; numbers beyond what the validator can hold become 0.
func Decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return inRange(value), nil
}

func inRange(v any) any {
	switch v := v.(type) {
	case json.Number:
		if _, err := strconv.ParseFloat(string(v), 64); err != nil {
			return json.Number("0")
		}
	case []any:
		for i := range v {
			v[i] = inRange(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = inRange(v[name])
		}
	}
	return v
}

// closer makes schemas refuse what they do not name.
type closer map[*openapi3.Schema]*openapi3.SchemaRef

func (c closer) close(ref *openapi3.SchemaRef) *openapi3.SchemaRef {
	if ref == nil || ref.Value == nil {
		return ref
	}
	if known, ok := c[ref.Value]; ok {
		return known
	}
	s := *ref.Value
	out := &openapi3.SchemaRef{Value: &s}
	c[ref.Value] = out
	if len(s.AllOf) > 0 {
		s.Type, s.Properties, s.AllOf = &openapi3.Types{openapi3.TypeObject}, openapi3.Schemas{}, nil
		for _, part := range ref.Value.AllOf {
			closed := c.close(part).Value
			for name, p := range closed.Properties {
				s.Properties[name] = p
			}
			s.Required = append(s.Required, closed.Required...)
		}
	} else if len(s.Properties) > 0 {
		s.Properties = openapi3.Schemas{}
		for name, p := range ref.Value.Properties {
			s.Properties[name] = c.close(p)
		}
	}
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		no := false
		s.AdditionalProperties.Has = &no
	}
	s.AdditionalProperties.Schema = c.close(s.AdditionalProperties.Schema)
	s.Items = c.close(s.Items)
	for _, list := range []*openapi3.SchemaRefs{&s.AnyOf, &s.OneOf} {
		closed := make(openapi3.SchemaRefs, len(*list))
		for i, one := range *list {
			closed[i] = c.close(one)
		}
		*list = closed
	}
	return out
}
