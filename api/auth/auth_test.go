package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/account"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	user1 = "00000000-0000-4000-8000-00000000000a"
	boss  = "00000000-0000-4000-8000-0000000000ad"
)

var secret = []byte(strings.Repeat("s", MinSecret))

func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func with(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": user1, "aud": "authenticated", "exp": time.Now().Add(time.Hour).Unix(), "email": "u@example.com", "role": "authenticated"}
	for k, v := range changes {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

// critical is a good token but for an extension that whoever takes it must understand.
func critical(t *testing.T) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, with(nil))
	token.Header["crit"], token.Header["x"] = []string{"x"}, 1
	text, err := token.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newAuthenticator(t *testing.T) *Authenticator {
	t.Helper()
	a, err := New(Config{Secret: secret, Audience: "authenticated", Admins: []string{boss, "Head@Example.com"}, Accounts: &accounts{}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// accounts knows one key, and forgets it when it is revoked.
type accounts struct {
	mu      sync.Mutex
	revoked bool
	away    error
	seen    []string
}

const goodKey = "pb_good"

func (a *accounts) VerifyKey(ctx context.Context, key string) (*account.Key, error) {
	if key != goodKey {
		return nil, account.ErrRefused
	}
	return a.VerifyDigest(ctx, account.Digest{})
}

func (a *accounts) VerifyDigest(context.Context, account.Digest) (*account.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked {
		return nil, account.ErrRefused
	}
	later := time.Now().Add(time.Hour)
	return &account.Key{ID: "key-1", UserID: user1, Permissions: []account.Permission{account.ReadGraph}, ExpiresAt: &later}, a.away
}

func (a *accounts) CheckSession(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked || id != "session-1" {
		return account.ErrRefused
	}
	return a.away
}

func (a *accounts) Seen(_ context.Context, user, email string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, user+" "+email)
	return a.away
}

// One user is one, however a token or a setting writes the UUID; what is none stays as the identity provider writes it.
func TestUUIDsAreTheSameInUpperCase(t *testing.T) {
	t.Parallel()
	a, err := New(Config{Secret: secret, Audience: "authenticated", Admins: []string{strings.ToUpper(boss)}, Accounts: &accounts{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{user1, boss} {
		p, err := a.Credential(t.Context(), sign(t, jwt.SigningMethodHS256, secret, with(jwt.MapClaims{"sub": strings.ToUpper(id)})))
		if err != nil || p.UserID != id || p.Admin() != (id == boss) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	for _, name := range []string{"Ann", "auth0|ABCDEF", strings.ToUpper(user1) + "0", "{" + strings.ToUpper(user1) + "}", ""} {
		if UserID(name) != name {
			t.Errorf("%q became %q", name, UserID(name))
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	hs := func(c jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, secret, c) }
	cases := map[string]struct {
		token string
		ok    bool
	}{
		"valid":                   {hs(with(nil)), true},
		"audience among others":   {hs(with(jwt.MapClaims{"aud": []string{"authenticated", "x"}})), true},
		"expired within leeway":   {hs(with(jwt.MapClaims{"exp": now.Add(-10 * time.Second).Unix()})), true},
		"not yet, within leeway":  {hs(with(jwt.MapClaims{"nbf": now.Add(10 * time.Second).Unix()})), true},
		"without e-mail and role": {hs(with(jwt.MapClaims{"email": nil, "role": nil})), true},
		"fractional expiry":       {hs(with(jwt.MapClaims{"exp": float64(now.Add(time.Hour).UnixMilli()) / 1000})), true},

		"empty":                  {"", false},
		"garbage":                {"garbage", false},
		"expired":                {hs(with(jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()})), false},
		"not yet":                {hs(with(jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()})), false},
		"without expiry":         {hs(with(jwt.MapClaims{"exp": nil})), false},
		"expiry is text":         {hs(with(jwt.MapClaims{"exp": "tomorrow"})), false},
		"other audience":         {hs(with(jwt.MapClaims{"aud": "anon"})), false},
		"without audience":       {hs(with(jwt.MapClaims{"aud": nil})), false},
		"without subject":        {hs(with(jwt.MapClaims{"sub": nil})), false},
		"empty subject":          {hs(with(jwt.MapClaims{"sub": ""})), false},
		"blank subject":          {hs(with(jwt.MapClaims{"sub": " "})), false},
		"subject with NUL":       {hs(with(jwt.MapClaims{"sub": "a\x00b"})), false},
		"subject is a number":    {hs(with(jwt.MapClaims{"sub": 7})), false},
		"subject is no UUID":     {hs(with(jwt.MapClaims{"sub": "ann"})), false},
		"subject is a URN":       {hs(with(jwt.MapClaims{"sub": "urn:uuid:" + user1})), false},
		"expiry in digits":       {hs(with(jwt.MapClaims{"exp": strconv.FormatInt(now.Add(time.Hour).Unix(), 10)})), false},
		"start in digits":        {hs(with(jwt.MapClaims{"nbf": "1"})), false},
		"critical extension":     {critical(t), false},
		"endless subject":        {hs(with(jwt.MapClaims{"sub": strings.Repeat("u", 256)})), false},
		"another secret":         {sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), with(nil)), false},
		"another HMAC":           {sign(t, jwt.SigningMethodHS512, secret, with(nil)), false},
		"unsigned":               {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, with(nil)), false},
		"asymmetric":             {sign(t, jwt.SigningMethodES256, ec, with(nil)), false},
		"signature cut off":      {strings.TrimSuffix(hs(with(nil)), "A")[:40], false},
		"signature of something": {hs(with(nil)) + "A", false},
	}
	a := newAuthenticator(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := a.Credential(t.Context(), c.token)
			switch {
			case c.ok && err != nil:
				t.Fatal(err)
			case !c.ok && !errors.Is(err, ErrInvalid):
				t.Fatalf("got %v, %v", p, err)
			case c.ok && (p.UserID != user1 || !p.ExpiresAt.After(time.Now())):
				t.Fatalf("got %+v", p)
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	good := sign(t, jwt.SigningMethodHS256, secret, with(nil))
	cases := map[string]struct {
		headers [][2]string
		want    error
	}{
		"nothing":               {nil, ErrMissing},
		"bearer":                {[][2]string{{"Authorization", "Bearer " + good}}, nil},
		"lower case":            {[][2]string{{"Authorization", "bearer " + good}}, nil},
		"more space":            {[][2]string{{"Authorization", "Bearer   " + good + " "}}, nil},
		"basic":                 {[][2]string{{"Authorization", "Basic " + good}}, ErrInvalid},
		"bare token":            {[][2]string{{"Authorization", good}}, ErrInvalid},
		"empty":                 {[][2]string{{"Authorization", ""}}, ErrInvalid},
		"twice":                 {[][2]string{{"Authorization", "Bearer " + good}, {"Authorization", "Bearer x"}}, ErrInvalid},
		"unknown key, good JWT": {[][2]string{{"Authorization", "Bearer " + good}, {"X-API-Key", "pb_x"}}, ErrInvalid},
		"good key, bad JWT":     {[][2]string{{"Authorization", "Bearer x"}, {"X-API-Key", goodKey}}, nil},
		"key as bearer":         {[][2]string{{"Authorization", "Bearer " + goodKey}}, nil},
		"unknown key as bearer": {[][2]string{{"Authorization", "Bearer pb_x"}}, ErrInvalid},
		"empty key":             {[][2]string{{"X-API-Key", ""}}, ErrInvalid},
		"two keys":              {[][2]string{{"X-API-Key", goodKey}, {"X-API-Key", goodKey}}, ErrInvalid},
		"token as key":          {[][2]string{{"X-API-Key", good}}, ErrInvalid},
	}
	a := newAuthenticator(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			for _, h := range c.headers {
				r.Header.Add(h[0], h[1])
			}
			p, err := a.Authenticate(r)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, %v", p, err)
			}
			if err == nil && (p.UserID != user1 || p.Role != "authenticated" || !p.ByKey() && p.Email != "u@example.com") {
				t.Fatalf("got %+v", p)
			}
		})
	}
}

func TestNewRefusesWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Secret: secret[1:], Audience: "a"}); err == nil {
		t.Error("a short secret was accepted")
	}
	if _, err := New(Config{Secret: secret}); err == nil {
		t.Error("an empty audience was accepted")
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(t)
	for name, c := range map[string]struct {
		claims jwt.MapClaims
		admin  bool
	}{
		"user":                       {nil, false},
		"role":                       {jwt.MapClaims{"role": "admin"}, true},
		"id in the settings":         {jwt.MapClaims{"sub": boss}, true},
		"id in other case":           {jwt.MapClaims{"sub": strings.ToUpper(boss)}, true},
		"verified email":             {jwt.MapClaims{"email": "head@example.com", "email_verified": true}, true},
		"verified, as text":          {jwt.MapClaims{"email": "HEAD@example.com", "email_verified": "true"}, true},
		"verified by app_metadata":   {jwt.MapClaims{"email": "head@example.com", "app_metadata": map[string]any{"email_verified": true}}, true},
		"unverified email":           {jwt.MapClaims{"email": "head@example.com"}, false},
		"denied email":               {jwt.MapClaims{"email": "head@example.com", "email_verified": false}, false},
		"verified by the user":       {jwt.MapClaims{"email": "head@example.com", "user_metadata": map[string]any{"email_verified": true, "role": "admin"}}, false},
		"verified, somebody else":    {jwt.MapClaims{"email": "x@example.com", "email_verified": true}, false},
		"verified, without email":    {jwt.MapClaims{"email": nil, "email_verified": true}, false},
		"verified id":                {jwt.MapClaims{"email": "boss", "email_verified": true}, false},
		"role in app_metadata":       {jwt.MapClaims{"app_metadata": map[string]any{"role": "admin"}}, true},
		"other claims":               {jwt.MapClaims{"app_metadata": map[string]any{"role": 7, "roles": []string{"x", "admin"}, "provider": "email"}}, false},
		"email that is no good name": {jwt.MapClaims{"email": "a\x00b"}, false},
	} {
		p, err := a.Credential(t.Context(), sign(t, jwt.SigningMethodHS256, secret, with(c.claims)))
		if err != nil || p.Admin() != c.admin || strings.Contains(p.Email, "\x00") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// A key has the permissions that it was given, and its owner's role never.
func TestPermissions(t *testing.T) {
	t.Parallel()
	key := Principal{KeyID: "k", Role: RoleAdmin, Permissions: []account.Permission{account.ReadGraph}}
	if key.Admin() || !key.ByKey() || key.May(account.WriteGraph) || key.May() || !key.May(account.ReadRun, account.ReadGraph) {
		t.Errorf("%+v", key)
	}
	if user := (Principal{Role: "authenticated"}); user.ByKey() || user.Admin() || !user.May(account.WriteGraph) {
		t.Errorf("%+v", user)
	}
}

func TestCurrent(t *testing.T) {
	t.Parallel()
	known := &accounts{}
	a, err := New(Config{Secret: secret, Audience: "authenticated", Accounts: known})
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.Credential(t.Context(), goodKey)
	if err != nil || key.KeyID != "key-1" || key.ExpiresAt.IsZero() {
		t.Fatalf("%+v, %v", key, err)
	}
	user, err := a.Credential(t.Context(), sign(t, jwt.SigningMethodHS256, secret, with(nil)))
	if err != nil || len(known.seen) != 1 || known.seen[0] != user1+" u@example.com" {
		t.Fatalf("%+v, %v; seen %v", user, err, known.seen)
	}
	known.away = errors.New("away")
	if _, err := a.Current(t.Context(), key); !errors.Is(err, known.away) {
		t.Errorf("cannot be checked: %v", err)
	}
	if _, err := a.Credential(t.Context(), goodKey); !errors.Is(err, known.away) {
		t.Errorf("cannot be checked: %v", err)
	}
	known.away, known.revoked = nil, true
	if _, err := a.Current(t.Context(), key); !errors.Is(err, ErrInvalid) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := a.Current(t.Context(), user); err != nil {
		t.Errorf("a token: %v", err)
	}
}

// What is remembered of a token ends with it.
func TestRememberedTokenExpires(t *testing.T) {
	t.Parallel()
	a := newAuthenticator(t)
	token := sign(t, jwt.SigningMethodHS256, secret, with(jwt.MapClaims{"exp": time.Now().Add(-leeway + 1500*time.Millisecond).Unix()}))
	works := func() bool {
		_, err := a.Credential(t.Context(), token)
		return err == nil
	}
	for range 2 {
		if !works() {
			t.Fatal("refused too early")
		}
	}
	for began := time.Now(); works(); <-time.After(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("still taken")
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.")
	a, err := New(Config{Secret: secret, Audience: "authenticated"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := a.Credential(t.Context(), token); err == nil {
			t.Fatalf("%q was accepted as %+v", token, p)
		}
	})
}
