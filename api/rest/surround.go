package rest

import (
	"net/http"
	"regexp"
	"runtime/debug"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"

	"github.com/patchbay-io/patchbay/api/problem"
)

// compressFrom is the size in bytes from which an answer is worth compressing.
const compressFrom = 50 << 10

// Headers that pages of other origins may send and read, beside those that every page may. All that an operation takes or
// answers with must stand here.
var (
	allowedHeaders = []string{"Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Prefer", "If-Match", "If-None-Match", "If-Range", "X-Request-Id"}
	exposedHeaders = []string{
		"Allow", "Content-Disposition", "Content-Encoding", "Content-Range", "Accept-Ranges", "Deprecation", "ETag", "Link", "Location", "Preference-Applied", "Retry-After",
		"WWW-Authenticate", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id", "X-Deleted-Versions", "X-Token-Revoked", "X-Total-Count",
	}
)

// surrounded puts around next what holds for every request, on whatever path.
func surrounded(next http.Handler, log hclog.Logger, origins []string) http.Handler {
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(compressFrom))
	if err != nil {
		panic("rest: " + err.Error()) // only of options, which are constant
	}
	h := recovered(headAsGet(next), log)
	h = compress(h)
	if len(origins) > 0 {
		h = cors.New(cors.Options{
			AllowedOrigins: origins,
			AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
			AllowedHeaders: allowedHeaders,
			ExposedHeaders: exposedHeaders,
			MaxAge:         600,
		}).Handler(h)
	}
	return Identified(h)
}

// Identified gives each answer the request's id, the client's own where it sent a sensible one, and the headers that
// tell browsers to take no liberties with it.
func Identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !requestID.MatchString(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// Secured tells browsers to come by HTTPS alone, for a year. What else is at the host is not this server's affair.
func Secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// recovered turns a panic into a 500, or into a broken connection when the answer has begun.
func recovered(next http.Handler, log hclog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &answer{ResponseWriter: w}
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler {
				panic(cause)
			}
			log.Error("request panicked", "method", r.Method, "path", r.URL.Path,
				"request_id", w.Header().Get("X-Request-Id"), "panic", cause, "stack", string(debug.Stack()))
			if answer.begun {
				panic(http.ErrAbortHandler)
			}
			problem.Write(w, problem.Internal(nil))
		}()
		next.ServeHTTP(answer, r)
	})
}

// answer knows whether something of it was sent.
type answer struct {
	http.ResponseWriter
	begun  bool
	status int
}

func (a *answer) WriteHeader(status int) {
	if !a.begun {
		a.begun, a.status = true, status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if !a.begun {
		a.begun, a.status = true, http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func begun(w http.ResponseWriter) bool {
	a, ok := w.(*answer)
	return ok && a.begun
}

// headAsGet serves HEAD as GET; net/http leaves out the body.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := r.WithContext(r.Context())
			get.Method = http.MethodGet
			r = get
		}
		next.ServeHTTP(w, r)
	})
}
