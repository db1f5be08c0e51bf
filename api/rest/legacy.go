package rest

import (
	"net/http"
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
			if successor := doc.accessOf(r).successor; successor != "" {
				for name, value := range mux.Vars(r) {
					successor = strings.ReplaceAll(successor, "{"+name+"}", value)
				}
				w.Header().Set("Deprecation", "true")
				w.Header().Set("Link", "<"+successor+`>; rel="successor-version"`)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// legacyPage is a page of a list that comes without "pagination".
func legacyPage(number *Page, size *PageSizeV1) page {
	p := pageOf(number, size)
	if size == nil {
		p.size = legacyMax
	}
	return p
}
