package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// newAccountFixture is the API of a server with accounts of its own.
func newAccountFixture(t *testing.T) (*fixture, *strings.Builder) {
	t.Helper()
	accounts := account.New(postgrestest.DB(t), "UTC", hclog.NewNullLogger())
	t.Cleanup(accounts.Close)
	logins, err := account.NewLogins(accounts, account.Signer{Secret: jwtSecret, Audience: "authenticated"})
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Secret: jwtSecret, Audience: "authenticated", Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(authenticator.Close)
	log := &strings.Builder{}
	return newFixture(t, func(c *Config) {
		c.Authenticate, c.Keys, c.Logins = authenticator.Authenticate, accounts, logins
		c.Audit = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Info, JSONFormat: true})
	}), log
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	User    struct{ ID string }
}

const annsPassword = "correct horse battery"

func (f *fixture) logIn(email, password string) tokens {
	f.t.Helper()
	w := f.do("POST", "/api/v2/auth/token", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), "Authorization", "")
	return f.tokens(expect(f.t, w, http.StatusOK, `"token_type":"bearer"`, `"expires_in":3600`))
}

func (f *fixture) tokens(body string) tokens {
	f.t.Helper()
	var got tokens
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		f.t.Fatal(err)
	}
	return got
}

func (f *fixture) anonymous(method, path, body string) string {
	f.t.Helper()
	w := f.do(method, path, body, "Authorization", "")
	return fmt.Sprint(w.Code, " ", w.Body)
}

func TestAccountsFromTheFirstAdministratorOn(t *testing.T) {
	t.Parallel()
	f, auditLog := newAccountFixture(t)
	operator := tokenOf(t, "operator", "role", "admin")
	expect(t, f.as(operator, "POST", "/api/v2/admin/accounts", fmt.Sprintf(`{"email":"Ann@example.com","password":%q,"is_admin":true}`, annsPassword)),
		201, `"email":"ann@example.com"`, `"is_admin":true`)
	ann := f.logIn("ann@example.com", annsPassword)
	bobs := expect(t, f.as(ann.Access, "POST", "/api/v2/admin/accounts", fmt.Sprintf(`{"email":"bob@example.com","password":%q,"id":"x","user_id":"x"}`, annsPassword)),
		201, `"is_admin":false`)
	var bob struct{ ID string }
	if err := json.Unmarshal([]byte(bobs), &bob); err != nil || len(bob.ID) != 36 {
		t.Fatal(bobs, err)
	}
	expect(t, f.as(ann.Access, "POST", "/api/v2/admin/accounts", fmt.Sprintf(`{"email":"BOB@example.com","password":%q}`, annsPassword)), 409, `"CONFLICT"`)
	expect(t, f.as(ann.Access, "GET", "/api/v2/admin/accounts?page_size=1", ""), 200, `"total":2`, "bob@example.com")
	expect(t, f.as(ann.Access, "GET", "/api/v2/admin/accounts?email=Ann@example.com", ""), 200, `"total":1`, ann.User.ID)
	expect(t, f.as(ann.Access, "GET", "/api/v2/admin/accounts?email=a%00@example.com", ""), 200, `"total":0`)

	his := f.logIn("bob@example.com", annsPassword)
	if his.User.ID != bob.ID {
		t.Errorf("logged in as %s", his.User.ID)
	}
	expect(t, f.as(his.Access, "GET", "/api/v2/executions", ""), 200)
	for _, c := range [][3]string{
		{"GET", "/api/v2/admin/accounts", ""},
		{"POST", "/api/v2/admin/accounts", `{"email":"eve@example.com","password":"0123456789","is_admin":true}`},
		{"PUT", "/api/v2/admin/accounts/" + bob.ID, `{"is_admin":true}`},
	} {
		expect(t, f.as(his.Access, c[0], c[1], c[2]), 403, `"FORBIDDEN"`)
		if got := f.anonymous(c[0], c[1], c[2]); !strings.HasPrefix(got, "401") {
			t.Errorf("%s %s without credential: %s", c[0], c[1], got)
		}
	}
	// A key of an administrator administers nothing.
	key := f.newKey(ann.Access, "READ_GRAPH")
	expect(t, f.as(key.Key, "GET", "/api/v2/admin/accounts", ""), 403)
	expect(t, f.as(key.Key, "PUT", "/api/v2/auth/password", `{"current_password":"x","new_password":"0123456789"}`), 403)

	expect(t, f.as(ann.Access, "PUT", "/api/v2/admin/accounts/"+bob.ID, `{"is_disabled":true}`), 200, `"is_disabled":true`)
	expect(t, f.as(his.Access, "GET", "/api/v2/executions", ""), 401)
	if got := f.anonymous("POST", "/api/v2/auth/token", fmt.Sprintf(`{"email":"bob@example.com","password":%q}`, annsPassword)); !strings.HasPrefix(got, "401") {
		t.Errorf("a disabled account logs in: %s", got)
	}
	expect(t, f.as(ann.Access, "PUT", "/api/v2/admin/accounts/nobody", `{}`), 404)
	expect(t, f.as(ann.Access, "PUT", "/api/v2/admin/accounts/"+bob.ID, `{"password":"short"}`), 422)
	for _, secret := range []string{annsPassword, ann.Access, ann.Refresh, his.Refresh} {
		if strings.Contains(auditLog.String(), secret) || strings.Contains(f.log.String(), secret) {
			t.Errorf("%s is logged", secret)
		}
	}
	for _, line := range []string{`"session.begin"`, `"account.create"`, `"account.update"`, `"status":401`, `"status":403`, `"about":"` + bob.ID} {
		if !strings.Contains(auditLog.String(), line) {
			t.Errorf("%s is not in the audit log", line)
		}
	}
}

func TestSessionsOverREST(t *testing.T) {
	t.Parallel()
	f, _ := newAccountFixture(t)
	operator := tokenOf(t, "operator", "role", "admin")
	expect(t, f.as(operator, "POST", "/api/v2/admin/accounts", fmt.Sprintf(`{"email":"ann@example.com","password":%q}`, annsPassword)), 201)
	wrong := f.anonymous("POST", "/api/v2/auth/token", `{"email":"ann@example.com","password":"not the password"}`)
	unknown := f.anonymous("POST", "/api/v2/auth/token", `{"email":"eve@example.com","password":"not the password"}`)
	if wrong != unknown || !strings.HasPrefix(wrong, "401") || !strings.Contains(wrong, `"UNAUTHORIZED"`) {
		t.Errorf("a wrong password gives %s, an unknown email %s", wrong, unknown)
	}
	first := f.logIn("ann@example.com", annsPassword)
	refresh := func(token string) string {
		return f.anonymous("POST", "/api/v2/auth/refresh", fmt.Sprintf(`{"refresh_token":%q}`, token))
	}
	body, ok := strings.CutPrefix(refresh(first.Refresh), "200 ")
	if !ok {
		t.Fatal(body)
	}
	second := f.tokens(body)
	expect(t, f.as(second.Access, "GET", "/api/v2/executions", ""), 200)
	if got := refresh(first.Refresh); !strings.HasPrefix(got, "401") {
		t.Errorf("a second use: %s", got)
	}
	if got := refresh(second.Refresh); !strings.HasPrefix(got, "401") {
		t.Errorf("after a second use: %s", got)
	}
	expect(t, f.as(second.Access, "GET", "/api/v2/executions", ""), 401) // at once, although the token was remembered

	third := f.logIn("ann@example.com", annsPassword)
	if got := f.anonymous("POST", "/api/v2/auth/logout", fmt.Sprintf(`{"refresh_token":%q}`, third.Refresh)); !strings.HasPrefix(got, "204") {
		t.Error(got)
	}
	expect(t, f.as(third.Access, "GET", "/api/v2/executions", ""), 401)

	fourth := f.logIn("ann@example.com", annsPassword)
	expect(t, f.as(fourth.Access, "PUT", "/api/v2/auth/password", `{"current_password":"not the password","new_password":"another good one"}`), 422, `"current_password"`)
	expect(t, f.as(fourth.Access, "PUT", "/api/v2/auth/password", fmt.Sprintf(`{"current_password":%q,"new_password":"another good one"}`, annsPassword)), 204)
	expect(t, f.as(fourth.Access, "GET", "/api/v2/executions", ""), 401)
	f.logIn("ann@example.com", "another good one")
	expect(t, f.as(operator, "PUT", "/api/v2/auth/password", fmt.Sprintf(`{"current_password":%q,"new_password":"another good one"}`, annsPassword)), 404)

	for _, c := range []string{`{}`, `{"email":"ann@example.com"}`, `{"email":1,"password":"x"}`, `[]`, `{`} {
		if got := f.anonymous("POST", "/api/v2/auth/token", c); !strings.HasPrefix(got, "422") {
			t.Errorf("%s: %s", c, got)
		}
	}
	w := f.do("POST", "/api/v2/auth/token", `{"email":"mallory@example.com","password":"a guess"}`, "Authorization", "")
	for range 10 {
		w = f.do("POST", "/api/v2/auth/token", `{"email":"mallory@example.com","password":"a guess"}`, "Authorization", "")
	}
	expect(t, w, http.StatusTooManyRequests, `"RATE_LIMITED"`)
	if w.Header().Get("Retry-After") == "" {
		t.Error("it is not said when to try again")
	}
}

// Without accounts of its own the server says so, before it looks at anything else.
func TestAccountsThatAreNotSwitchedOn(t *testing.T) {
	t.Parallel()
	f, _ := newKeyFixture(t)
	admin := tokenOf(t, "ann", "role", "admin")
	for _, c := range [][2]string{
		{"POST", "/api/v2/auth/token"}, {"POST", "/api/v2/auth/refresh"}, {"POST", "/api/v2/auth/logout"}, {"PUT", "/api/v2/auth/password"},
		{"GET", "/api/v2/admin/accounts"}, {"POST", "/api/v2/admin/accounts"}, {"PUT", "/api/v2/admin/accounts/x"},
	} {
		expect(t, f.as(admin, c[0], c[1], ""), http.StatusNotImplemented, `"NOT_CONFIGURED"`)
	}
}
