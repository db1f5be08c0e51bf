package rest

import (
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
)

// unmatched answers where no route matches: 405 with the methods that the path has, else 404. It asks for no
// credential: that a path exists is no secret, the document is public. It counts all the same. What an earlier version
// does not have is superseded too: by what takes the path's place, or else by what the document has.
func (s *server) unmatched(doc *Document, router *mux.Router, authenticate func(*http.Request) (auth.Principal, error), limited *limited) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		legacy, successor := isLegacy(r.URL.Path), "/openapi.json"
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			probe := r.WithContext(r.Context())
			probe.Method = method
			var match mux.RouteMatch
			if router.Match(probe, &match) && match.MatchErr == nil {
				allowed = append(allowed, method)
				if template, err := match.Route.GetPathTemplate(); err == nil && legacy {
					successor = doc.access[routeKey{template, method}].successorAt(match.Vars)
				}
				if method == http.MethodGet {
					allowed = append(allowed, http.MethodHead)
				}
			}
		}
		if legacy {
			succeeded(w, successor)
		}
		var err error
		if p, unknown := authenticate(r); unknown == nil {
			err = limited.known(w, r, p, access{})
		} else {
			err = limited.anonymous(w, r)
		}
		if err != nil {
			leaveBody(w, r)
			s.failed(w, r, err)
			return
		}
		if len(allowed) == 0 {
			problem.Write(w, problem.NotFound("there is nothing at this path"))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		problem.Write(w, problem.MethodNotAllowed(r.Method))
	})
}
