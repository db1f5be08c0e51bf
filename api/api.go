// Package api puts the REST and the WebSocket API together, each of which stands in a room of its own, and holds the
// document that describes the former. It knows the core by the interfaces that those rooms declare, and starts nothing.
package api

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/api/rest"
	"github.com/patchbay-io/patchbay/api/ws"
)

// Document is the OpenAPI document of the REST API.
//
//go:embed openapi.yaml
var Document []byte

// Config is what the APIs need.
type Config struct {
	Logger        hclog.Logger
	Audit         hclog.Logger
	Authenticator *auth.Authenticator
	Library       rest.Library
	Graphs        rest.Graphs
	Blocks        rest.Blocks
	Executions    rest.Executions
	Files         rest.Files
	Users         rest.Users
	Keys          rest.Keys
	Integrations  rest.Integrations
	Connections   rest.Connections
	BaseURL       string // under which browsers reach the API
	Store         rest.Store
	Plugins       rest.Plugins
	StorePublic   bool        // the store may be read without a credential
	Logins        rest.Logins // nil: no accounts of the server's own
	Limiter       rest.Limiter
	Limits        rest.Limits
	Away          func(error) bool // says that the database cannot be asked at the moment
	Subscribe     Subscribe
	MaxBody       int64          // bytes of a request's body
	Origins       []string       // of pages that may call, beside those of the same host
	Proxies       []netip.Prefix // whose X-Forwarded-For counts
}

// Subscribe opens a view of an execution's events, those after a number.
type Subscribe func(ctx context.Context, user, executionID string, afterSeq int64) (ws.Subscription, error)

// API serves REST, and WebSockets at /ws.
type API struct {
	rest *rest.API
	ws   *ws.Handler
}

// New builds the handlers.
func New(c Config) (*API, error) {
	document, err := rest.ParseDocument(Document)
	if err != nil {
		return nil, fmt.Errorf("read the API's document: %w", err)
	}
	r, err := rest.New(rest.Config{
		Document: document, Logger: c.Logger.Named("rest"), Audit: c.Audit, Authenticate: c.Authenticator.Authenticate,
		Library: c.Library, Graphs: c.Graphs, Blocks: c.Blocks, Executions: c.Executions, Files: c.Files, Users: c.Users, Keys: c.Keys, Integrations: c.Integrations, Connections: c.Connections, BaseURL: c.BaseURL, Logins: c.Logins, Store: c.Store, Plugins: c.Plugins, StorePublic: c.StorePublic,
		Away: c.Away, MaxBody: c.MaxBody, Origins: c.Origins,
		TrustedProxies: c.Proxies, Limiter: c.Limiter, Limits: c.Limits,
	})
	if err != nil {
		return nil, err
	}
	return &API{rest: r, ws: ws.New(ws.Config{
		Logger: c.Logger.Named("ws"), Authenticate: c.Authenticator.Authenticate, Credential: c.Authenticator.Credential,
		Current: c.Authenticator.Current, Counted: r.Counted, Subscribe: c.Subscribe, Away: c.Away, Origins: c.Origins, Limits: ws.DefaultLimits,
	})}, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ws" {
		rest.Identified(a.ws).ServeHTTP(w, r)
		return
	}
	a.rest.ServeHTTP(w, r)
}

// Recheck has the WebSockets of a user closed whose credentials are not good any more, without waiting for the next look.
func (a *API) Recheck(user string) { a.ws.Recheck(user) }

// WebSocket serves the WebSocket's own port: /ws, and 404 for all else.
func (a *API) WebSocket() http.Handler {
	return rest.Identified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			a.ws.ServeHTTP(w, r)
			return
		}
		problem.Write(w, problem.NotFound("there is nothing at this path"))
	}))
}

// Shutdown ends what lives longer than a request: waits for executions at once, and WebSockets, which it waits for to
// the end of the context. Requests are the http.Server's to finish.
func (a *API) Shutdown(ctx context.Context) error {
	a.rest.Close()
	return a.ws.Shutdown(ctx)
}
