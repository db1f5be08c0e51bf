package sdk

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxRedirects is how many redirects a request follows.
const maxRedirects = 10

// harmless are the headers that go along when a redirect leads to another origin. Any other may be a credential,
// whatever it is called; net/http holds back the ones that it knows, and from fewer places.
var harmless = []string{"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language", "Content-Type", "User-Agent"}

// checkRedirect is a client's CheckRedirect. net/http has copied the first request's headers to the next one.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	// Once another origin was visited it chooses where the request goes, also back to the first one.
	first := origin(via[0].URL)
	elsewhere := func(r *http.Request) bool { return origin(r.URL) != first }
	if !elsewhere(next) && !slices.ContainsFunc(via, elsewhere) {
		return nil
	}
	for name := range next.Header {
		if !slices.Contains(harmless, name) {
			delete(next.Header, name)
		}
	}
	return nil
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
