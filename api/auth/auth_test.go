package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
	c := jwt.MapClaims{"sub": "user-1", "aud": "authenticated", "exp": time.Now().Add(time.Hour).Unix(), "email": "u@example.com", "role": "authenticated"}
	for k, v := range changes {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func newAuthenticator(t *testing.T) *Authenticator {
	t.Helper()
	a, err := New(Config{Secret: secret, Audience: "authenticated"})
	if err != nil {
		t.Fatal(err)
	}
	return a
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
			p, err := a.Token(c.token)
			switch {
			case c.ok && err != nil:
				t.Fatal(err)
			case !c.ok && !errors.Is(err, ErrInvalid):
				t.Fatalf("got %v, %v", p, err)
			case c.ok && (p.UserID != "user-1" || !p.ExpiresAt.After(time.Now())):
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
			if err == nil && (p.UserID != "user-1" || p.Email != "u@example.com" || p.Role != "authenticated") {
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

func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.")
	a, err := New(Config{Secret: secret, Audience: "authenticated"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := a.Token(token); err == nil {
			t.Fatalf("%q was accepted as %+v", token, p)
		}
	})
}
