package sdk

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Token is what a provider gives for a code, and for a refresh token.
type Token struct {
	AccessToken   string
	TokenType     string // "Bearer" where it is empty
	RefreshToken  string
	Expiry        time.Time // zero: it does not expire, or nobody knows
	RefreshExpiry time.Time
	Scopes        []string // granted
	AccountID     string
	Username      string
	Title         string
}

// Provide does an operation of one of a plugin's providers outside of a session, as blocktest does.
func Provide(ctx context.Context, p Plugin, call *proto.ProviderCall) (*proto.ProviderResult, error) {
	for _, provider := range p.Providers {
		if provider.Name == call.GetProvider() {
			return provider.provide(ctx, p.Name, call)
		}
	}
	return nil, InvalidInput("plugin %s has no provider %q", p.Name, call.GetProvider())
}

// provide does an operation; a panic becomes its error.
func (p Provider) provide(ctx context.Context, plugin string, call *proto.ProviderCall) (result *proto.ProviderResult, err error) {
	returned := false
	defer func() {
		if !returned {
			err = newPanicError(recover())
		}
	}()
	result, err = p.operate(ctx, plugin, call)
	returned = true
	return result, err
}

func (p Provider) operate(ctx context.Context, plugin string, call *proto.ProviderCall) (*proto.ProviderResult, error) {
	if p.OAuth == nil {
		return nil, InvalidInput("%s has no OAuth", p.DisplayName)
	}
	o, err := p.operation(ctx, plugin)
	if err != nil {
		return nil, o.explain("is asked for its endpoints", err)
	}
	switch c := call.GetOperation().(type) {
	case *proto.ProviderCall_AuthorizationUrl:
		return &proto.ProviderResult{AuthorizationUrl: o.authorizationURL(c.AuthorizationUrl)}, nil
	case *proto.ProviderCall_ExchangeCode:
		t, err := o.exchange(ctx, c.ExchangeCode)
		return tokensResult(t), err
	case *proto.ProviderCall_RefreshToken:
		t, err := o.refresh(ctx, c.RefreshToken)
		return tokensResult(t), err
	case *proto.ProviderCall_RevokeToken:
		revoked, err := o.revoke(ctx, c.RevokeToken)
		return &proto.ProviderResult{Revoked: revoked}, err
	}
	return nil, InvalidInput("%s does not know the operation", p.DisplayName)
}

func tokensResult(t *Token) *proto.ProviderResult {
	if t == nil {
		return nil
	}
	scopes := make([]string, len(t.Scopes))
	for i, scope := range t.Scopes {
		scopes[i] = validText(scope)
	}
	return &proto.ProviderResult{Tokens: &proto.Tokens{
		AccessToken: t.AccessToken, TokenType: validText(t.TokenType), RefreshToken: t.RefreshToken,
		ExpiresAt: unixSeconds(t.Expiry), RefreshExpiresAt: unixSeconds(t.RefreshExpiry), Scopes: scopes,
		Account: &proto.Account{Id: validText(t.AccountID), Username: validText(t.Username), Title: validText(t.Title)},
	}}
}

func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// operation is one call of a provider, with its settings in their places.
type operation struct {
	provider  Provider
	oauth     *OAuth
	service   Service
	endpoints Endpoints
	secrets   []string // that no error may tell
}

func (p Provider) operation(ctx context.Context, plugin string) (*operation, error) {
	prefix := p.prefix(plugin)
	setting := func(name string) string { return Setting(ctx, prefix+name) }
	client := HTTPClient(ctx)
	client.Transport = headers{p.OAuth.Headers, client.Transport}
	// A redirect would take codes, tokens and the client's secret to wherever it leads.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o := &operation{provider: p, oauth: p.OAuth, service: Service{
		Client: client, ClientID: setting(settingClientID), ClientSecret: setting(settingClientSecret), Setting: setting,
	}}
	o.hide(o.service.ClientSecret)
	if p.OAuth.Discover != nil {
		var err error
		o.endpoints, err = p.OAuth.Discover(ctx, o.service)
		return o, err
	}
	at := func(name, endpoint string) string {
		if ownSetting(endpoint) {
			if set := setting(name); set != "" {
				endpoint = set
			}
		}
		return inBraces.ReplaceAllStringFunc(endpoint, func(name string) string {
			name = strings.Trim(name, "{}")
			if name == settingClientID {
				return url.PathEscape(o.service.ClientID)
			}
			return strings.TrimRight(setting(name), "/")
		})
	}
	o.endpoints = Endpoints{
		AuthorizeURL: at("authorize_url", p.OAuth.AuthorizeURL), TokenURL: at("token_url", p.OAuth.TokenURL),
		AccountURL: at("account_url", p.OAuth.Account.URL), RevokeURL: at("revoke_url", p.OAuth.Revocation.URL),
	}
	return o, nil
}

// minSecret is how long a text is in bytes that is looked for in errors. Shorter ones are found everywhere.
const minSecret = 6

// hide keeps texts out of errors.
func (o *operation) hide(texts ...string) {
	for _, text := range texts {
		if len(text) >= minSecret {
			o.secrets = append(o.secrets, text, url.QueryEscape(text))
		}
	}
}

func (o *operation) config(redirect string) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	if o.oauth.ClientAuth == InBody {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: o.service.ClientID, ClientSecret: o.service.ClientSecret, RedirectURL: redirect,
		Endpoint: oauth2.Endpoint{AuthURL: o.endpoints.AuthorizeURL, TokenURL: o.endpoints.TokenURL, AuthStyle: style},
	}
}

// asked are the scopes to ask for.
func (o *operation) asked(scopes []string) []string {
	if len(scopes) == 0 {
		scopes = o.oauth.DefaultScopes
	}
	return union(o.oauth.AlwaysScopes, scopes)
}

func (o *operation) authorizationURL(c *proto.AuthorizationUrl) string {
	var options []oauth2.AuthCodeOption
	for name, value := range o.oauth.AuthorizeParams {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	if scopes := o.asked(c.GetScopes()); len(scopes) > 0 {
		param, separator := o.oauth.ScopeParam, o.oauth.ScopeSeparator
		if param == "" {
			param = "scope"
		}
		if separator == "" {
			separator = " "
		}
		options = append(options, oauth2.SetAuthURLParam(param, strings.Join(scopes, separator)))
	}
	if c.GetCodeChallenge() != "" && o.oauth.PKCE {
		options = append(options,
			oauth2.SetAuthURLParam("code_challenge", c.GetCodeChallenge()), oauth2.SetAuthURLParam("code_challenge_method", "S256"))
	}
	return o.config(c.GetRedirectUri()).AuthCodeURL(c.GetState(), options...)
}

func (o *operation) exchange(ctx context.Context, c *proto.ExchangeCode) (*Token, error) {
	o.hide(c.GetCode(), c.GetCodeVerifier())
	var options []oauth2.AuthCodeOption
	if c.GetCodeVerifier() != "" && o.oauth.PKCE {
		options = append(options, oauth2.VerifierOption(c.GetCodeVerifier()))
	}
	ctx, reply := o.tokenContext(ctx)
	got, err := o.config(c.GetRedirectUri()).Exchange(ctx, c.GetCode(), options...)
	if err != nil {
		return nil, o.explain("was asked for tokens", err)
	}
	t, err := o.finish(ctx, reply, got, o.asked(c.GetScopes()))
	if err != nil {
		return nil, err
	}
	if err := o.lookUp(ctx, reply.body, t); err != nil {
		return nil, o.explain(lookedUp, err)
	}
	return t, nil
}

func (o *operation) refresh(ctx context.Context, c *proto.RefreshToken) (*Token, error) {
	o.hide(c.GetRefreshToken())
	ctx, reply := o.tokenContext(ctx)
	got, err := o.config("").TokenSource(ctx, &oauth2.Token{RefreshToken: c.GetRefreshToken()}).Token()
	if err != nil {
		return nil, o.explain("was asked for new tokens", err)
	}
	t, err := o.finish(ctx, reply, got, c.GetScopes())
	if err == nil && len(t.Scopes) == 0 {
		t.Scopes = c.GetScopes() // some answer with an empty list, which takes nothing away
	}
	return t, err
}

// finish reads what the standard does not name, and does what the provider does in its own way.
func (o *operation) finish(ctx context.Context, reply *tokenReply, got *oauth2.Token, asked []string) (*Token, error) {
	t := &Token{AccessToken: got.AccessToken, TokenType: got.TokenType, RefreshToken: got.RefreshToken, Expiry: got.Expiry, Scopes: asked}
	values := decodeReply(reply)
	switch granted := values.find("scope").(type) {
	case string:
		t.Scopes = splitScopes(granted)
	case []any:
		t.Scopes = nil
		for _, one := range granted {
			if text, ok := one.(string); ok {
				t.Scopes = append(t.Scopes, text)
			}
		}
	}
	if o.oauth.AllScopes != "" && len(t.Scopes) == 1 && t.Scopes[0] == o.oauth.AllScopes {
		t.Scopes = asked
	}
	if seconds := values.seconds("refresh_token_expires_in"); seconds > 0 {
		t.RefreshExpiry = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	o.hide(t.AccessToken, t.RefreshToken)
	if o.oauth.Finish != nil {
		if err := o.oauth.Finish(ctx, o.service, reply.body, t); err != nil {
			return nil, o.explain("answered", err)
		}
		o.hide(t.AccessToken, t.RefreshToken)
	}
	if t.AccessToken == "" {
		return nil, Temporary("%s gave no access token", o.provider.DisplayName)
	}
	if !validHeader(t.AccessToken) || !validHeader(t.RefreshToken) {
		return nil, Temporary("%s gave a token that no request can carry", o.provider.DisplayName)
	}
	t.Scopes = union(t.Scopes)
	return t, nil
}

// splitScopes takes a list apart that has spaces or commas between its members, whatever it was asked with.
func splitScopes(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' })
}

// validHeader says that a text may stand in a header: visible ASCII.
func validHeader(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e }) < 0
}
