package credential

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// parseHost reads a host pattern: a name or an address, "*." before it for all names below, a port behind it. The
// second result says what is wrong with it.
func parseHost(text string) (pattern, problem string) {
	const form = "must be a host such as api.example.com, *.example.com or example.com:8443, without scheme and path"
	text = strings.ToLower(strings.TrimSpace(text))
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !strings.HasSuffix(text, "]") {
		host, port = text[:i], text[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
			return "", form
		}
		port = ":" + port
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !address.Is6() || address.Zone() != "" {
			return "", form
		}
		return "[" + address.String() + "]" + port, ""
	}
	name := strings.TrimSuffix(host, ".")
	below, wild := strings.CutPrefix(name, "*.")
	if len(below) > 253 || below == "" {
		return "", form
	}
	for part := range strings.SplitSeq(below, ".") {
		if !label.MatchString(part) {
			return "", form
		}
	}
	if _, err := netip.ParseAddr(below); err == nil && wild {
		return "", form
	}
	if wild && isPublicSuffix(below) {
		return "", "must not be all names below " + below + ", which belong to many owners; name one's own, such as *.example.com"
	}
	return name + port, ""
}

// isPublicSuffix says whether anybody can get a name below a domain, as below com, co.uk or github.io. A top level that
// the list does not have, such as internal, is somebody's own.
func isPublicSuffix(domain string) bool {
	suffix, icann := publicsuffix.PublicSuffix(domain)
	return suffix == domain && (icann || strings.Contains(suffix, "."))
}

// Reaches says whether host-scoped credentials are for an address: as the SDK decides it for the block that uses them.
// Credentials of other types are for any.
func (c *Credential) Reaches(address string) bool {
	if c.Type != HostScoped {
		return true
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	pattern := url.URL{Host: c.Host}
	standard := map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	port := u.Port()
	if port == "" {
		port = standard
	}
	if wanted := pattern.Port(); wanted != "" && wanted != port || wanted == "" && port != standard {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if below, wild := strings.CutPrefix(pattern.Hostname(), "*."); wild {
		return strings.HasSuffix(host, "."+below)
	}
	return host != "" && host == pattern.Hostname()
}
