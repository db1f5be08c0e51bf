package rest

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gorilla/mux"

	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// checked lets only requests through that the document allows: parameters in full, bodies too unless the operation
// declares "x-body: envelope". Such bodies hold values and may be large; of them only that they are one JSON document
// is looked at, and their handlers look at the fields. A form ("x-body: multipart") is left to its handler, which reads it
// as it comes.
func (s *server) checked(doc *Document, maxBody int64) mux.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			template, err := mux.CurrentRoute(r).GetPathTemplate()
			if err != nil {
				s.failed(w, r, err)
				return
			}
			route := doc.routes[routeKey{template, r.Method}]
			joinLists(r.Header)
			if err := checkParameters(r, route); err != nil {
				leaveBody(w, r)
				s.failed(w, r, err)
				return
			}
			if route.Operation.Extensions["x-body"] == "multipart" {
				if r, err = inPieces(w, r); err != nil {
					s.failed(w, r, err)
					return
				}
			} else if route.Operation.RequestBody != nil {
				if r, err = s.withBody(w, r, route.Operation.RequestBody.Value.Required, maxBody); err != nil {
					s.failed(w, r, err)
					return
				}
				if route.Operation.Extensions["x-body"] == "envelope" {
					r.Body = noMembers() // generated code would scan and copy a body again that its handler takes from bodyOf
				} else if err := checkBody(r, route); err != nil {
					s.failed(w, r, err)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// decoded gives operations the variables of the path as they were before they were put into it. What no name can hold stays
// as it came, and is the name of nothing.
func decoded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		variables := mux.Vars(r)
		for name, value := range variables {
			if plain, err := url.PathUnescape(value); err == nil && utf8.ValidString(plain) && !strings.ContainsRune(plain, 0) {
				variables[name] = plain
			}
		}
		next.ServeHTTP(w, r)
	})
}

// joinLists makes one line of headers that may come in several; generated code takes no more than one.
func joinLists(h http.Header) {
	for _, name := range []string{"Prefer", "If-Match", "If-None-Match"} {
		if values := h.Values(name); len(values) > 1 {
			h.Set(name, strings.Join(values, ", "))
		}
	}
}

func checkParameters(r *http.Request, route *routers.Route) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil && takesQuery(route) {
		return problem.Field("query", "the query string cannot be read")
	}
	if route.Operation.Extensions["x-query"] == "closed" {
		for _, name := range slices.Sorted(maps.Keys(query)) {
			if route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
				return problem.Field(name, "there is no parameter of this name")
			}
		}
	}
	// The validator reads the body before it looks at security, however large the body is.
	bodiless := r.WithContext(r.Context())
	bodiless.Body = http.NoBody
	return fieldProblem(openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: bodiless, QueryParams: query, PathParams: mux.Vars(r), Route: route,
		Options: &openapi3filter.Options{
			MultiError: true, SkipSettingDefaults: true, ExcludeRequestBody: true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	}))
}

// takesQuery says whether an operation looks at the query at all; what is unknown there is ignored, unless the operation
// declares "x-query: closed".
func takesQuery(route *routers.Route) bool {
	for _, p := range append(slices.Clone(route.PathItem.Parameters), route.Operation.Parameters...) {
		if p.Value.In == openapi3.ParameterInQuery {
			return true
		}
	}
	return false
}

func checkBody(r *http.Request, route *routers.Route) error {
	if jsonscan.HasLoneSurrogate(bodyOf(r.Context())) {
		return problem.Field("body", "must not contain half of a surrogate pair")
	}
	return fieldProblem(openapi3filter.ValidateRequestBody(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, Route: route,
		Options: &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true},
	}, route.Operation.RequestBody.Value))
}

func fieldProblem(err error) error {
	if err == nil {
		return nil
	}
	fields := map[string]string{}
	collect(err, "", fields)
	return problem.Fields(fields)
}

// collect goes through what the validator found and keeps the first finding of each field.
func collect(err error, field string, fields map[string]string) {
	add := func(message string) {
		if field == "" {
			field = "body"
		}
		if _, known := fields[field]; !known {
			fields[field] = message
		}
	}
	var request *openapi3filter.RequestError
	switch e := err.(type) {
	case openapi3.MultiError:
		for _, one := range e {
			collect(one, field, fields)
		}
	case *openapi3filter.RequestError:
		request = e
		if request.Parameter != nil {
			field = request.Parameter.Name
		}
		if request.Err != nil {
			collect(request.Err, field, fields)
			return
		}
		add(request.Reason)
	case *openapi3.SchemaError:
		if pointer := e.JSONPointer(); len(pointer) > 0 && field == "" {
			field = strings.Join(pointer, ".")
		}
		add(reason(e))
	case *openapi3filter.ParseError:
		add("has the wrong form")
	default:
		if errors.Is(err, openapi3filter.ErrInvalidRequired) || errors.Is(err, openapi3filter.ErrInvalidEmptyValue) {
			add("a value is required")
			return
		}
		add("has the wrong form")
	}
}

// reason is what a value does not do; the validator's own text writes limits as 2.147483647e+09.
func reason(e *openapi3.SchemaError) string {
	limit := func(n *float64) string { return strconv.FormatFloat(*n, 'f', -1, 64) }
	switch {
	case e.SchemaField == "minimum" && e.Schema.Min != nil:
		return "must be at least " + limit(e.Schema.Min)
	case e.SchemaField == "maximum" && e.Schema.Max != nil:
		return "must be at most " + limit(e.Schema.Max)
	default:
		return e.Reason
	}
}
