package oauth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Request is a user who wants to connect an account.
type Request struct {
	User     string
	Provider string
	Scopes   []string // empty: the provider's default ones
	ReturnTo string   // path of this server's to which the browser goes in the end; empty: none
	// Callback is where another application takes the browser back, and Metadata what it wants to know then; empty: this
	// server does. Whether the application may is for the caller to say.
	Callback, Metadata string
}

// Authorization is what the user's browser goes on with.
type Authorization struct {
	URL   string
	State string
	// Cookie and Browser are name and value of what shows later that it is the same browser.
	Cookie, Browser string
	Life            time.Duration
}

// Callback is what the browser, or another client, comes back with.
type Callback struct {
	Provider string
	State    string
	Code     string
	Error    string // of the provider, in place of a code
	// Browser is the value of the cookie, or User who sends the state with a token.
	Browser string
	User    string
}

// Ticket lets a browser without a token begin what Authorize would, once and for a short time.
func (s *Service) Ticket(ctx context.Context, r Request) (string, error) {
	if _, err := s.provider(r.Provider); err != nil {
		return "", err
	}
	if err := r.check(); err != nil {
		return "", err
	}
	ticket := random()
	_, err := s.DB.ExecContext(ctx, `
		WITH gone AS (DELETE FROM oauth_ticket WHERE expires_at < now())
		INSERT INTO oauth_ticket (digest, user_id, provider, expires_at) VALUES (?, ?, ?, now() + ? * interval '1 second')`,
		digest(ticket), r.User, r.Provider, ticketLife.Seconds()) // oauth_ticket_by_end
	if err != nil {
		return "", fmt.Errorf("store ticket: %w", err)
	}
	return ticket, nil
}

// ErrTicket is a ticket that is not good, or not any more.
var ErrTicket = errors.New("the ticket is unknown, used or expired")

// Redeem takes a ticket and tells whose it is.
func (s *Service) Redeem(ctx context.Context, provider, ticket string) (user string, err error) {
	user, err = one[string](ctx, s.DB, `
		DELETE FROM oauth_ticket WHERE digest = ? AND provider = ? AND expires_at > now() RETURNING user_id`, digest(ticket), provider)
	if errors.Is(err, errNone) {
		return "", ErrTicket
	}
	if err != nil {
		return "", fmt.Errorf("redeem ticket: %w", err)
	}
	return user, nil
}

// Authorize sends a user to a provider. Scopes that the user's accounts there have are asked for again, so that an
// account which is connected once more loses none.
func (s *Service) Authorize(ctx context.Context, r Request) (*Authorization, error) {
	p, err := s.provider(r.Provider)
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	scopes, err := s.scopes(ctx, p, r)
	if err != nil {
		return nil, err
	}
	verifier, browser := random(), random()
	a := &Authorization{State: random(), Browser: browser, Life: stateLife}
	a.Cookie = Cookie(a.State)
	challenge := ""
	if p.OAuth.PKCE {
		challenge = base64.RawURLEncoding.EncodeToString(digest(verifier))
	}
	result, err := s.ask(ctx, r.User, &proto.ProviderCall{Provider: r.Provider, Operation: &proto.ProviderCall_AuthorizationUrl{
		AuthorizationUrl: &proto.AuthorizationUrl{RedirectUri: cmp.Or(r.Callback, s.callback(r.Provider)), State: a.State, Scopes: scopes, CodeChallenge: challenge},
	}})
	if err != nil {
		return nil, err
	}
	a.URL = result.GetAuthorizationUrl()
	if u, err := url.Parse(a.URL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, &Upstream{p.DisplayName + " has no address to which a browser could go"}
	}
	sealed, err := s.Vault.Seal(r.User, sealedAs(r.Provider, a.State), &credential.Secret{Password: verifier, Headers: map[string]string{sealedCallback: r.Callback, sealedMetadata: r.Metadata}})
	if err != nil {
		return nil, fmt.Errorf("seal the verifier: %w", err)
	}
	if err := s.keepState(ctx, a.State, &state{
		Browser: digest(browser), User: r.User, Provider: r.Provider, Scopes: scopes, ReturnTo: r.ReturnTo, Sealed: sealed,
	}); err != nil {
		return nil, err
	}
	return a, nil
}

// scopes are those to ask for.
func (s *Service) scopes(ctx context.Context, p *plugin.Provider, r Request) ([]string, error) {
	scopes := r.Scopes
	if len(scopes) == 0 {
		scopes = p.OAuth.DefaultScopes
	}
	scopes = slices.Clone(scopes)
	connected, _, err := s.Vault.List(ctx, r.User, r.Provider, 0, 0)
	if err != nil {
		return nil, err
	}
	for _, c := range connected {
		if c.Type == credential.OAuth2 {
			for _, scope := range c.Scopes {
				if len(scopes) < maxScopes && scopeToken.MatchString(scope) && !slices.Contains(scopes, scope) {
					scopes = append(scopes, scope)
				}
			}
		}
	}
	return scopes, nil
}

// Bounds of what may be asked for.
const (
	maxScopes   = 100
	maxScope    = 256
	maxReturnTo = 2048
)

// scopeToken is RFC 6749, section 3.3.
var scopeToken = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)

func (r *Request) check() error {
	if len(r.Scopes) > maxScopes {
		return &Refused{Reason: ReasonRequest, Field: "scopes", Message: fmt.Sprintf("at most %d scopes can be asked for", maxScopes)}
	}
	for _, scope := range r.Scopes {
		if len(scope) > maxScope || !scopeToken.MatchString(scope) {
			return &Refused{Reason: ReasonRequest, Field: "scopes", Message: "a scope is none that a provider could have"}
		}
	}
	if r.ReturnTo != "" && !ownPath(r.ReturnTo) {
		return &Refused{Reason: ReasonRequest, Field: "return_to", Message: "must be a path of this server's, such as /integrations"}
	}
	return nil
}

// ownPath says that an address cannot lead a browser elsewhere: it is a path, and none that browsers read as a host.
func ownPath(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxReturnTo && utf8.ValidString(address) && strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "//") &&
		u.Scheme == "" && u.Host == "" && u.User == nil && !strings.HasPrefix(u.Path, "//") && !slices.ContainsFunc(strings.Split(u.Path, "/"), isDots) &&
		!strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) &&
		!strings.ContainsFunc(u.Path, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f })
}

// isDots says that a part of a path leads back, after which what follows may be read as a host.
func isDots(part string) bool { return part == "." || part == ".." }

// wrongState says no more of a state that is not good.
func wrongState() error {
	return &Refused{Reason: ReasonState, Field: "state", Message: "the state is unknown, used or expired, or belongs to another user, browser or provider; begin again"}
}

// providerError is what a provider may call a failure.
var providerError = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Connection is what a callback came to.
type Connection struct {
	User       string                 // whose state it was: beside an error too, once that is known
	Credential *credential.Credential // nil beside an error
	ReturnTo   string
	Metadata   string // of the request, as it was
}

// Connect exchanges a code and stores the account, once. The state is spent whatever comes of it.
func (s *Service) Connect(ctx context.Context, c Callback) (Connection, error) {
	if c.State == "" {
		return Connection{}, wrongState()
	}
	if (c.Code == "" && c.Error == "") || !utf8.ValidString(c.Code) {
		return Connection{}, &Refused{Reason: ReasonCode, Field: "code", Message: "the provider's code is missing"}
	}
	p, err := s.provider(c.Provider)
	if err != nil {
		return Connection{}, err
	}
	st, err := s.takeState(ctx, c)
	if err != nil {
		return Connection{}, err
	}
	secret, err := s.Vault.Unseal(st.User, sealedAs(st.Provider, c.State), st.Sealed)
	if err != nil {
		s.log.Warn("a state was changed, or sealed under a key that is lost", "provider", c.Provider, "error", err)
		return Connection{}, wrongState()
	}
	connection := Connection{User: st.User, ReturnTo: st.ReturnTo, Metadata: secret.Headers[sealedMetadata]}
	switch {
	case c.Error == ReasonDenied:
		return connection, &Refused{Reason: ReasonDenied, Message: "the account was not connected: its owner did not allow it"}
	case c.Error == "server_error", c.Error == "temporarily_unavailable":
		return connection, &Upstream{p.DisplayName + " cannot connect accounts at the moment: " + c.Error}
	case c.Error != "":
		reason := ReasonRequest
		if providerError.MatchString(c.Error) {
			reason = c.Error
		}
		return connection, &Refused{Reason: reason, Message: "the account was not connected: " + p.DisplayName + " refused with " + reason}
	}
	exchange := &proto.ExchangeCode{Code: c.Code, RedirectUri: cmp.Or(secret.Headers[sealedCallback], s.callback(c.Provider)), Scopes: st.Scopes}
	if p.OAuth.PKCE {
		exchange.CodeVerifier = secret.Password
	}
	result, err := s.ask(ctx, st.User, &proto.ProviderCall{Provider: c.Provider, Operation: &proto.ProviderCall_ExchangeCode{ExchangeCode: exchange}})
	if err != nil {
		return connection, err
	}
	connection.Credential, err = s.keep(ctx, p, st, result.GetTokens())
	return connection, err
}

// keep stores what a provider has granted.
func (s *Service) keep(ctx context.Context, p *plugin.Provider, st *state, t *proto.Tokens) (*credential.Credential, error) {
	account := t.GetAccount()
	c := credential.Credential{
		UserID: st.User, Provider: st.Provider, Title: plain(account.GetTitle()), Username: plain(account.GetUsername()),
		ExpiresAt: at(t.GetExpiresAt()), Scopes: plainScopes(t.GetScopes()),
	}
	if c.Title == "" {
		c.Title = p.DisplayName
		if c.Username != "" {
			c.Title += " (" + c.Username + ")"
		}
	}
	connected, err := s.Vault.Connect(ctx, c, account.GetId(), secretOf(t, nil))
	if err != nil {
		return nil, err
	}
	for _, scope := range st.Scopes {
		if !slices.Contains(connected.Scopes, scope) {
			s.log.Warn("the provider granted less than it was asked for", "provider", p.Name, "credential", connected.ID, "scope", scope)
		}
	}
	s.log.Info("connected an account", "provider", p.Name, "credential", connected.ID, "user", st.User)
	return connected, nil
}

// maxName bounds in characters what people read of an account.
const maxName = 100

// plain is what a provider says of an account, without what no column holds and no line should.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxName {
		text = string(runes[:maxName])
	}
	return strings.TrimSpace(text)
}

func plainScopes(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return !scopeToken.MatchString(scope) })
}

// secretOf is what is kept of tokens. What refreshed ones do not tell anew stays as it is in old, else nil.
func secretOf(t *proto.Tokens, old *credential.Secret) *credential.Secret {
	s := &credential.Secret{
		AccessToken: t.GetAccessToken(), TokenType: t.GetTokenType(), RefreshToken: t.GetRefreshToken(), RefreshExpiresAt: t.GetRefreshExpiresAt(),
	}
	if old != nil {
		s.Metadata, s.RefreshedAt = old.Metadata, time.Now().Unix()
		if s.RefreshToken == "" {
			s.RefreshToken, s.RefreshExpiresAt = old.RefreshToken, old.RefreshExpiresAt
		}
	}
	return s
}

func at(unix int64) *time.Time {
	if unix == 0 {
		return nil
	}
	t := time.Unix(unix, 0)
	return &t
}

// random is a text of 256 random bits.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// Cookie is the name of the cookie of a state. It tells nothing of the state.
func Cookie(state string) string {
	return "patchbay_oauth_" + hex.EncodeToString(digest("cookie " + state)[:8])
}

// Names of what is sealed for a state, beside the verifier.
const (
	sealedCallback = "callback"
	sealedMetadata = "metadata"
)

// sealedAs names what is sealed for a state.
func sealedAs(provider, state string) string {
	return "oauth-state:" + provider + ":" + hex.EncodeToString(digest(state))
}
