package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Provider is a service whose accounts or keys users connect: one that a plugin describes, or one that blocks name in
// their credentials fields and nobody describes.
type Provider struct {
	Name        string
	DisplayName string
	OAuth       *OAuth // nil: accounts are not connected by OAuth
	// The kinds of credentials that users enter by themselves.
	APIKey, UserPassword, HostScoped bool
	// Serialised says that one run at a time may use a credential.
	Serialised bool
}

// OAuth is what there is to know about a provider's OAuth.
type OAuth struct {
	DefaultScopes []string
	PKCE          bool
	Revokes       bool
	Plugin        string
	Missing       []string // settings of the plugin without which the provider is not configured
}

// Configured says that accounts can be connected.
func (o *OAuth) Configured() bool { return len(o.Missing) == 0 }

// Bounds of what a plugin may say of its providers.
const (
	maxProviders = 1_000
	maxScopes    = 200
	maxScope     = 1 << 10
)

// Provider finds a provider by its name.
func (h *Host) Provider(name string) (*Provider, bool) {
	p, ok := h.catalogue.Load().providers[name]
	return p.Provider, ok
}

// Providers are all providers: those with OAuth first, then by name. The slice is shared and must not be changed.
func (h *Host) Providers() []*Provider { return h.catalogue.Load().providersSorted }

// providerEntry is a provider and the plugin that does its operations, nil where none describes it.
type providerEntry struct {
	*Provider
	plugin *supervisor
}

// checkProviders makes providers of a description.
func checkProviders(d *proto.DescribeResponse, settings map[string]bool, bad func(string, ...any)) (providers []*Provider) {
	if len(d.GetProviders()) > maxProviders {
		bad("%d providers; at most %d are allowed", len(d.GetProviders()), maxProviders)
		return nil
	}
	names := map[string]bool{}
	for i, pd := range d.GetProviders() {
		p := &Provider{
			Name: pd.GetName(), DisplayName: pd.GetDisplayName(),
			APIKey: pd.GetApiKey(), UserPassword: pd.GetUserPassword(), HostScoped: pd.GetHostScoped(), Serialised: pd.GetSerialised(),
		}
		wrong := func(format string, args ...any) {
			bad("provider %d (%q): "+format, append([]any{i + 1, shorten(p.Name, 64)}, args...)...)
		}
		switch {
		case !namePattern.MatchString(p.Name):
			wrong("the name is not of the form [a-z][a-z0-9_]*")
		case names[p.Name]:
			wrong("it is described twice")
		case p.DisplayName == "" || len(p.DisplayName) > 256:
			wrong("the display name is missing or longer than 256 bytes")
		}
		names[p.Name] = true
		if od := pd.GetOauth(); od != nil {
			p.OAuth = &OAuth{DefaultScopes: od.GetDefaultScopes(), PKCE: od.GetPkce(), Revokes: od.GetRevokes(), Plugin: d.GetName()}
			for _, name := range od.GetRequiredSettings() {
				if !settings[name] {
					wrong("the setting %q, which it requires, is not declared", shorten(name, 64))
				}
			}
			if len(p.OAuth.DefaultScopes) > maxScopes || slices.ContainsFunc(p.OAuth.DefaultScopes, func(s string) bool { return len(s) > maxScope }) {
				wrong("more than %d default scopes, or one longer than %d bytes", maxScopes, maxScope)
			}
		}
		providers = append(providers, p)
	}
	return providers
}

// configured are the providers of an offer with what their plugin's settings lack.
func (o *offer) configured(settings map[string]string) []*Provider {
	providers := make([]*Provider, len(o.providers))
	for i, p := range o.providers {
		one := *p
		if p.OAuth != nil {
			oauth := *p.OAuth
			for _, name := range o.description.GetProviders()[i].GetOauth().GetRequiredSettings() {
				if settings[name] == "" {
					oauth.Missing = append(oauth.Missing, name)
				}
			}
			one.OAuth = &oauth
		}
		providers[i] = &one
	}
	return providers
}

// addProviders adds those of a plugin.
func (c *catalogue) addProviders(s *supervisor, providers []*Provider) error {
	for _, p := range providers {
		if other, ok := c.providers[p.Name]; ok && other.plugin != nil {
			return permanent(fmt.Errorf("provider %q of plugin %s is described by plugin %s: only one of them can be enabled",
				p.Name, s.name, other.plugin.name))
		}
		c.providers[p.Name] = providerEntry{p, s}
	}
	return nil
}

// nameProviders adds the providers that blocks name, for the kinds of credentials that they take.
func (c *catalogue) nameProviders() {
	for _, b := range c.sorted {
		for _, field := range b.Credentials {
			for _, name := range field.Providers {
				p := c.providers[name]
				if p.plugin != nil {
					continue
				}
				named := Provider{Name: name, DisplayName: title(name)}
				if p.Provider != nil {
					named = *p.Provider
				}
				named.APIKey = named.APIKey || slices.Contains(field.Types, "api_key")
				named.UserPassword = named.UserPassword || slices.Contains(field.Types, "user_password")
				named.HostScoped = named.HostScoped || slices.Contains(field.Types, "host_scoped")
				c.providers[name] = providerEntry{Provider: &named}
			}
		}
	}
	c.providersSorted = make([]*Provider, 0, len(c.providers))
	for p := range maps.Values(c.providers) {
		c.providersSorted = append(c.providersSorted, p.Provider)
	}
	slices.SortFunc(c.providersSorted, func(a, b *Provider) int {
		if (a.OAuth == nil) != (b.OAuth == nil) {
			if a.OAuth != nil {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

// title is how people may read a name that nobody has given a better one.
func title(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, " ")
}

// ProviderCall is an operation of a provider.
type ProviderCall struct {
	Call *proto.ProviderCall
	// User is for whom it is done; empty: nobody.
	User string
	// Services answers what the provider's code asks of its host.
	Services Services
}

// ProviderError says why an operation of a provider failed. AUTHENTICATION: the provider refuses the code or the token.
// PERMANENT: this server is not set up as the provider wants it. All others: it could not be asked.
type ProviderError struct {
	Kind    proto.ErrorKind
	Message string
}

func (e *ProviderError) Error() string { return e.Message }

// maxToken bounds in bytes what a provider may give as a token.
const maxToken = 64 << 10

// Provide does an operation of a provider in the plugin that describes it. It is done at most once. Its error is a
// *ProviderError.
func (h *Host) Provide(ctx context.Context, c ProviderCall) (*proto.ProviderResult, error) {
	result, err := h.provide(ctx, c)
	for err == nil && result == nil { // the catalogue has changed before
		result, err = h.provide(ctx, c)
	}
	return result, err
}

// provide gives nothing when the plugin has been replaced or unloaded before it did anything.
func (h *Host) provide(ctx context.Context, c ProviderCall) (*proto.ProviderResult, error) {
	name := c.Call.GetProvider()
	p, ok := h.catalogue.Load().providers[name]
	if !ok || p.plugin == nil || p.OAuth == nil {
		return nil, &ProviderError{proto.ErrorKind_ERROR_KIND_PERMANENT, fmt.Sprintf("no installed plugin provides OAuth for %s", name)}
	}
	run := Run{Provider: c.Call, Context: &proto.RunContext{UserId: c.User}, Services: c.Services}
	if deadline, ok := ctx.Deadline(); ok {
		run.Context.DeadlineUnixMs = deadline.UnixMilli()
	}
	// It runs as a block would that has no outputs.
	as := &block.Block{Definition: block.Definition{Name: "provider " + name}, Plugin: block.Plugin{Name: p.plugin.name}}
	result := p.plugin.run(ctx, as, &run)
	switch {
	case result.moved:
		return nil, nil
	case result.Crashed != nil:
		return nil, &ProviderError{proto.ErrorKind_ERROR_KIND_TEMPORARY, fmt.Sprintf("plugin %s ended while it asked %s", p.plugin.name, p.DisplayName)}
	case result.Err.GetKind() == proto.ErrorKind_ERROR_KIND_PANIC: // its words may hold anything
		return nil, &ProviderError{proto.ErrorKind_ERROR_KIND_TEMPORARY, fmt.Sprintf("plugin %s failed when it was to ask %s", p.plugin.name, p.DisplayName)}
	case result.Err.GetKind() == proto.ErrorKind_ERROR_KIND_UNSPECIFIED && result.Err != nil:
		return nil, &ProviderError{proto.ErrorKind_ERROR_KIND_PERMANENT, result.Err.GetMessage()}
	case result.Err != nil:
		return nil, &ProviderError{result.Err.GetKind(), result.Err.GetMessage()}
	}
	if err := checkResult(c.Call, result.Provider); err != nil {
		return nil, &ProviderError{proto.ErrorKind_ERROR_KIND_TEMPORARY, fmt.Sprintf("plugin %s sent %s", p.plugin.name, err)}
	}
	return result.Provider, nil
}

func checkResult(c *proto.ProviderCall, r *proto.ProviderResult) error {
	t := r.GetTokens()
	switch c.GetOperation().(type) {
	case *proto.ProviderCall_AuthorizationUrl:
		if r.GetAuthorizationUrl() == "" || len(r.GetAuthorizationUrl()) > maxToken {
			return errors.New("no authorization URL that is of use")
		}
	case *proto.ProviderCall_ExchangeCode, *proto.ProviderCall_RefreshToken:
		switch {
		case t.GetAccessToken() == "":
			return errors.New("no access token")
		case len(t.GetAccessToken()) > maxToken, len(t.GetRefreshToken()) > maxToken:
			return fmt.Errorf("a token of more than %d bytes", maxToken)
		case len(t.GetScopes()) > maxScopes, slices.ContainsFunc(t.GetScopes(), func(s string) bool { return len(s) > maxScope }):
			return fmt.Errorf("more than %d scopes, or one longer than %d bytes", maxScopes, maxScope)
		case len(t.GetAccount().GetId()) > maxScope, len(t.GetAccount().GetUsername()) > maxScope, len(t.GetAccount().GetTitle()) > maxScope:
			return errors.New("an account whose name is too long")
		}
	}
	return nil
}
