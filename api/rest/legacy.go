package rest

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/mux"
)

// The versions before this one: /api/v1 and /external-api/v1. Each of their operations has a successor in the document,
// whose credential, permissions, limits, checks and audit it is served under; where its shape differs, a function of
// legacy_shapes.go takes the place of the successor's handler.

// legacyRoute is an operation of an earlier version. Its path's variables fill those of the successor; a variable that
// the successor's path lacks becomes a parameter of the query.
type legacyRoute struct {
	method, path string
	successor    string
	shape        legacyShape // nil: the shapes agree
}

// legacyShape serves an operation of an earlier version.
type legacyShape func(s *server, w http.ResponseWriter, c *legacyCall) error

// legacyCall is a request of an earlier version, after all checks of its successor.
type legacyCall struct {
	*http.Request
	vars  map[string]string // of the earlier path, as they are meant
	shape legacyShape
	next  http.Handler // of the successor
}

var legacyRoutes = []legacyRoute{
	{"GET", "/api/v1/blocks", "/api/v2/builder/blocks", legacyBlocks},
	{"GET", "/api/v1/graphs", "/api/v2/builder/graphs", legacyGraphs},
	{"POST", "/api/v1/graphs", "/api/v2/builder/graphs", nil},
	{"GET", "/api/v1/graphs/{graph_id}", "/api/v2/builder/graphs/{graph_id}", nil},
	{"PUT", "/api/v1/graphs/{graph_id}", "/api/v2/builder/graphs/{graph_id}", nil},
	{"DELETE", "/api/v1/graphs/{graph_id}", "/api/v2/builder/graphs/{graph_id}", legacyGraphDeletion},
	{"GET", "/api/v1/graphs/{graph_id}/versions", "/api/v2/builder/graphs/{graph_id}/versions", legacyGraphVersions},
	{"PUT", "/api/v1/graphs/{graph_id}/versions/active", "/api/v2/builder/graphs/{graph_id}/versions/active", nil},
	{"GET", "/api/v1/graphs/{graph_id}/versions/{version}", "/api/v2/builder/graphs/{graph_id}", nil},
	{"POST", "/api/v1/graphs/{graph_id}/execute/{version}", "/api/v2/builder/graphs/{graph_id}/execute", legacyExecution("inputs")},
	{"GET", "/api/v1/graphs/{graph_id}/executions", "/api/v2/executions", legacyGraphExecutions},
	{"GET", "/api/v1/graphs/{graph_id}/executions/{execution_id}", "/api/v2/executions/{execution_id}", legacyDetails},
	{"POST", "/api/v1/graphs/{graph_id}/executions/{execution_id}/stop", "/api/v2/executions/{execution_id}/stop", legacyStop},
	{"GET", "/api/v1/executions", "/api/v2/executions", legacyExecutions},
	{"DELETE", "/api/v1/executions/{execution_id}", "/api/v2/executions/{execution_id}", nil},
	{"POST", "/api/v1/files/upload", "/api/v2/files/upload", nil},
	{"GET", "/api/v1/api-keys", "/api/v2/api-keys", legacyKeys},
	{"POST", "/api/v1/api-keys", "/api/v2/api-keys", legacyNewKey},
	{"GET", "/api/v1/api-keys/{key_id}", "/api/v2/api-keys/{key_id}", nil},
	{"DELETE", "/api/v1/api-keys/{key_id}", "/api/v2/api-keys/{key_id}", legacyKeyRevocation},
	{"POST", "/api/v1/api-keys/{key_id}/suspend", "/api/v2/api-keys/{key_id}/suspend", nil},
	{"PUT", "/api/v1/api-keys/{key_id}/permissions", "/api/v2/api-keys/{key_id}", legacyKeyPermissions},

	{"GET", "/external-api/v1/blocks", "/api/v2/builder/blocks", legacyBlocks},
	{"POST", "/external-api/v1/graphs", "/api/v2/builder/graphs", nil},
	{"POST", "/external-api/v1/graphs/{graph_id}/execute/{version}", "/api/v2/builder/graphs/{graph_id}/execute", legacyExecution("node_input")},
	{"GET", "/external-api/v1/graphs/{graph_id}/executions/{execution_id}/results", "/api/v2/executions/{execution_id}", legacyResults},
	{"GET", "/external-api/v1/store/agents", "/api/v2/store/agents", nil},
	{"GET", "/external-api/v1/store/agents/{username}/{slug}", "/api/v2/store/agents/{username}/{slug}", nil},
	{"GET", "/external-api/v1/store/creators", "/api/v2/store/creators", nil},
	{"GET", "/external-api/v1/store/creators/{username}", "/api/v2/store/creators/{username}", nil},
}

type legacyKey struct{}

// routeLegacy serves the earlier versions: each request becomes one of the successor, which router has.
func routeLegacy(router *mux.Router) {
	for _, route := range legacyRoutes {
		router.HandleFunc(route.path, func(w http.ResponseWriter, r *http.Request) {
			call := &legacyCall{vars: map[string]string{}, shape: route.shape}
			path, query := route.successor, r.URL.RawQuery
			for name, raw := range mux.Vars(r) {
				value, err := url.PathUnescape(raw)
				if err != nil {
					value = raw // net/http has refused such paths
				}
				call.vars[name] = value
				if variable := "{" + name + "}"; strings.Contains(path, variable) {
					path = strings.ReplaceAll(path, variable, raw)
				} else if route.method == http.MethodGet {
					more := r.URL.Query()
					more.Set(name, value)
					query = more.Encode()
				}
			}
			w.Header().Set("Deprecation", "true")
			w.Header().Set("Link", "<"+path+`>; rel="successor-version"`)
			in := r.WithContext(context.WithValue(r.Context(), legacyKey{}, call))
			target := *r.URL
			target.RawPath, target.RawQuery = path, query
			target.Path, _ = url.PathUnescape(path)
			in.URL = &target
			router.ServeHTTP(w, in)
		}).Methods(route.method)
	}
}

// inShape lets the function of an earlier version's operation take the place of its successor's handler.
func (s *server) inShape(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, ok := r.Context().Value(legacyKey{}).(*legacyCall)
		if !ok || call.shape == nil {
			next.ServeHTTP(w, r)
			return
		}
		call.Request, call.next = r, next
		if err := call.shape(s, w, call); err != nil {
			s.failed(w, r, err)
		}
	})
}
