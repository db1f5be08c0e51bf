// Package auth tells who sends a request, from the credential that comes with it. It knows tokens, not what their
// owners may do, and it must never say of a refused credential more than that it was refused.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Principal is who sends a request.
type Principal struct {
	UserID string
	Email  string
	Role   string
	// ExpiresAt is when what lives longer than a request must end, such as a WebSocket.
	ExpiresAt time.Time
}

// Errors of Authenticate and Token.
var (
	ErrMissing = errors.New("a bearer token is required")
	ErrInvalid = errors.New("the credential is invalid or has expired")
)

// MinSecret is the least length of a secret in bytes: what HS256 is as strong as.
const MinSecret = 32

// leeway is how far the clocks of the issuer and of this server may differ.
const leeway = 30 * time.Second

// Config says which tokens are accepted.
type Config struct {
	Secret   []byte // of HS256
	Audience string
}

// Authenticator checks credentials.
type Authenticator struct {
	secret []byte
	parser *jwt.Parser
}

// New refuses secrets that are too short to be one.
func New(c Config) (*Authenticator, error) {
	if len(c.Secret) < MinSecret {
		return nil, fmt.Errorf("the JWT secret has %d bytes, it needs at least %d", len(c.Secret), MinSecret)
	}
	if c.Audience == "" {
		return nil, errors.New("the JWT audience is empty")
	}
	return &Authenticator{
		secret: c.Secret,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithAudience(c.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(leeway),
		),
	}, nil
}

// Authenticate tells who sends r. The error is ErrMissing or ErrInvalid. A key in X-API-Key that is not accepted
// refuses the request, whatever else comes with it.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, error) {
	if len(r.Header.Values("X-API-Key")) > 0 {
		return Principal{}, ErrInvalid
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return Principal{}, ErrMissing
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, ErrInvalid
	}
	return a.Token(strings.TrimSpace(token))
}

// Token tells whose token this is; the error is ErrInvalid.
func (a *Authenticator) Token(token string) (Principal, error) {
	var claims struct {
		Email string `json:"email"`
		Role  string `json:"role"`
		jwt.RegisteredClaims
	}
	if _, err := a.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return a.secret, nil }); err != nil {
		return Principal{}, ErrInvalid
	}
	if !isSubject(claims.Subject) {
		return Principal{}, ErrInvalid
	}
	expires := claims.ExpiresAt.Time
	if time.Now().After(expires) {
		expires = expires.Add(leeway)
	}
	return Principal{UserID: claims.Subject, Email: claims.Email, Role: claims.Role, ExpiresAt: expires}, nil
}

// isSubject keeps out what no issuer makes and no database column takes.
func isSubject(s string) bool {
	return s != "" && len(s) <= 255 && utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
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
	p, ok := ctx.Value(key{}).(Principal)
	if !ok {
		panic("auth: the request was not authenticated") // a route without the middleware must not run as nobody
	}
	return p
}
