package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

var jwtSecret = []byte(strings.Repeat("s", auth.MinSecret))

// newKeyFixture is the API with real credentials.
func newKeyFixture(t *testing.T, changes ...func(*Config)) (*fixture, *bytes.Buffer) {
	t.Helper()
	accounts := account.New(postgrestest.DB(t), "UTC", hclog.NewNullLogger())
	t.Cleanup(accounts.Close)
	authenticator, err := auth.New(auth.Config{Secret: jwtSecret, Audience: "authenticated", Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(authenticator.Close)
	log := &bytes.Buffer{}
	return newFixture(t, append(changes, func(c *Config) {
		c.Authenticate, c.Keys = authenticator.Authenticate, accounts
		c.Audit = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Info, JSONFormat: true})
	})...), log
}

// idOf is the id of a user of a name, in tests with real tokens.
func idOf(name string) string { return uuid.NewSHA1(uuid.Nil, []byte(name)).String() }

func tokenOf(t *testing.T, user string, claims ...string) string {
	t.Helper()
	c := jwt.MapClaims{"sub": idOf(user), "aud": "authenticated", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(claims); i += 2 {
		c[claims[i]] = claims[i+1]
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(jwtSecret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

type newKey struct{ ID, Key, Status, Head, Tail string }

func (f *fixture) as(credential, method, path, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	if strings.HasPrefix(credential, "pb_") {
		return f.do(method, path, body, "Authorization", "", "X-API-Key", credential)
	}
	return f.do(method, path, body, "Authorization", "Bearer "+credential)
}

func (f *fixture) newKey(token string, permissions ...string) newKey {
	f.t.Helper()
	names, _ := json.Marshal(permissions)
	w := f.as(token, "POST", "/api/v2/api-keys", fmt.Sprintf(`{"name":"k","permissions":%s}`, names))
	expect(f.t, w, http.StatusCreated)
	var k newKey
	if err := json.Unmarshal(w.Body.Bytes(), &k); err != nil {
		f.t.Fatal(err)
	}
	return k
}

func TestKeysFromCreationToRevocation(t *testing.T) {
	t.Parallel()
	f, _ := newKeyFixture(t)
	ann, bob := tokenOf(t, "ann"), tokenOf(t, "bob")
	k := f.newKey(ann, "READ_BLOCK")
	if !strings.HasPrefix(k.Key, "pb_") || len(k.Key) != 46 || k.Status != "ACTIVE" || !strings.HasPrefix(k.Key, k.Head) || !strings.HasSuffix(k.Key, k.Tail) {
		t.Errorf("made %+v", k)
	}
	path := "/api/v2/api-keys/" + k.ID
	for _, where := range []string{path, "/api/v2/api-keys"} {
		if body := expect(t, f.as(ann, "GET", where, ""), 200, k.ID, `"permissions":["READ_BLOCK"]`); strings.Contains(body, k.Key) || strings.Contains(body, `"key"`) {
			t.Errorf("%s shows the key: %s", where, body)
		}
	}
	expect(t, f.as(k.Key, "GET", "/api/v2/builder/blocks", ""), 200)
	expect(t, f.do("GET", "/api/v2/builder/blocks", "", "Authorization", "Bearer "+k.Key), 200)
	expect(t, f.as(ann, "GET", path, ""), 200, `"last_used_at":"2`)

	expect(t, f.as(k.Key, "POST", "/api/v2/builder/graphs", `{"name":"g"}`), 403, `"FORBIDDEN"`, `"missing_permissions":["WRITE_GRAPH"]`)
	expect(t, f.as(k.Key, "POST", "/api/v2/builder/graphs", `{broken`), 403) // before the body is looked at
	expect(t, f.as(ann, "PUT", path, `{"permissions":["WRITE_GRAPH"]}`), 200, `"name":"k"`)
	expect(t, f.as(k.Key, "POST", "/api/v2/builder/graphs", `{"name":"g"}`), 201)
	expect(t, f.as(k.Key, "GET", "/api/v2/builder/blocks", ""), 403)
	expect(t, f.as(ann, "PUT", path, `{"permissions":["READ_BLOCK"]}`), 200)

	expect(t, f.as(ann, "POST", path+"/suspend", ""), 200, `"SUSPENDED"`)
	expect(t, f.as(k.Key, "GET", "/api/v2/builder/blocks", ""), 401, `"UNAUTHORIZED"`)
	expect(t, f.as(ann, "POST", path+"/activate", ""), 200, `"ACTIVE"`)
	expect(t, f.as(k.Key, "GET", "/api/v2/builder/blocks", ""), 200)

	for _, c := range [][2]string{{"GET", path}, {"PUT", path}, {"DELETE", path}, {"POST", path + "/suspend"}, {"POST", path + "/activate"}} {
		body := ""
		if c[0] == "PUT" {
			body = `{"name":"mine"}`
		}
		expect(t, f.as(bob, c[0], c[1], body), 404, `"NOT_FOUND"`)
	}
	expect(t, f.as(bob, "GET", "/api/v2/api-keys", ""), 200, `"api_keys":[]`, `"total":0`)

	expect(t, f.as(ann, "DELETE", path, ""), 204)
	expect(t, f.as(k.Key, "GET", "/api/v2/builder/blocks", ""), 401)
	expect(t, f.as(ann, "GET", path, ""), 200, `"REVOKED"`, `"revoked_at":"2`)
	expect(t, f.as(ann, "POST", path+"/activate", ""), 409, `"CONFLICT"`)
}

func TestKeysMakeNoKeys(t *testing.T) {
	t.Parallel()
	f, _ := newKeyFixture(t)
	admin := tokenOf(t, "ann", "role", "admin")
	var all []string
	for _, p := range spec(t).Components.Schemas["Permission"].Value.Enum {
		all = append(all, p.(string))
	}
	k := f.newKey(admin, all...)
	expect(t, f.as(k.Key, "POST", "/api/v2/api-keys", `{"name":"k","permissions":["READ_GRAPH"]}`), 403, `"FORBIDDEN"`)
	expect(t, f.as(k.Key, "GET", "/api/v2/api-keys/"+k.ID, ""), 403)
	expect(t, f.as(k.Key, "PUT", "/api/v2/api-keys/"+k.ID, `{"name":"x"}`), 403)
	for _, p := range all {
		if !account.Permission(p).Known() {
			t.Errorf("the document has %s, which the core does not know", p)
		}
	}
}

func TestBodiesOfKeys(t *testing.T) {
	t.Parallel()
	f, _ := newKeyFixture(t)
	ann := tokenOf(t, "ann")
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"minimal":               {`{"name":"k","permissions":["READ_GRAPH"]}`, 201, `"expires_at":null`},
		"with expiry":           {`{"name":"k","permissions":["READ_GRAPH"],"expires_at":"2999-01-01T00:00:00+01:00"}`, 201, `"expires_at":"2998-12-31T23:00:00Z"`},
		"mass assignment":       {`{"name":"k","permissions":["READ_GRAPH"],"user_id":"bob","status":"REVOKED","id":"x","key":"pb_x","head":"zz"}`, 201, `"status":"ACTIVE"`},
		"twice the same":        {`{"name":"k","permissions":["READ_GRAPH","READ_GRAPH"]}`, 201, `"permissions":["READ_GRAPH"]`},
		"unknown permission":    {`{"name":"k","permissions":["ROOT"]}`, 422, `"fields"`},
		"no permission":         {`{"name":"k","permissions":[]}`, 422, `"fields"`},
		"without permissions":   {`{"name":"k"}`, 422, `"fields"`},
		"without name":          {`{"permissions":["READ_GRAPH"]}`, 422, `"fields"`},
		"blank name":            {`{"name":"  ","permissions":["READ_GRAPH"]}`, 422, `"name":"must not be empty"`},
		"NUL in the name":       {`{"name":"a\u0000","permissions":["READ_GRAPH"]}`, 422, `"name"`},
		"half a character":      {`{"name":"a\ud83d","permissions":["READ_GRAPH"]}`, 422, `"body":"must not contain half of a surrogate pair"`},
		"a whole one":           {`{"name":"a\ud83d\ude00","permissions":["READ_GRAPH"]}`, 201, `"name":"a😀"`},
		"NUL elsewhere":         {`{"name":"k","description":"\u0000","permissions":["READ_GRAPH"]}`, 422, `"description"`},
		"expired":               {`{"name":"k","permissions":["READ_GRAPH"],"expires_at":"2020-01-01T00:00:00Z"}`, 422, `"expires_at"`},
		"expiry is no time":     {`{"name":"k","permissions":["READ_GRAPH"],"expires_at":"tomorrow"}`, 422, `"expires_at"`},
		"expiry of another age": {`{"name":"k","permissions":["READ_GRAPH"],"expires_at":"9999-12-31T23:59:59Z"}`, 201, `9999`},
		"not JSON":              {`{`, 422, `"body"`},
	} {
		t.Run(name, func(t *testing.T) {
			body := expect(t, f.as(ann, "POST", "/api/v2/api-keys", c.body), c.status, c.want)
			if c.status == 201 && strings.Contains(body, `"pb_x"`) {
				t.Errorf("the client chose the key: %s", body)
			}
		})
	}
	expect(t, f.as(tokenOf(t, "bob"), "GET", "/api/v2/api-keys", ""), 200, `"total":0`)
	k := f.newKey(ann, "READ_GRAPH")
	path := "/api/v2/api-keys/" + k.ID
	expect(t, f.as(ann, "PUT", path, `{"expires_at":"2999-01-01T00:00:00Z"}`), 200, `"expires_at":"2999-01-01T00:00:00Z"`)
	expect(t, f.as(ann, "PUT", path, `{"description":"d"}`), 200, `"expires_at":"2999-01-01T00:00:00Z"`, `"description":"d"`)
	expect(t, f.as(ann, "PUT", path, `{"expires_at":null,"status":"REVOKED","user_id":"bob"}`), 200, `"expires_at":null`, `"ACTIVE"`)
	expect(t, f.as(ann, "PUT", path, `{}`), 200)
	expect(t, f.as(ann, "PUT", path, `{"permissions":[]}`), 422)
	expect(t, f.as(ann, "GET", "/api/v2/api-keys?page_size=2&page=2", ""), 200, `"page_size":2`, `"page":2`)
}

// Neither the log nor the audit log, nor an error, holds a credential.
func TestNoCredentialIsLogged(t *testing.T) {
	t.Parallel()
	f, auditLog := newKeyFixture(t)
	ann := tokenOf(t, "ann")
	k := f.newKey(ann, "READ_BLOCK")
	f.as(k.Key, "GET", "/api/v2/executions", "")
	unknown := "pb_" + strings.Repeat("A", 43)
	f.as(unknown, "GET", "/api/v2/executions", "")
	f.as(k.Key, "POST", "/api/v2/api-keys", `{"name":"topsecret","permissions":["READ_GRAPH"]}`)
	f.errs["list"] = errBroken
	f.as(ann, "GET", "/api/v2/builder/graphs", "")
	f.as(ann, "DELETE", "/api/v2/api-keys/"+k.ID, "")
	for _, secret := range []string{k.Key, k.Key[8:], unknown, ann, "topsecret"} {
		if strings.Contains(f.log.String(), secret) || strings.Contains(auditLog.String(), secret) {
			t.Errorf("%s is logged", secret)
		}
	}
	var events []string
	for line := range strings.Lines(auditLog.String()) {
		var e struct {
			Event     string `json:"@message"`
			User      string
			Key       string `json:"api_key"`
			Path      string
			About     string
			Status    int
			Address   string
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.RequestID == "" || e.Address == "" || e.User != idOf("ann") {
			t.Errorf("%s: %v", line, err)
		}
		if e.Status != 403 && e.About != k.ID && e.Path != "/api/v2/api-keys/"+k.ID {
			t.Errorf("it is not said which key: %s", line)
		}
		events = append(events, fmt.Sprint(e.Event, " ", e.Status, " ", e.Key != ""))
	}
	if want := []string{"api_key.create 201 false", "api_key.create 403 true", "api_key.revoke 204 false"}; !slices.Equal(events, want) {
		t.Errorf("the audit log has %q", events)
	}
}

// A credential that cannot be checked may be good: it is not called bad.
func TestCredentialThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	for status, cause := range map[int]error{503: fmt.Errorf("%w: %w", auth.ErrUnchecked, errBroken), 500: errBroken} {
		f := newFixture(t, func(c *Config) {
			c.Authenticate = func(*http.Request) (auth.Principal, error) { return auth.Principal{}, cause }
			c.Limiter, c.Limits = &oneWindow{counts: map[string]int{}}, Limits{Anonymous: 1}
		})
		w := f.do("GET", "/api/v2/executions", "")
		if body := expect(t, w, status); strings.Contains(body, "secret") || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%v: %s", w.Header(), body)
		}
		if !strings.Contains(f.log.String(), "secret cause") {
			t.Errorf("the cause of %d is not logged", status)
		}
		if again := f.do("GET", "/api/v2/executions", ""); status == 503 {
			expect(t, again, 429, `"code":"RATE_LIMITED"`)
		}
		// Anybody can send tokens with keys that nobody knows, while the identity provider is down too.
		if loud := strings.Contains(f.log.String(), "[ERROR]"); loud != (status == 500) {
			t.Errorf("%d: %s", status, f.log)
		}
	}
}

// What the document says of credentials is what is checked.
func TestDocumentTellsWhoMayCall(t *testing.T) {
	t.Parallel()
	for path, item := range spec(t).Paths.Map() {
		for method, o := range item.Operations() {
			a, err := accessOf(o)
			if err != nil {
				t.Error(err)
			}
			takesKeys := o.Security == nil // as the document says for all
			if o.Security != nil {
				takesKeys = slices.ContainsFunc(*o.Security, func(r openapi3.SecurityRequirement) bool { _, ok := r["apiKey"]; return ok })
			}
			if takesKeys != a.keys {
				t.Errorf("%s %s: keys are accepted: %t, and declared: %t (x-permission, security)", method, path, a.keys, takesKeys)
			}
			if !a.public && (o.Responses.Value("401") == nil || o.Responses.Value("403") == nil) {
				t.Errorf("%s %s: 401 or 403 is not declared", method, path)
			}
			if a.admin && a.keys {
				t.Errorf("%s %s: keys are no administrators", method, path)
			}
		}
	}
}

func TestAccessRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, extensions := range []map[string]any{
		{"x-permission": "ROOT"}, {"x-permission": []any{"READ_GRAPH", "ROOT"}}, {"x-permission": 7}, {"x-role": "king"}, {"x-permission": "READ_GRAPH and ROOT"},
	} {
		if a, err := accessOf(&openapi3.Operation{Extensions: extensions}); err == nil {
			t.Errorf("%v is %+v", extensions, a)
		}
	}
	key := auth.Principal{KeyID: "k", Permissions: []account.Permission{account.ReadGraph}}
	user, admin := auth.Principal{Role: "authenticated"}, auth.Principal{Role: auth.RoleAdmin}
	for _, c := range []struct {
		extensions map[string]any
		who        auth.Principal
		ok         bool
	}{
		{nil, key, false}, {nil, user, true},
		{map[string]any{"x-permission": "READ_GRAPH"}, key, true},
		{map[string]any{"x-permission": "WRITE_GRAPH"}, key, false},
		{map[string]any{"x-permission": "WRITE_GRAPH"}, user, true},
		{map[string]any{"x-permission": []any{"WRITE_GRAPH", "READ_GRAPH"}}, key, true},
		{map[string]any{"x-permission": "ANY"}, key, true},
		{map[string]any{"x-permission": "WRITE_GRAPH and READ_GRAPH"}, key, false},
		{map[string]any{"x-permission": "WRITE_GRAPH and READ_GRAPH"}, user, true},
		{map[string]any{"x-permission": []any{"WRITE_GRAPH and READ_RUN", "READ_GRAPH"}}, key, true},
		{map[string]any{"x-role": "admin"}, key, false}, {map[string]any{"x-role": "admin"}, user, false}, {map[string]any{"x-role": "admin"}, admin, true},
	} {
		a, err := accessOf(&openapi3.Operation{Extensions: c.extensions})
		if err != nil || (a.allows(c.who) == nil) != c.ok {
			t.Errorf("%v for %+v: %v, %v", c.extensions, c.who, a.allows(c.who), err)
		}
	}
}

func TestAddressOfClients(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"direct":             {"192.0.2.1:80", nil, "192.0.2.1"},
		"direct, and claims": {"192.0.2.1:80", []string{"198.51.100.1"}, "192.0.2.1"},
		"through a proxy":    {"10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		"through two":        {"10.0.0.1:80", []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		"in two headers":     {"10.0.0.1:80", []string{"198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		"forged":             {"10.0.0.1:80", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		"proxy says nothing": {"10.0.0.1:80", nil, "10.0.0.1"},
		"proxy says rubbish": {"10.0.0.1:80", []string{"198.51.100.1, x"}, "10.0.0.1"},
		"IPv6":               {"[fd00::1]:80", []string{"2001:db8::1"}, "2001:db8::1"},
		"mapped":             {"[::ffff:10.0.0.1]:80", []string{"198.51.100.1"}, "198.51.100.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := addressOf(trusted)(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func spec(t *testing.T) *openapi3.T {
	t.Helper()
	s, err := openapi3.NewLoader().LoadFromData(mustRead(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
