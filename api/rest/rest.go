// Package rest is the REST API: routes, types and parameters generated from ../openapi.yaml, one file of handlers a
// resource, and what every request passes on its way to them. It holds no rules of the domain: what a graph or an
// execution may do is decided behind the interfaces that stand at the head of each resource's file. Values must pass
// through it byte for byte.
package rest

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gorilla/mux"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/budget"
	"github.com/patchbay-io/patchbay/core/execution"
)

// Config is what the API needs.
type Config struct {
	Document     *Document
	Logger       hclog.Logger
	Audit        hclog.Logger // of what changes rights, keys, credentials and listings
	Authenticate func(*http.Request) (auth.Principal, error)
	Library      Library
	Graphs       Graphs
	Blocks       Blocks
	Executions   Executions
	Files        Files
	Users        Users
	Keys         Keys
	Integrations Integrations
	Connections  Connections
	BaseURL      string // under which browsers reach the API
	Store        Store
	Plugins      Plugins
	StorePublic  bool    // the store may be read without a credential
	Logins       Logins  // nil: the server has no accounts of its own
	Limiter      Limiter // nil: nothing is counted
	Limits       Limits
	// Away says whether an error means that the database cannot be asked at the moment; nil: none does.
	Away    func(error) bool
	MaxBody int64    // bytes of a request's body; over it 413
	Origins []string // origins whose pages may call the API from a browser; empty: those of the same host
	// TrustedProxies are the networks whose X-Forwarded-For counts.
	TrustedProxies []netip.Prefix
}

// API serves everything under /api and /external-api, /openapi.json and /docs. Every other path is 404.
type API struct {
	handler http.Handler
	limited *limited
	located mux.MiddlewareFunc
	bodies  *budget.Budget
	close   context.CancelFunc
}

// New builds the API.
func New(c Config) (*API, error) {
	doc := c.Document
	if doc == nil {
		return nil, errors.New("there is no document")
	}
	if c.MaxBody <= 0 {
		return nil, errors.New("the limit of request bodies is not set")
	}
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	if err := routeDocs(router); err != nil {
		return nil, err
	}
	closing, cancel := context.WithCancel(context.Background())
	s := &server{
		log: c.Logger, library: c.Library, graphs: c.Graphs, executions: c.Executions, files: c.Files, users: c.Users, keys: c.Keys, integrations: c.Integrations, connections: c.Connections, baseURL: strings.TrimRight(c.BaseURL, "/"), origins: c.Origins, logins: c.Logins,
		store: c.Store, plugins: c.Plugins, storePublic: c.StorePublic, away: c.Away,
		blocks: &blockList{source: c.Blocks}, closing: closing, bodies: budget.New(8*int(c.MaxBody), 2*int(c.MaxBody)),
	}

	router.Handle("/openapi.json", doc).Methods(http.MethodGet)
	operations := router.NewRoute().Subrouter()
	limited := &limited{c.Limiter, c.Limits}
	located := located(c.TrustedProxies)
	operations.Use(
		located,
		superseded(doc), // by the path as it came
		decoded,
		audit(c.Audit, doc),
		s.authenticated(doc, c.Authenticate, limited),
		s.checked(doc, c.MaxBody),
	)
	HandlerWithOptions(
		NewStrictHandlerWithOptions(s, nil, StrictHTTPServerOptions{
			RequestErrorHandlerFunc:  s.unreadable,
			ResponseErrorHandlerFunc: s.failed,
		}),
		GorillaServerOptions{BaseRouter: operations, ErrorHandlerFunc: s.unreadable},
	)
	router.NotFoundHandler = located(s.unmatched(doc, router, c.Authenticate, limited))
	router.MethodNotAllowedHandler = router.NotFoundHandler

	return &API{handler: leaving(closing, surrounded(router, c.Logger, c.Origins), c.MaxBody), limited: limited, located: located, bodies: s.bodies, close: cancel}, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Counted counts a request for something else than this API as one for it: of whom it is, or where that is nobody of its
// address. The error says that there were too many.
func (a *API) Counted(w http.ResponseWriter, r *http.Request, of auth.Principal) (err error) {
	a.located(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if of.UserID == "" {
			err = a.limited.anonymous(w, r)
		} else {
			err = a.limited.known(w, r, of, access{})
		}
	})).ServeHTTP(w, r)
	return err
}

// Close lets requests that wait for something end now, as if their time were over.
func (a *API) Close() { a.close() }

// server implements StrictServerInterface; its methods stand in the files of their resources.
type server struct {
	log          hclog.Logger
	library      Library
	graphs       Graphs
	blocks       *blockList
	executions   Executions
	files        Files
	users        Users
	keys         Keys
	integrations Integrations
	connections  Connections
	baseURL      string
	origins      []string
	logins       Logins
	store        Store
	plugins      Plugins
	storePublic  bool
	away         func(error) bool
	closing      context.Context
	bodies       *budget.Budget // that are on their way
}

var _ StrictServerInterface = (*server)(nil)

// unreadable answers to requests that generated code could not take apart. What the document forbids was refused
// before, so this is the second line.
func (s *server) unreadable(w http.ResponseWriter, _ *http.Request, err error) {
	if format, ok := errors.AsType[*InvalidParamFormatError](err); ok {
		problem.Write(w, problem.Field(format.ParamName, "has the wrong form"))
		return
	}
	if many, ok := errors.AsType[*TooManyValuesForParamError](err); ok {
		problem.Write(w, problem.Field(many.ParamName, "is given more than once"))
		return
	}
	problem.Write(w, problem.Field("body", "has the wrong form"))
}

// failed answers when a handler, or the writing of its answer, failed.
func (s *server) failed(w http.ResponseWriter, r *http.Request, err error) {
	id := w.Header().Get("X-Request-Id")
	if r.Context().Err() != nil || begun(w) {
		s.log.Debug("answer broke off", "method", r.Method, "path", r.URL.Path, "request_id", id, "error", err)
		panic(http.ErrAbortHandler) // the client has gone, or must see that what it got is not whole
	}
	p := problem.OfAway(err, s.away)
	_, busy := errors.AsType[*execution.Busy](err)
	switch {
	case p.Status == http.StatusNotImplemented || busy: // as the operator has set it
		s.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "request_id", id, "error", err)
	case errors.Is(err, auth.ErrUnchecked): // which is said where keys were asked for, once, and not for each who sends a token
		s.log.Debug("request could not be authenticated", "method", r.Method, "path", r.URL.Path, "request_id", id, "error", err)
	case p.Status >= 500:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "request_id", id, "error", err)
	}
	if body, ok := r.Body.(*pieces); ok && !body.ended {
		leaveBody(w, r)
	}
	if p.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", auth.Challenge(err))
	}
	problem.Write(w, p)
}
