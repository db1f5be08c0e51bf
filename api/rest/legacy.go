package rest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// The versions before this one, /api/v1 and /external-api/v1, are operations of the document like all others. They
// answer through the methods of their successors where the shapes agree. legacy_graphs.go, legacy_executions.go,
// legacy_keys.go and legacy_store.go hold them.

// legacyMax is the default size of pages that come without "pagination".
const legacyMax = 250

// superseded tells of an operation that has a successor ("x-successor") which one that is: its path, with the variables
// that the request's path gives.
func superseded(doc *Document) mux.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a := doc.accessOf(r); a.successor != "" {
				succeeded(w, a.successorAt(mux.Vars(r)))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// successorAt is the path of the successor with the variables of a request's.
func (a access) successorAt(variables map[string]string) string {
	path := a.successor
	for name, value := range variables {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return path
}

// succeeded says what takes the place of the path that was asked for.
func succeeded(w http.ResponseWriter, successor string) {
	w.Header().Set("Deprecation", "true")
	w.Header().Set("Link", "<"+successor+`>; rel="successor-version"`)
}

// legacyRoots are the paths under which all is superseded, also what is not there.
var legacyRoots = []string{"/api/v1", "/external-api/v1"}

func isLegacy(path string) bool {
	return slices.ContainsFunc(legacyRoots, func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") })
}

// legacyPage is a page of a list that comes without "pagination".
func legacyPage(number *Page, size *PageSizeV1) page {
	p := pageOf(number, size)
	if size == nil {
		p.size = legacyMax
	}
	return p
}
