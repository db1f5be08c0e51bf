package rest

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/limit"
)

// Limiter counts requests.
type Limiter interface {
	Take(ctx context.Context, subject string, buckets ...limit.Bucket) (limit.Decision, bool)
}

// Limits are requests a minute, 0 for as many as come. The API reference names them; without a user it is the address
// that counts.
type Limits struct{ General, Execution, External, Anonymous int }

// limited refuses what is too much.
type limited struct {
	limiter Limiter
	limits  Limits
}

// known counts a request of somebody known. All keys of a user share one bucket, beside that of the user's tokens.
func (l *limited) known(w http.ResponseWriter, r *http.Request, p auth.Principal, a access) error {
	buckets := make([]limit.Bucket, 0, 2)
	if a.executes {
		buckets = append(buckets, limit.Bucket{Name: "execution", Max: l.limits.Execution})
	}
	if p.ByKey() {
		buckets = append(buckets, limit.Bucket{Name: "external", Max: l.limits.External})
	} else {
		buckets = append(buckets, limit.Bucket{Name: "general", Max: l.limits.General})
	}
	return l.take(w, r, p.UserID, buckets...)
}

// anonymous counts a request without a good credential. Refused ones count, so that nobody tries many.
func (l *limited) anonymous(w http.ResponseWriter, r *http.Request) error {
	subject := addressIn(r.Context())
	// Whoever has one address of IPv6 has 2^64 of them.
	if address, err := netip.ParseAddr(subject); err == nil && address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			subject = network.String()
		}
	}
	return l.take(w, r, subject, limit.Bucket{Name: "anonymous", Max: l.limits.Anonymous})
}

func (l *limited) take(w http.ResponseWriter, r *http.Request, subject string, buckets ...limit.Bucket) error {
	if l.limiter == nil {
		return nil
	}
	d, ok := l.limiter.Take(r.Context(), subject, buckets...)
	if !ok {
		return nil
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(d.Limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(d.Remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(d.Reset.Unix(), 10))
	if d.Allowed {
		return nil
	}
	wait := max(1, int(math.Ceil(time.Until(d.Reset).Seconds())))
	h.Set("Retry-After", strconv.Itoa(wait))
	p := problem.RateLimited("more than " + strconv.Itoa(d.Limit) + " requests a minute; try again in " + strconv.Itoa(wait) + " s")
	p.Details = map[string]any{"limit": d.Limit, "retry_after": wait}
	return p
}
