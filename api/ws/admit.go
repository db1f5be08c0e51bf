package ws

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/api/auth"
)

// subprotocol announces that the subprotocol behind it is a token: browsers can send no header.
const subprotocol = "bearer"

// Hijack implements http.Hijacker. It gives the connection without what the server put around it for HTTP.
func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if wrapped, ok := c.(interface{ Unwrap() net.Conn }); ok {
		c = wrapped.Unwrap()
	}
	return &meter{Conn: c, limits: h.limits}, buffers, err
}

// admit tells whose connection this is, or how it is to be closed.
func (h *Handler) admit(r *http.Request) (auth.Principal, *goodbye) {
	p, err := h.credential(r)
	switch {
	case errors.Is(err, auth.ErrMissing):
		return p, &goodbye{closeNoCredential, "a credential is required"}
	case errors.Is(err, auth.ErrInvalid):
		return p, &goodbye{closeInvalidCredential, err.Error()}
	case err != nil:
		h.Logger.Error("a credential could not be checked", "error", err)
		return p, &goodbye{websocket.CloseTryAgainLater, "the credential cannot be checked at the moment"}
	}
	if user := r.URL.Query().Get("user_id"); user != "" && auth.UserID(user) != p.UserID {
		return p, &goodbye{closeForeignUser, "the credential is not of this user_id"}
	}
	return p, nil
}

// credential takes the first of header, query and subprotocol that is there.
func (h *Handler) credential(r *http.Request) (auth.Principal, error) {
	p, err := h.Authenticate(r)
	if !errors.Is(err, auth.ErrMissing) {
		return p, err
	}
	if token := r.URL.Query().Get("token"); token != "" {
		return h.Credential(r.Context(), token)
	}
	offered := websocket.Subprotocols(r)
	for i, name := range offered[:max(0, len(offered)-1)] {
		if name == subprotocol {
			return h.Credential(r.Context(), offered[i+1])
		}
	}
	return p, err
}

// allowsOrigin lets pages of the same host and of configured origins connect, and everything that is no page. The port
// does not count: the server has two itself, and whoever connects brings a token.
func (h *Handler) allowsOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	here := url.URL{Host: r.Host}
	if u, err := url.Parse(origin); err == nil && u.Hostname() != "" && strings.EqualFold(u.Hostname(), here.Hostname()) {
		return true
	}
	for _, allowed := range h.Origins {
		before, after, wild := strings.Cut(strings.ToLower(allowed), "*")
		o := strings.ToLower(origin)
		if o == strings.ToLower(allowed) ||
			wild && len(o) >= len(before)+len(after) && strings.HasPrefix(o, before) && strings.HasSuffix(o, after) {
			return true
		}
	}
	return false
}
