package rest

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

type addressKey struct{}

// addressIn is the address of who sent the request of this context.
func addressIn(ctx context.Context) string {
	address, _ := ctx.Value(addressKey{}).(string)
	return address
}

// located puts the address of who sends a request into its context.
func located(trusted []netip.Prefix) mux.MiddlewareFunc {
	address := addressOf(trusted)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), addressKey{}, address(r))))
		})
	}
}

// addressOf gives the address of who sent a request: of the connection, or where that is a trusted proxy the last one
// in X-Forwarded-For that is none. What comes before it anybody can write.
func addressOf(trusted []netip.Prefix) func(*http.Request) string {
	proxy := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return func(r *http.Request) string {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return r.RemoteAddr // no network address, as in tests and on unix sockets
		}
		client := peer.Addr().Unmap()
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops) {
			if !proxy(client) {
				break
			}
			before, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				break
			}
			client = before.Unmap().WithZone("")
		}
		return client.String()
	}
}
