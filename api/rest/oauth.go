package rest

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/oauth"
)

// Connections connects accounts at providers.
type Connections interface {
	// All are the providers, in the order in which they are shown.
	All() []*oauth.Provider
	Ticket(ctx context.Context, r oauth.Request) (string, error)
	Redeem(ctx context.Context, provider, ticket string) (user string, err error)
	Authorize(ctx context.Context, r oauth.Request) (*oauth.Authorization, error)
	Connect(ctx context.Context, c oauth.Callback) (oauth.Connection, error)
	Refresh(ctx context.Context, user, id string) (*credential.Credential, error)
}

// providersPath is where the operations of OAuth lie.
const providersPath = "/api/v2/integrations/oauth/"

// ListProviders is GET /api/v2/integrations/providers.
func (s *server) ListProviders(_ context.Context, r ListProvidersRequestObject) (ListProvidersResponseObject, error) {
	all := s.connections.All()
	answer := ListProviders200JSONResponse{Pagination: everything(len(all))}
	if r.Params.Page != nil || r.Params.PageSize != nil {
		p := pageOf(r.Params.Page, r.Params.PageSize)
		answer.Pagination = p.of(len(all))
		all = cut(all, p)
	}
	answer.Providers = make([]Provider, len(all))
	for i, p := range all {
		answer.Providers[i] = provider(p)
	}
	return answer, nil
}

func provider(p *oauth.Provider) Provider {
	shown := Provider{
		Name: p.Name, DisplayName: p.DisplayName, SupportsOauth: p.OAuth != nil, SupportsApiKey: p.APIKey,
		SupportsUserPassword: p.UserPassword, SupportsHostScoped: p.HostScoped, DefaultScopes: []string{}, IsConfigured: true,
	}
	if p.OAuth != nil {
		address := providersPath + p.Name + "/authorize"
		shown.OauthUrl, shown.IsConfigured = &address, p.OAuth.Configured()
		shown.DefaultScopes = append(shown.DefaultScopes, p.OAuth.DefaultScopes...)
	}
	return shown
}

// CreateOAuthTicket is POST /api/v2/integrations/oauth/{provider}/ticket.
func (s *server) CreateOAuthTicket(ctx context.Context, r CreateOAuthTicketRequestObject) (CreateOAuthTicketResponseObject, error) {
	ticket, err := s.connections.Ticket(ctx, requested(ctx, r.Provider, value(r.Params.Scopes), value(r.Params.ReturnTo)))
	if err != nil {
		return nil, err
	}
	query := url.Values{"ticket": {ticket}}
	for name, given := range map[string]*string{"scopes": r.Params.Scopes, "return_to": r.Params.ReturnTo} {
		if given != nil {
			query.Set(name, *given)
		}
	}
	return CreateOAuthTicket200JSONResponse{Url: s.baseURL + providersPath + url.PathEscape(r.Provider) + "/authorize?" + query.Encode()}, nil
}

// Authorize is GET /api/v2/integrations/oauth/{provider}/authorize.
func (s *server) Authorize(ctx context.Context, r AuthorizeRequestObject) (AuthorizeResponseObject, error) {
	a, cookie, err := s.authorize(ctx, r.Provider, value(r.Params.Scopes), value(r.Params.ReturnTo))
	if err != nil {
		return nil, err
	}
	answer := redirection{to: a.URL, cookie: cookie}
	if browserOf(ctx).wantsJSON {
		answer.instead = Authorization{AuthorizationUrl: a.URL, State: a.State}
	}
	return answer, nil
}

// authorize begins to connect an account of the caller's, in the browser that gets the cookie.
func (s *server) authorize(ctx context.Context, provider, scopes, returnTo string) (*oauth.Authorization, *http.Cookie, error) {
	a, err := s.connections.Authorize(ctx, requested(ctx, provider, scopes, returnTo))
	if err != nil {
		return nil, nil, err
	}
	cookie := s.stateCookie(provider, a.Cookie)
	cookie.Value, cookie.MaxAge = a.Browser, int(a.Life/time.Second)
	return a, cookie, nil
}

// requested is what the caller asks to be connected to.
func requested(ctx context.Context, provider, scopes, returnTo string) oauth.Request {
	return oauth.Request{
		User: auth.From(ctx).UserID, Provider: provider, ReturnTo: returnTo,
		Scopes: strings.FieldsFunc(scopes, func(c rune) bool { return c == ',' || c == ' ' }),
	}
}

// stateCookie is the cookie that binds a browser to a state. It goes to the callback alone.
func (s *server) stateCookie(provider, name string) *http.Cookie {
	path := ""
	if u, err := url.Parse(s.baseURL); err == nil {
		path = u.EscapedPath()
	}
	return &http.Cookie{
		Name: name, Path: path + providersPath + url.PathEscape(provider) + "/callback", HttpOnly: true,
		Secure: strings.HasPrefix(s.baseURL, "https://"), SameSite: http.SameSiteLaxMode,
	}
}

// FinishAuthorization is GET /api/v2/integrations/oauth/{provider}/callback. The state is the credential.
func (s *server) FinishAuthorization(ctx context.Context, r FinishAuthorizationRequestObject) (FinishAuthorizationResponseObject, error) {
	state := value(r.Params.State)
	name := oauth.Cookie(state)
	connected, err := s.connections.Connect(ctx, oauth.Callback{
		Provider: r.Provider, State: state, Code: value(r.Params.Code), Error: value(r.Params.Error), Browser: browserOf(ctx).cookies[name],
	})
	identified(ctx, auth.Principal{UserID: connected.User})
	if err != nil {
		return nil, err
	}
	c, to := connected.Credential, connected.ReturnTo
	audited(ctx, c.ID)
	cookie := s.stateCookie(r.Provider, name)
	cookie.MaxAge = -1
	if to == "" {
		return redirection{instead: integration(c), cookie: cookie}, nil
	}
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	query.Set("success", strconv.FormatBool(true))
	query.Set("integration_id", c.ID)
	u.RawQuery = query.Encode()
	return redirection{to: u.String(), cookie: cookie}, nil
}

// FinishAuthorizationByToken is POST /api/v2/integrations/oauth/{provider}/callback.
func (s *server) FinishAuthorizationByToken(ctx context.Context, r FinishAuthorizationByTokenRequestObject) (FinishAuthorizationByTokenResponseObject, error) {
	c, err := s.connect(ctx, r.Provider, r.Body.State, r.Body.Code)
	return FinishAuthorizationByToken200JSONResponse(c), err
}

// connect stores an account for the user who began, whose credential stands for the cookie.
func (s *server) connect(ctx context.Context, provider, state, code string) (Integration, error) {
	connected, err := s.connections.Connect(ctx, oauth.Callback{Provider: provider, State: state, Code: code, User: auth.From(ctx).UserID})
	if err != nil {
		return Integration{}, err
	}
	audited(ctx, connected.Credential.ID)
	return integration(connected.Credential), nil
}

// RefreshIntegration is POST /api/v2/integrations/{integration_id}/refresh.
func (s *server) RefreshIntegration(ctx context.Context, r RefreshIntegrationRequestObject) (RefreshIntegrationResponseObject, error) {
	c, err := s.connections.Refresh(ctx, auth.From(ctx).UserID, r.IntegrationId)
	if err != nil {
		return nil, err
	}
	return RefreshIntegration200JSONResponse(integration(c)), nil
}

// redirection sends a browser on, or gives JSON instead of that. What it says is not for the next page.
type redirection struct {
	to      string
	instead any
	cookie  *http.Cookie
}

func (r redirection) write(w http.ResponseWriter) error {
	http.SetCookie(w, r.cookie)
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.instead == nil {
		w.Header().Set("Location", r.to)
		w.WriteHeader(http.StatusFound)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // addresses stay readable
	return e.Encode(r.instead)
}

// VisitAuthorizeResponse writes the answer.
func (r redirection) VisitAuthorizeResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitBeginLoginV1Response writes the answer.
func (r redirection) VisitBeginLoginV1Response(w http.ResponseWriter) error { return r.write(w) }

// VisitFinishAuthorizationResponse writes the answer.
func (r redirection) VisitFinishAuthorizationResponse(w http.ResponseWriter) error { return r.write(w) }

// browser is what only a browser sends.
type browser struct {
	cookies   map[string]string
	wantsJSON bool // and no page
}

type browserKey struct{}

func browserOf(ctx context.Context) browser {
	b, _ := ctx.Value(browserKey{}).(browser)
	return b
}

// withBrowser lets the handler of an operation that is declared "x-browser: true" see what a browser sends.
func withBrowser(ctx context.Context, r *http.Request) context.Context {
	b := browser{cookies: map[string]string{}}
	for _, cookie := range r.Cookies() {
		b.cookies[cookie.Name] = cookie.Value
	}
	page := false
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, _, _ := mime.ParseMediaType(part)
		b.wantsJSON = b.wantsJSON || media == "application/json"
		page = page || media == "text/html"
	}
	b.wantsJSON = b.wantsJSON && !page
	return context.WithValue(ctx, browserKey{}, b)
}
