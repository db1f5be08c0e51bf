package rest

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Bounds of what is read of a body that nobody wants, and how long it may take as a whole and to go on.
const (
	leftLimits = 4 // times the limit of bodies
	leftTime   = 10 * time.Second
	leftPause  = 2 * time.Second
)

// leaving reads, when a request is answered, what is left of its body. Many clients read no answer before they have
// sent all, and a connection that is closed before that is reset: they would never learn why they are refused.
func leaving(closing context.Context, next http.Handler, maxBody int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &followed{ReadCloser: r.Body}
		in := r.WithContext(r.Context())
		in.Body = body
		next.ServeHTTP(w, in)
		// An answer whose length is not told must not be flushed: net/http would no longer find out by itself.
		if !body.ended && w.Header().Get("Content-Length") != "" {
			leave(closing, w, body, leftLimits*maxBody)
		}
	})
}

// leave sends the answer off before it reads on, for clients that do read it first.
func leave(closing context.Context, w http.ResponseWriter, body io.Reader, limit int64) {
	connection := http.NewResponseController(w)
	until := time.Now().Add(leftTime)
	if connection.SetReadDeadline(time.Now().Add(leftPause)) != nil { // then nothing bounds the wait
		return
	}
	defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	if connection.Flush() != nil {
		return
	}
	piece := make([]byte, 32<<10)
	for limit > 0 && time.Now().Before(until) && closing.Err() == nil {
		n, err := body.Read(piece)
		if err != nil {
			return
		}
		limit -= int64(n)
		_ = connection.SetReadDeadline(time.Now().Add(leftPause))
	}
}

// followed is a body that knows whether it was read to its end.
type followed struct {
	io.ReadCloser
	ended bool
}

func (f *followed) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	f.ended = f.ended || err != nil
	return n, err
}
