// Package oauth connects users' accounts at other services: it sends browsers to providers and takes them back, keeps
// what connects the two, and refreshes tokens before they end. How a provider speaks is its plugin's affair, and what it
// gives is the vault's. No state, code or token may be kept in the clear, logged, or told in an error, and no connection
// to the database is held while a provider is asked.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"golang.org/x/sync/singleflight"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Providers knows the providers and does their operations. Errors of Provide are *plugin.ProviderError.
type Providers interface {
	Provider(name string) (*plugin.Provider, bool)
	Providers() []*plugin.Provider
	Provide(ctx context.Context, c plugin.ProviderCall) (*proto.ProviderResult, error)
}

// Config is what a Service needs.
type Config struct {
	DB        *bun.DB
	Vault     *credential.Vault
	Providers Providers
	Services  *hostservice.Service
	BaseURL   string // under which browsers and providers reach the API
	Uses      Uses
	ServerID  uuid.UUID // stays the same over restarts
	Logger    hclog.Logger
}

// Uses lets one run at a time use something, over all servers.
type Uses interface {
	Hold(ctx context.Context, ids ...uuid.UUID) (release func(), err error)
}

// Service connects accounts.
type Service struct {
	Config
	log    hclog.Logger
	asking time.Duration // a provider, for one operation
	lease  time.Duration // of a refresh, which is renewed while it goes on

	life    context.Context
	end     context.CancelFunc
	flights singleflight.Group
	closing sync.Mutex // held while something begins
	going   sync.WaitGroup
}

// Bounds of time.
const (
	ticketLife = 5 * time.Minute
	stateLife  = 10 * time.Minute
	asking     = 20 * time.Second
	// lease is what others wait for of a server that was killed: as long as for its executions. A server that is cut
	// off from the database for longer may find that another has refreshed the same token. What it brings is stored all
	// the same, unless the other one's is.
	lease = 8 * time.Second
	// early is how long before its end a token is refreshed.
	early = 5 * time.Minute
)

// New makes a service. What an earlier life of this server was refreshing may be taken up at once.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{Config: c, log: c.Logger.Named("oauth"), asking: asking, lease: lease}
	s.BaseURL = strings.TrimRight(s.BaseURL, "/")
	if _, err := c.DB.ExecContext(ctx, `UPDATE oauth_refresh SET until = now() WHERE server_id = ?`, c.ServerID); err != nil {
		return nil, fmt.Errorf("end what an earlier life has claimed: %w", err)
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close waits for refreshes that go on: what the provider has given must be stored.
func (s *Service) Close() {
	s.closing.Lock()
	s.end()
	s.closing.Unlock()
	s.going.Wait()
}

// ErrUnknown is a provider that nobody knows, or that has no OAuth.
var ErrUnknown = errors.New("no such OAuth provider")

// NotConfigured is a provider that lacks settings.
type NotConfigured struct {
	Provider  string
	Variables []string
}

func (e *NotConfigured) Error() string {
	return fmt.Sprintf("%s is not configured on this server: set %s", e.Provider, strings.Join(e.Variables, " and "))
}

// Refused says why an account is not connected, or not any more. Reason is for programs.
type Refused struct {
	Reason  string
	Field   string // of the request, unless empty
	Message string
}

func (e *Refused) Error() string { return e.Message }

// Reasons of a refusal, beside those that providers give.
const (
	ReasonState   = "invalid_state"   // forged, used, expired, or of another user, browser or provider
	ReasonCode    = "missing_code"    // the provider sent none
	ReasonGrant   = "invalid_grant"   // the provider refuses the code or the refresh token
	ReasonDenied  = "access_denied"   // the user does not want it
	ReasonRequest = "invalid_request" // something of the request is not right
)

// Upstream is a provider that could not be asked, or not as this server is set up.
type Upstream struct{ Message string }

func (e *Upstream) Error() string { return e.Message }

// provider finds a provider through which accounts can be connected.
func (s *Service) provider(name string) (*plugin.Provider, error) {
	p, ok := s.Providers.Provider(name)
	if !ok || p.OAuth == nil {
		return nil, ErrUnknown
	}
	if !p.OAuth.Configured() {
		e := &NotConfigured{Provider: p.DisplayName}
		for _, setting := range p.OAuth.Missing {
			e.Variables = append(e.Variables, "PATCHBAY_PLUGIN_"+strings.ToUpper(p.OAuth.Plugin+"_"+setting))
		}
		return nil, e
	}
	return p, nil
}

// ask has the provider's plugin do something, within a bounded time. Its errors are of this package.
func (s *Service) ask(ctx context.Context, user string, call *proto.ProviderCall) (*proto.ProviderResult, error) {
	ctx, cancel := context.WithTimeout(ctx, s.asking)
	defer cancel()
	services := s.Services.OpenRequests(ctx)
	defer services.End()
	result, err := s.Providers.Provide(ctx, plugin.ProviderCall{Call: call, User: user, Services: services})
	if err == nil {
		return result, nil
	}
	failed, ok := errors.AsType[*plugin.ProviderError](err)
	switch {
	case !ok:
		return nil, err
	case ctx.Err() != nil:
		return nil, &Upstream{fmt.Sprintf("the provider %s did not answer in time", call.GetProvider())}
	case failed.Kind == proto.ErrorKind_ERROR_KIND_AUTHENTICATION:
		return nil, &Refused{Reason: ReasonGrant, Message: failed.Message}
	}
	return nil, &Upstream{failed.Message}
}

// callback is the address to which a provider sends browsers back.
func (s *Service) callback(provider string) string {
	return s.BaseURL + "/api/v2/integrations/oauth/" + provider + "/callback"
}

// Provider is what the host of plugins knows of a provider.
type Provider = plugin.Provider

// All are the providers: those with OAuth first, then by name.
func (s *Service) All() []*Provider { return s.Providers.Providers() }
