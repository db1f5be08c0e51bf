package blocktest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// OAuthServer is an identity provider on this machine, in the dialect that its fields tell. Users agree at once to all
// that they are asked for. The fields may change while Lock is held.
type OAuthServer struct {
	sync.Mutex

	AuthorizePath, TokenPath, AccountPath, RevokePath string

	ClientID, ClientSecret string // "id" and "secret" unless set
	Basic                  bool   // the client shows its secret by basic authentication, else in the body
	JSON                   bool   // requests have bodies of JSON
	PKCE                   bool   // is demanded
	FormReply              bool   // tokens come as a form, not as JSON
	ErrorStatus            int    // of a refusal; 400 unless set
	RefusedCode            string // what a refused code is called; "invalid_grant" unless set
	Separator              string // of the scopes that it grants; " " unless set
	ScopeParam             string // "scope" unless set
	Scopes                 string // granted in place of what was asked for, unless empty
	ExpiresIn              int    // seconds; 0: tokens do not expire
	NoRefresh              bool   // no refresh token with new tokens
	Rotate                 bool   // refreshing gives a new refresh token, and ends the old one
	Account                string // JSON, what AccountPath answers
	Reply                  func(tokens map[string]any)
	API                    http.Handler // answers other paths to whoever brings a good access token
	Down                   int          // a status with which the server answers everything, unless 0
	// Before, unless nil, is called before a request is answered, without the lock.
	Before func(r *http.Request)

	server  *httptest.Server
	last    int
	codes   map[string]grant
	refresh map[string]grant
	access  map[string]grant
	seen    []Seen
}

type grant struct{ scopes, redirect, challenge string }

// Seen is a request that the server got.
type Seen struct {
	Method, Path string
	Header       http.Header
	Form         url.Values // or the members of a JSON object
}

// Start starts the server. It ends with the test.
func (s *OAuthServer) Start(t testing.TB) *OAuthServer {
	s.codes, s.refresh, s.access = map[string]grant{}, map[string]grant{}, map[string]grant{}
	if s.ClientID == "" {
		s.ClientID, s.ClientSecret = "id", "secret"
	}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// URL is where the server is, empty before it starts.
func (s *OAuthServer) URL() string {
	if s.server == nil {
		return ""
	}
	return s.server.URL
}

// Seen are the requests for a path so far.
func (s *OAuthServer) Seen(path string) []Seen {
	s.Lock()
	defer s.Unlock()
	return slices.DeleteFunc(slices.Clone(s.seen), func(r Seen) bool { return r.Path != path })
}

// Valid says whether an access token was given and has not been revoked.
func (s *OAuthServer) Valid(access string) bool {
	s.Lock()
	defer s.Unlock()
	_, ok := s.access[access]
	return ok
}

// Forget makes all refresh tokens worthless.
func (s *OAuthServer) Forget() {
	s.Lock()
	defer s.Unlock()
	clear(s.refresh)
}

// Agree goes to an authorization URL as a browser whose user agrees, and gives the query of the callback.
func Agree(t testing.TB, address string) url.Values {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	location, err := response.Location()
	if err != nil {
		t.Fatalf("%s: %s: %v", address, response.Status, err)
	}
	return location.Query()
}

func (s *OAuthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := Seen{Method: r.Method, Path: r.URL.Path, Header: r.Header}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		object := map[string]string{}
		_ = json.NewDecoder(r.Body).Decode(&object)
		seen.Form = url.Values{}
		for name, value := range object {
			seen.Form.Set(name, value)
		}
	} else {
		_ = r.ParseForm()
		seen.Form = r.Form
	}
	s.Lock()
	before := s.Before
	s.Unlock()
	if before != nil {
		before(r)
	}
	s.Lock()
	defer s.Unlock()
	s.seen = append(s.seen, seen)
	switch {
	case s.Down != 0:
		http.Error(w, "down", s.Down)
	case r.URL.Path == s.AuthorizePath && r.Method == http.MethodGet:
		s.authorize(w, r, seen.Form)
	case r.URL.Path == s.TokenPath && r.Method == http.MethodPost:
		s.token(w, r, seen.Form)
	case r.URL.Path == s.RevokePath:
		s.revoke(w, r, seen.Form)
	default:
		s.api(w, r)
	}
}

// api is what access tokens are for.
func (s *OAuthServer) api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, ok := s.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch {
	case !ok:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"message":"Bad credentials"}`))
	case r.URL.Path == s.AccountPath:
		_, _ = w.Write([]byte(s.Account))
	case s.API != nil:
		s.API.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *OAuthServer) next(kind string) string {
	s.last++
	return fmt.Sprintf("canary-%s-%d-%x", kind, s.last, sha256.Sum256([]byte(s.server.URL)))
}

func (s *OAuthServer) authorize(w http.ResponseWriter, r *http.Request, query url.Values) {
	if query.Get("client_id") != s.ClientID || query.Get("response_type") != "code" {
		http.Error(w, "unknown client", http.StatusBadRequest)
		return
	}
	param := s.ScopeParam
	if param == "" {
		param = "scope"
	}
	code := s.next("code")
	s.codes[code] = grant{query.Get(param), query.Get("redirect_uri"), query.Get("code_challenge")}
	target, err := url.Parse(query.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "redirect_uri", http.StatusBadRequest)
		return
	}
	target.RawQuery = url.Values{"code": {code}, "state": {query.Get("state")}}.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound)
}

func (s *OAuthServer) refuse(w http.ResponseWriter, code string) {
	status := s.ErrorStatus
	if status == 0 {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": code, "error_description": "refused by the test"})
}

// known says that the client shows who it is, in the way that this dialect wants.
func (s *OAuthServer) known(r *http.Request, form url.Values) bool {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if s.Basic {
		if secret != "" {
			return false
		}
		id, secret, _ = r.BasicAuth()
	}
	isJSON := strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
	return id == s.ClientID && secret == s.ClientSecret && isJSON == s.JSON
}

func (s *OAuthServer) token(w http.ResponseWriter, r *http.Request, form url.Values) {
	if !s.known(r, form) {
		s.refuse(w, "invalid_client")
		return
	}
	refused := s.RefusedCode
	if refused == "" {
		refused = "invalid_grant"
	}
	var g grant
	var ok bool
	refresh := form.Get("refresh_token")
	switch form.Get("grant_type") {
	case "authorization_code":
		code := form.Get("code")
		g, ok = s.codes[code]
		delete(s.codes, code)
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		ok = ok && g.redirect == form.Get("redirect_uri") &&
			(!s.PKCE || g.challenge == base64.RawURLEncoding.EncodeToString(sum[:]))
		refresh = s.next("refresh")
	case "refresh_token":
		g, ok = s.refresh[refresh]
		if ok && s.Rotate {
			delete(s.refresh, refresh)
			refresh = s.next("refresh")
		}
	}
	if !ok {
		s.refuse(w, refused)
		return
	}
	access := s.next("access")
	s.access[access] = g
	reply := map[string]any{"access_token": access, "token_type": "bearer", "scope": s.granted(g)}
	if s.ExpiresIn != 0 {
		reply["expires_in"] = s.ExpiresIn
	}
	if !s.NoRefresh {
		s.refresh[refresh] = g
		reply["refresh_token"] = refresh
	}
	if s.Reply != nil {
		s.Reply(reply)
	}
	if s.FormReply {
		values := url.Values{}
		for name, value := range reply {
			values.Set(name, fmt.Sprint(value))
		}
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
		_, _ = w.Write([]byte(values.Encode()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

func (s *OAuthServer) granted(g grant) string {
	scopes := g.scopes
	if s.Scopes != "" {
		scopes = s.Scopes
	}
	separator := s.Separator
	if separator == "" {
		separator = " "
	}
	return strings.Join(strings.FieldsFunc(scopes, func(r rune) bool { return r == ' ' || r == ',' }), separator)
}

func (s *OAuthServer) revoke(w http.ResponseWriter, r *http.Request, form url.Values) {
	tokens := []string{form.Get("token"), form.Get("access_token"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	for _, token := range tokens {
		_, access := s.access[token]
		_, refresh := s.refresh[token]
		if access || refresh {
			delete(s.access, token)
			delete(s.refresh, token)
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	s.refuse(w, "invalid_token")
}
