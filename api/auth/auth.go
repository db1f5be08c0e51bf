// Package auth tells who sends a request, from the credential that comes with it: a token of this server or of an
// identity provider, or an API key. It must never say of a refused credential more than that it was refused, and never
// pass one on.
package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/core/account"
)

// Principal is who sends a request.
type Principal struct {
	UserID string
	Email  string
	Role   string
	// KeyID is of the API key that the request came with, and empty for tokens. Permissions are the key's.
	KeyID       string
	Permissions []account.Permission
	// Session is that of a token of the server's own accounts, and empty for others.
	Session string
	// ExpiresAt is when what lives longer than a request must end, such as a WebSocket; zero is never.
	ExpiresAt time.Time

	digest account.Digest // of the key
}

// RoleAdmin is the role of administrators.
const RoleAdmin = "admin"

// ByKey says that the request came with an API key.
func (p Principal) ByKey() bool { return p.KeyID != "" }

// Admin says whether this is an administrator. An API key never is one, whoever owns it.
func (p Principal) Admin() bool { return p.Role == RoleAdmin && !p.ByKey() }

// May says whether the principal has one of these permissions: users have all, keys those that they were given.
func (p Principal) May(anyOf ...account.Permission) bool {
	return !p.ByKey() || slices.ContainsFunc(anyOf, func(one account.Permission) bool { return slices.Contains(p.Permissions, one) })
}

// Errors of Authenticate, Credential and Current. Any other comes from the database.
var (
	ErrMissing = errors.New("a bearer token or an API key is required")
	ErrInvalid = errors.New("the credential is invalid or has expired")
	// ErrUnchecked is a token whose keys cannot be fetched; it may be good.
	ErrUnchecked = errors.New("the credential cannot be checked at the moment; try again")
)

// Accounts knows keys and users. Its errors for credentials that are not good are account.ErrRefused.
type Accounts interface {
	VerifyKey(ctx context.Context, key string) (*account.Key, error)
	VerifyDigest(ctx context.Context, digest account.Digest) (*account.Key, error)
	// CheckSession says whether a session of the server's own accounts goes on.
	CheckSession(ctx context.Context, id string) error
	// Seen notes a user that a valid token named.
	Seen(ctx context.Context, user, email string) error
}

// Authenticate tells who sends r. A key in X-API-Key that is not accepted refuses the request, whatever else comes with
// it.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, error) {
	if keys := r.Header.Values("X-API-Key"); len(keys) > 0 {
		if len(keys) > 1 {
			return Principal{}, ErrInvalid
		}
		return a.key(r.Context(), strings.TrimSpace(keys[0]))
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return Principal{}, ErrMissing
	}
	scheme, credential, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, ErrInvalid
	}
	return a.Credential(r.Context(), strings.TrimSpace(credential))
}

// Credential tells whose token or API key this is.
func (a *Authenticator) Credential(ctx context.Context, text string) (Principal, error) {
	if strings.HasPrefix(text, account.KeyPrefix) {
		return a.key(ctx, text)
	}
	p, err := a.token(ctx, text)
	if err != nil {
		return Principal{}, err
	}
	if p, err = a.Current(ctx, p); err != nil {
		return Principal{}, err
	}
	return p, a.accounts.Seen(ctx, p.UserID, p.Email)
}

// Revocable says that the credential may end before it expires.
func (p Principal) Revocable() bool { return p.ByKey() || p.Session != "" }

// Current is what a principal is now: its key may have been revoked, or its session have ended.
func (a *Authenticator) Current(ctx context.Context, p Principal) (Principal, error) {
	if p.ByKey() {
		return ofKey(a.accounts.VerifyDigest(ctx, p.digest))
	}
	if p.Session == "" {
		return p, nil
	}
	err := a.accounts.CheckSession(ctx, p.Session)
	if errors.Is(err, account.ErrRefused) {
		err = ErrInvalid
	}
	return p, err
}

func (a *Authenticator) key(ctx context.Context, text string) (Principal, error) {
	return ofKey(a.accounts.VerifyKey(ctx, text))
}

func ofKey(k *account.Key, err error) (Principal, error) {
	if errors.Is(err, account.ErrRefused) {
		return Principal{}, ErrInvalid
	}
	if err != nil {
		return Principal{}, err
	}
	p := Principal{UserID: k.UserID, Email: k.Email(), Role: roleUser, KeyID: k.ID, Permissions: k.Permissions, digest: k.Digest()}
	if k.ExpiresAt != nil {
		p.ExpiresAt = *k.ExpiresAt
	}
	return p, nil
}

// Challenge is the WWW-Authenticate header of an answer to a request that was refused with err.
func Challenge(err error) string {
	if errors.Is(err, ErrMissing) {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

type key struct{}

// With puts the principal into a context.
func With(ctx context.Context, p Principal) context.Context { return context.WithValue(ctx, key{}, p) }

// From takes the principal out of the context of a request that was authenticated.
func From(ctx context.Context) Principal {
	p, ok := Known(ctx)
	if !ok {
		panic("auth: the request was not authenticated") // a route without the middleware must not run as nobody
	}
	return p
}

// Known is the principal of a request, unless it is one that anybody may make.
func Known(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(key{}).(Principal)
	return p, ok
}
