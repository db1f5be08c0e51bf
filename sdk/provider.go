package sdk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Provider is a service whose accounts or keys users connect. Blocks name it in their credentials fields.
//
// A provider with OAuth brings settings: client_id and client_secret, those of OAuth.Settings, and one for each of its
// endpoints that no such setting is part of. Where the provider is not named like its plugin, its name and _ precede
// theirs.
type Provider struct {
	Name        string // [a-z][a-z0-9_]*, unique among the providers of a server
	DisplayName string
	OAuth       *OAuth // nil: there is none
	// The kinds of credentials that users may enter by themselves.
	APIKey, UserPassword, HostScoped bool
	// Serialised lets one run at a time use a credential: for services that mind two.
	Serialised bool
}

// OAuth says how accounts are connected by OAuth 2 with authorization codes. Settings in braces are put into the URLs,
// {client_id} too.
type OAuth struct {
	AuthorizeURL    string
	AuthorizeParams map[string]string // beside those of the standard
	TokenURL        string
	ClientAuth      ClientAuth        // at TokenURL
	Headers         map[string]string // of every request
	Account         Account
	Revocation      Revocation
	Settings        []PluginSetting // for the URLs

	DefaultScopes  []string // asked for when nobody names others
	AlwaysScopes   []string // asked for beside all others
	ScopeParam     string   // "scope" unless set
	ScopeSeparator string   // a space unless set
	AllScopes      string   // what the provider grants instead of naming all that it was asked for
	PKCE           bool     // S256

	// Discover gives the endpoints of a service that describes them itself, for one operation.
	Discover func(ctx context.Context, s Service) (Endpoints, error)
	// Finish is for what the other fields cannot say: it may change the token, of which reply is the answer of TokenURL.
	// It is called before the account is looked up.
	Finish func(ctx context.Context, s Service, reply []byte, t *Token) error
}

// ClientAuth is how a provider wants to be shown client id and secret.
type ClientAuth int

// The ways of showing them.
const (
	InBody  ClientAuth = iota // among the form's values
	InBasic                   // by basic authentication, beside a form
	InJSON                    // by basic authentication, beside a body of JSON
	Bearer                    // of revocations: not at all, the access token is sent as a bearer's
	None                      // of revocations: not at all
)

// Account says where to find out whose token it is. ID, Username and Title are paths in an answer of JSON, "data.id";
// the first of several with spaces between them that leads to something counts.
type Account struct {
	URL      string // asked with the token as a bearer's; empty: the answer of TokenURL has it
	Query    string // of GraphQL, unless empty
	ID       string // what never changes
	Username string // for people
	Title    string // for people; empty: the server makes one
}

// Revocation says how tokens are made worthless; with an empty URL they cannot be.
type Revocation struct {
	URL        string
	Method     string // POST unless set
	ClientAuth ClientAuth
	TokenField string // "token" unless set; with another one the access token is sent and never the refresh token
}

// Endpoints are the addresses of a service.
type Endpoints struct{ AuthorizeURL, TokenURL, AccountURL, RevokeURL string }

// Service is what the hooks of a provider work with.
type Service struct {
	Client       *http.Client // follows no redirects
	ClientID     string
	ClientSecret string
	Setting      func(name string) string // without the provider's name before it
}

const (
	settingClientID     = "client_id"
	settingClientSecret = "client_secret"
)

// endpointSettings are those of endpoints that no setting of the provider's own is part of.
var endpointSettings = []struct {
	name, description string
	of                func(*OAuth) *string
}{
	{"authorize_url", "where users agree", func(o *OAuth) *string { return &o.AuthorizeURL }},
	{"token_url", "where codes are exchanged for tokens", func(o *OAuth) *string { return &o.TokenURL }},
	{"account_url", "where it says whose a token is", func(o *OAuth) *string { return &o.Account.URL }},
	{"revoke_url", "where tokens are revoked", func(o *OAuth) *string { return &o.Revocation.URL }},
}

// inBraces are the settings within a URL.
var inBraces = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)

// ownSetting says that an endpoint is a setting by itself.
func ownSetting(endpoint string) bool {
	return endpoint != "" && strings.ReplaceAll(endpoint, "{"+settingClientID+"}", "") == inBraces.ReplaceAllString(endpoint, "")
}

// prefix precedes the names of the provider's settings.
func (p Provider) prefix(plugin string) string {
	if p.Name == plugin {
		return ""
	}
	return p.Name + "_"
}

// settings are those that the provider brings into its plugin.
func (p Provider) settings(plugin string) []PluginSetting {
	o := p.OAuth
	if o == nil {
		return nil
	}
	all := []PluginSetting{
		{Name: settingClientID, Description: "Client id of the OAuth app at " + p.DisplayName},
		{Name: settingClientSecret, Description: "Client secret of the OAuth app at " + p.DisplayName, Secret: true},
	}
	all = append(all, o.Settings...)
	for _, e := range endpointSettings {
		if endpoint := *e.of(o); ownSetting(endpoint) {
			all = append(all, PluginSetting{Name: e.name, Description: "Endpoint of " + p.DisplayName + ": " + e.description, Default: endpoint})
		}
	}
	for i := range all {
		// A provider that lacks a setting is not configured, which is no reason for its plugin not to start.
		all[i].Name, all[i].Required = p.prefix(plugin)+all[i].Name, false
	}
	return all
}

// describe checks the provider and tells the host about it.
func (p Provider) describe(plugin string) (*proto.ProviderDescription, error) {
	d := &proto.ProviderDescription{
		Name: p.Name, DisplayName: p.DisplayName,
		ApiKey: p.APIKey, UserPassword: p.UserPassword, HostScoped: p.HostScoped, Serialised: p.Serialised,
	}
	switch {
	case !plainName.MatchString(p.Name):
		return d, fmt.Errorf("provider %q: a name takes lower-case letters, digits and _", p.Name)
	case p.DisplayName == "":
		return d, fmt.Errorf("provider %q has no DisplayName", p.Name)
	case p.OAuth == nil && !p.APIKey && !p.UserPassword && !p.HostScoped:
		return d, fmt.Errorf("provider %q takes no kind of credentials", p.Name)
	case p.OAuth == nil:
		return d, nil
	}
	o := p.OAuth
	if err := o.check(); err != nil {
		return d, fmt.Errorf("provider %q: %w", p.Name, err)
	}
	d.Oauth = &proto.OAuthDescription{
		DefaultScopes: union(o.AlwaysScopes, o.DefaultScopes), Pkce: o.PKCE, Revokes: o.Revocation.URL != "" || o.Discover != nil,
	}
	required := []string{settingClientID, settingClientSecret}
	for _, s := range o.Settings {
		if s.Required {
			required = append(required, s.Name)
		}
	}
	for _, name := range required {
		d.Oauth.RequiredSettings = append(d.Oauth.RequiredSettings, p.prefix(plugin)+name)
	}
	return d, nil
}

func (o *OAuth) check() error {
	known := map[string]bool{"{" + settingClientID + "}": true}
	for _, s := range o.Settings {
		if !plainName.MatchString(s.Name) {
			return fmt.Errorf("setting %q: a name takes lower-case letters, digits and _", s.Name)
		}
		known["{"+s.Name+"}"] = true
	}
	for _, e := range endpointSettings {
		endpoint := *e.of(o)
		for _, name := range inBraces.FindAllString(endpoint, -1) {
			if !known[name] {
				return fmt.Errorf("%s: %s is none of its settings", endpoint, name)
			}
		}
		if u, err := url.Parse(inBraces.ReplaceAllString(endpoint, "x")); err != nil || ownSetting(endpoint) && u.Host == "" {
			return fmt.Errorf("%q is no URL", endpoint)
		}
	}
	if o.Discover == nil && (o.AuthorizeURL == "" || o.TokenURL == "") {
		return errors.New("it needs AuthorizeURL and TokenURL, or Discover")
	}
	return nil
}

// union are the texts of all lists, each once, in order.
func union(lists ...[]string) []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, list := range lists {
		for _, text := range list {
			if !seen[text] {
				seen[text] = true
				all = append(all, text)
			}
		}
	}
	return all
}
