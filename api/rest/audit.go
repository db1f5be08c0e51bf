package rest

import (
	"context"
	"net/http"

	"github.com/gorilla/mux"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
)

// trail is what the audit log needs to know of a request while it is served.
type trail struct {
	user, key, about string
}

type trailKey struct{}

// audited tells the audit log what a request was about, where the path does not: what it created, whose account it used.
func audited(ctx context.Context, about string) {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		t.about = about
	}
}

// audit writes a line for each request of an operation that changes rights, keys, credentials or listings, which the
// document marks with "x-audit: what.happens". Lines tell of failed attempts too, by the status. They hold ids, never
// bodies.
func audit(log hclog.Logger, doc *Document) mux.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			event := doc.accessOf(r).audit
			if event == "" {
				next.ServeHTTP(w, r)
				return
			}
			t := &trail{}
			defer func() {
				status := http.StatusInternalServerError // of a panic, which goes on from here
				if a, ok := w.(*answer); ok && a.status != 0 {
					status = a.status
				}
				log.Info(event, "status", status, "user", t.user, "api_key", t.key, "path", shortened(r.URL.EscapedPath()),
					"about", t.about, "address", addressIn(r.Context()), "request_id", w.Header().Get("X-Request-Id"))
			}()
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), trailKey{}, t)))
		})
	}
}

// identified tells the audit log who sent a request.
func identified(ctx context.Context, p auth.Principal) {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		t.user, t.key = p.UserID, p.KeyID
	}
}

// shortened is a path, which may be as long as a header.
func shortened(s string) string {
	const limit = 200
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
