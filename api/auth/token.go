package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/patchbay-io/patchbay/core/account"
)

// MinSecret is the least length of a secret in bytes: what HS256 is as strong as.
const MinSecret = 32

const (
	// leeway is how far the clocks of the issuer and of this server may differ.
	leeway = 30 * time.Second
	// remembered is how many tokens that were verified are known by their digests, and trust for how long at the most: a
	// key that the identity provider withdraws must not live on in them.
	remembered = 8192
	trust      = time.Minute

	roleUser = "authenticated"
)

// Config says which tokens are accepted.
type Config struct {
	Secret   []byte // of HS256
	Audience string
	JWKSURL  string   // where the keys of asymmetric tokens are; empty: such tokens are refused
	Issuer   string   // that asymmetric tokens must have; empty: any
	Admins   []string // ids and verified emails of users who count as administrators
	Accounts Accounts
	Logger   hclog.Logger
}

// Authenticator checks credentials. Close it.
type Authenticator struct {
	accounts    Accounts
	secret      []byte
	issuer      string
	keys        *keySet // nil without an address of keys
	parser      *jwt.Parser
	adminIDs    map[string]bool
	adminEmails map[string]bool // in lower case
	verified    *lru.Cache[[sha256.Size]byte, verified]
}

type verified struct {
	principal Principal
	until     time.Time
}

// New refuses secrets that are too short to be one.
func New(c Config) (*Authenticator, error) {
	if len(c.Secret) < MinSecret {
		return nil, fmt.Errorf("the JWT secret has %d bytes, it needs at least %d", len(c.Secret), MinSecret)
	}
	if c.Audience == "" {
		return nil, errors.New("the JWT audience is empty")
	}
	methods := []string{jwt.SigningMethodHS256.Alg()}
	if c.JWKSURL != "" {
		methods = append(methods, slices.Sorted(maps.Keys(asymmetric))...)
	}
	a := &Authenticator{
		accounts: c.Accounts, secret: c.Secret, issuer: c.Issuer, adminIDs: map[string]bool{}, adminEmails: map[string]bool{},
		parser: jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithAudience(c.Audience), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway)),
	}
	a.verified, _ = lru.New[[sha256.Size]byte, verified](remembered) // fails for sizes below one only
	for _, admin := range c.Admins {
		a.adminIDs[UserID(admin)] = true
		if strings.Contains(admin, "@") {
			a.adminEmails[strings.ToLower(admin)] = true
		}
	}
	if c.JWKSURL != "" {
		a.keys = newKeySet(c.JWKSURL, c.Logger, time.Now)
		a.keys.fetch() // nobody waits for it: other tokens need no keys
	}
	return a, nil
}

// Close ends what runs in the background.
func (a *Authenticator) Close() {
	if a.keys != nil {
		a.keys.close()
	}
}

// token tells whose token this is.
func (a *Authenticator) token(ctx context.Context, text string) (Principal, error) {
	digest := sha256.Sum256([]byte(text))
	now := time.Now()
	if v, ok := a.verified.Get(digest); ok && now.Before(v.until) {
		return v.principal, nil
	}
	p, err := a.verify(ctx, text)
	if err != nil {
		return Principal{}, err
	}
	until := now.Add(trust)
	if p.ExpiresAt.Before(until) {
		until = p.ExpiresAt
	}
	a.verified.Add(digest, verified{p, until})
	return p, nil
}

// claims are those that count. What users can write themselves, such as Supabase's user_metadata, is not among them.
// Where providers differ in a type, only the value that counts is looked for.
type claims struct {
	Email         string `json:"email"`
	EmailVerified any    `json:"email_verified"`
	Role          string `json:"role"`
	Session       string `json:"session_id"`
	AppMetadata   struct {
		Role          any `json:"role"`
		EmailVerified any `json:"email_verified"`
	} `json:"app_metadata"`
	jwt.RegisteredClaims
}

func (c *claims) emailVerified() bool {
	return isTrue(c.EmailVerified) || isTrue(c.AppMetadata.EmailVerified)
}

func isTrue(claim any) bool { return claim == true || claim == "true" }

func (c *claims) admin() bool {
	return c.Role == RoleAdmin || c.AppMetadata.Role == RoleAdmin
}

// verify checks a token in full. Which key it is checked with follows from its algorithm alone: HS256 has the secret,
// and the others have keys of their own kind from the identity provider.
func (a *Authenticator) verify(ctx context.Context, text string) (Principal, error) {
	var c claims
	var unchecked error
	t, err := a.parser.ParseWithClaims(text, &c, func(t *jwt.Token) (any, error) {
		if t.Method == jwt.SigningMethodHS256 {
			return a.secret, nil
		}
		kid, _ := t.Header["kid"].(string)
		key, err := a.keys.find(ctx, kid, t.Method.Alg())
		if err != nil && !errors.Is(err, errNoKey) {
			unchecked = err
		}
		return key, err
	})
	if err != nil {
		return Principal{}, cmp.Or(unchecked, ErrInvalid)
	}
	if _, critical := t.Header["crit"]; critical || !timesAreNumbers(text) {
		return Principal{}, ErrInvalid // no extension is understood here, and those named there must be
	}
	foreign := t.Method != jwt.SigningMethodHS256
	if foreign && a.issuer != "" && c.Issuer != a.issuer || !isName(c.Subject, 255) {
		return Principal{}, ErrInvalid
	}
	if !foreign && !isUUID(c.Subject) {
		return Principal{}, ErrInvalid // identity providers may call users what they like, whoever has the secret may not
	}
	c.Subject = UserID(c.Subject)
	if !isName(c.Email, 320) {
		c.Email = ""
	}
	if c.admin() || a.adminIDs[c.Subject] || c.emailVerified() && a.adminEmails[strings.ToLower(c.Email)] {
		c.Role = RoleAdmin
	}
	if foreign || c.Issuer != account.Issuer {
		c.Session = "" // somebody else's
	}
	expires := c.ExpiresAt.Time
	if time.Now().After(expires) {
		expires = expires.Add(leeway)
	}
	return Principal{UserID: c.Subject, Email: c.Email, Role: c.Role, Session: c.Session, ExpiresAt: expires}, nil
}

// timesAreNumbers says whether the times of a token that was parsed are numbers (RFC 7519, 2); the parser takes digits in
// a string too.
func timesAreNumbers(text string) bool {
	_, rest, _ := strings.Cut(text, ".")
	payload, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return false
	}
	var times map[string]json.RawMessage
	if json.Unmarshal(raw, &times) != nil {
		return false
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		if value := times[name]; len(value) > 0 && value[0] == '"' {
			return false
		}
	}
	return true
}

// UserID is the id of a user as it is known here. UUIDs are the same in upper case (RFC 9562, 4); other names are what an
// identity provider makes of them.
func UserID(name string) string {
	if isUUID(name) {
		return strings.ToLower(name)
	}
	return name
}

func isUUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

// isName keeps out what no issuer makes and no database column takes, and what several names may have become: a JSON
// decoder makes the same character of all that is no text.
func isName(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsFunc(s, unicode.IsControl)
}
