package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Reference names stored credentials. It is what inputs hold, and no secret.
type Reference struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Type     string `json:"type"` // oauth2, api_key, user_password or host_scoped
	Title    string `json:"title,omitempty"`
}

// Credential is what a pin for credentials refers to, of any type; OAuth2, APIKey, UserPassword and HostScoped are for
// pins that take one type. It is good for the run that it came with. However it is printed, logged or encoded, its
// secret does not show; only the accessors give it.
type Credential struct {
	reference Reference
	// secret is behind a function, where printing by reflection does not find it; nil: none was given.
	secret func() *proto.Credential
}

// Given says whether there are credentials; a pin that is optional may have none.
func (c Credential) Given() bool { return c.secret != nil }

// Reference names the credentials, without a secret.
func (c Credential) Reference() Reference { return c.reference }

// OAuth2 gives the credentials if they are of that type.
func (c Credential) OAuth2() (OAuth2, bool) { return OAuth2{c}, c.proto().GetOauth2() != nil }

// APIKey gives the credentials if they are of that type.
func (c Credential) APIKey() (APIKey, bool) { return APIKey{c}, c.proto().GetApiKey() != nil }

// UserPassword gives the credentials if they are of that type.
func (c Credential) UserPassword() (UserPassword, bool) {
	return UserPassword{c}, c.proto().GetUserPassword() != nil
}

// HostScoped gives the credentials if they are of that type.
func (c Credential) HostScoped() (HostScoped, bool) {
	return HostScoped{c}, c.proto().GetHostScoped() != nil
}

// Bearer is the secret for services that take an access token or an API key in the same place; empty for the other
// types.
func (c Credential) Bearer() string {
	if key := c.proto().GetApiKey(); key != nil {
		return key.GetKey()
	}
	return c.proto().GetOauth2().GetAccessToken()
}

// Authorize adds the credentials to a request: an access token or a key as "Authorization: Bearer", user and password
// as "Authorization: Basic", host-scoped ones as their headers, which it refuses for another host. Without credentials
// it does nothing.
func (c Credential) Authorize(r *http.Request) error {
	switch secret := c.proto().GetSecret().(type) {
	case *proto.Credential_Oauth2:
		kind := secret.Oauth2.GetTokenType()
		if kind == "" || strings.EqualFold(kind, "bearer") {
			kind = "Bearer"
		}
		r.Header.Set("Authorization", kind+" "+secret.Oauth2.GetAccessToken())
	case *proto.Credential_ApiKey:
		r.Header.Set("Authorization", "Bearer "+secret.ApiKey.GetKey())
	case *proto.Credential_UserPassword:
		r.SetBasicAuth(secret.UserPassword.GetUsername(), secret.UserPassword.GetPassword())
	case *proto.Credential_HostScoped:
		scoped := HostScoped{c}
		if !scoped.Matches(r.URL) {
			return InvalidInput("the credentials are for %s, not for %s", scoped.Host(), r.URL.Host)
		}
		for name, value := range secret.HostScoped.GetHeaders() {
			r.Header.Set(name, value)
		}
	}
	return nil
}

func (c Credential) proto() *proto.Credential {
	if c.secret == nil {
		return nil
	}
	return c.secret()
}

const hidden = "***"

// String hides the secret.
func (c Credential) String() string { return hidden }

// GoString hides the secret.
func (c Credential) GoString() string { return hidden }

// Format hides the secret, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the secret.
func (c Credential) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON gives the reference.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(c.reference) }

// OAuth2 is an access token.
type OAuth2 struct{ Credential }

// AccessToken is the token. The server has refreshed it where that was due.
func (o OAuth2) AccessToken() string { return o.proto().GetOauth2().GetAccessToken() }

// Scopes are those that the user has granted.
func (o OAuth2) Scopes() []string { return slices.Clone(o.proto().GetOauth2().GetScopes()) }

// Username is the account's at the provider, empty where that is not known.
func (o OAuth2) Username() string { return o.proto().GetOauth2().GetUsername() }

// Expiry is when the token ends; zero: unknown, or never.
func (o OAuth2) Expiry() time.Time {
	if at := o.proto().GetOauth2().GetExpiresAt(); at > 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// APIKey is one secret text.
type APIKey struct{ Credential }

// Key is the secret.
func (k APIKey) Key() string { return k.proto().GetApiKey().GetKey() }

// UserPassword is a user's name and password.
type UserPassword struct{ Credential }

// Username is the user's name.
func (u UserPassword) Username() string { return u.proto().GetUserPassword().GetUsername() }

// Password is the secret.
func (u UserPassword) Password() string { return u.proto().GetUserPassword().GetPassword() }

// HostScoped are headers for the requests to one host.
type HostScoped struct{ Credential }

// Host is the host's name or address; "*." before it stands for all names below it, a port behind it for that port
// alone.
func (h HostScoped) Host() string { return h.proto().GetHostScoped().GetHost() }

// Headers are what the host's requests carry.
func (h HostScoped) Headers() map[string]string {
	return maps.Clone(h.proto().GetHostScoped().GetHeaders())
}

// Matches says whether requests to an address may carry the headers. A pattern without a port stands for the ports of
// its scheme, 80 and 443, and "*.example.com" for every name below example.com, not for example.com itself.
func (h HostScoped) Matches(address *url.URL) bool {
	pattern, port := splitPort(strings.ToLower(h.Host()))
	host := strings.TrimSuffix(strings.ToLower(address.Hostname()), ".")
	switch got := address.Port(); {
	case pattern == "" || host == "":
		return false
	case port != "" && got == "":
		if standardPort(address.Scheme) != port {
			return false
		}
	case port != "":
		if got != port {
			return false
		}
	case got != "" && got != standardPort(address.Scheme):
		return false
	}
	if below, wild := strings.CutPrefix(pattern, "*."); wild {
		return strings.HasSuffix(host, "."+below)
	}
	return host == pattern
}

// splitPort parts "host:port", "[::1]:port" and hosts without a port.
func splitPort(pattern string) (host, port string) {
	u := url.URL{Host: pattern}
	return u.Hostname(), u.Port()
}

func standardPort(scheme string) string {
	switch strings.ToLower(scheme) {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}

// CredentialFrom gives the credentials that came with a run for a pin: for blocks whose input is no struct.
func CredentialFrom(ctx context.Context, pin string) Credential {
	for _, c := range scopeOf(ctx).credentials {
		if c.GetPin() == pin {
			return newCredential(c)
		}
	}
	return Credential{}
}

func newCredential(c *proto.Credential) Credential {
	reference := Reference{ID: c.GetId(), Provider: c.GetProvider(), Title: c.GetTitle()}
	switch c.GetSecret().(type) {
	case *proto.Credential_Oauth2:
		reference.Type = typeOAuth2
	case *proto.Credential_ApiKey:
		reference.Type = typeAPIKey
	case *proto.Credential_UserPassword:
		reference.Type = typeUserPassword
	case *proto.Credential_HostScoped:
		reference.Type = typeHostScoped
	}
	return Credential{reference: reference, secret: func() *proto.Credential { return c }}
}

// WithCredentials makes a context with credentials for calling a block by hand, as blocktest does.
func WithCredentials(ctx context.Context, credentials ...*proto.Credential) context.Context {
	s := scopeOf(ctx)
	s.credentials = credentials
	return context.WithValue(ctx, scopeKey{}, s)
}
