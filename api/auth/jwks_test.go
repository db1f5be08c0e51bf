package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/hashicorp/go-hclog"
)

// provider is an identity provider: it serves its keys, and counts how often.
type provider struct {
	*httptest.Server
	mu     sync.Mutex
	keys   map[string]any // JWKs by id
	broken string         // what it says instead of keys
	asked  atomic.Int64
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: map[string]any{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.broken == "down" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if p.broken != "" {
			_, _ = w.Write([]byte(p.broken))
			return
		}
		list := []any{}
		for key := range maps.Values(p.keys) {
			list = append(list, key)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": list})
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) publish(t *testing.T, kid string, public crypto.PublicKey, changes map[string]any) {
	t.Helper()
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jwk.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	maps.Copy(fields, changes)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[kid] = fields
}

func (p *provider) breaks(how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = how
}

// federated accepts the provider's tokens. The clock of its keys can be put on.
type federated struct {
	*Authenticator
	ahead atomic.Int64
}

func newFederated(t *testing.T, url, issuer string) *federated {
	t.Helper()
	a, err := New(Config{
		Secret: secret, Audience: "authenticated", JWKSURL: url, Issuer: issuer, Accounts: &accounts{}, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	f := &federated{Authenticator: a}
	<-f.keys.idle()
	f.keys.mu.Lock()
	defer f.keys.mu.Unlock()
	f.keys.now = func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }
	return f
}

// idle is closed when no fetch goes on.
func (s *keySet) idle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running
	}
	none := make(chan struct{})
	close(none)
	return none
}

func (f *federated) later(d time.Duration) { f.ahead.Add(int64(d)) }

func (f *federated) check(t *testing.T, name, token string, want error) {
	t.Helper()
	p, err := f.Credential(t.Context(), token)
	if !errors.Is(err, want) || want == nil && p.UserID != user1 {
		t.Errorf("%s: %+v, %v; want %v", name, p, err, want)
	}
}

type keys struct {
	ec, other, p384 *ecdsa.PrivateKey
	rsa, weak       *rsa.PrivateKey
	ed              ed25519.PrivateKey
}

var made = sync.OnceValue(func() keys {
	var k keys
	var err [6]error
	k.ec, err[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.other, err[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, err[2] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.rsa, err[3] = rsa.GenerateKey(rand.Reader, 2048)
	k.weak, err[4] = rsa.GenerateKey(rand.Reader, 1024)
	_, k.ed, err[5] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err[:]...); err != nil {
		panic(err)
	}
	return k
})

func signAs(t *testing.T, method jwt.SigningMethod, key any, kid any, changes jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, with(changes))
	if kid != nil {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokensOfAnIdentityProvider(t *testing.T) {
	t.Parallel()
	k, p := made(), newProvider(t)
	p.publish(t, "ec", k.ec.Public(), nil)
	p.publish(t, "rsa", k.rsa.Public(), map[string]any{"alg": "RS256", "use": "sig"})
	p.publish(t, "ed", k.ed.Public(), nil)
	p.publish(t, "p384", k.p384.Public(), nil)
	p.publish(t, "weak", k.weak.Public(), nil)
	p.publish(t, "enc", k.other.Public(), map[string]any{"use": "enc"})
	p.publish(t, "pss", k.rsa.Public(), map[string]any{"alg": "PS256"})
	p.keys["oct"] = map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString(secret)}
	p.keys["odd"] = map[string]any{"kty": "EC", "kid": "odd", "crv": "P-256", "x": "AA", "y": "AA"}
	p.keys["new"] = map[string]any{"kty": "XMSS", "kid": "new"}
	f := newFederated(t, p.URL, "https://id.example.com")
	good := jwt.MapClaims{"iss": "https://id.example.com"}
	es, rs, hs := jwt.SigningMethodES256, jwt.SigningMethodRS256, jwt.SigningMethodHS256

	f.check(t, "ES256", signAs(t, es, k.ec, "ec", good), nil)
	f.check(t, "RS256", signAs(t, rs, k.rsa, "rsa", good), nil)
	f.check(t, "EdDSA", signAs(t, jwt.SigningMethodEdDSA, k.ed, "ed", good), nil)
	f.check(t, "HS256 with the secret, of no issuer", signAs(t, hs, secret, nil, nil), nil)

	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	none := strings.TrimSuffix(signAs(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "rsa", good), ".")
	for name, token := range map[string]string{
		"signed with the public key as a secret": signAs(t, hs, public, "rsa", good),
		"the same in DER":                        signAs(t, hs, der, "rsa", good),
		"symmetric key of the provider":          signAs(t, jwt.SigningMethodHS512, secret, "oct", good),
		"none":                                   none + ".",
		"none, without dot":                      none,
		"none, with a signature":                 none + "." + strings.Split(signAs(t, es, k.ec, "ec", good), ".")[2],
		"nOnE":                                   base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"nOnE","kid":"rsa"}`)) + "." + strings.Split(none, ".")[1] + ".",
		"key of another algorithm":               signAs(t, rs, k.rsa, "ec", good),
		"RSA key for ES256":                      signAs(t, es, k.ec, "rsa", good),
		"Ed25519 key for ES256":                  signAs(t, es, k.ec, "ed", good),
		"another algorithm of the same kind":     signAs(t, jwt.SigningMethodRS512, k.rsa, "rsa", good),
		"PS256":                                  signAs(t, jwt.SigningMethodPS256, k.rsa, "pss", good),
		"RS256 by a key for PS256":               signAs(t, rs, k.rsa, "pss", good),
		"ES384":                                  signAs(t, jwt.SigningMethodES384, k.p384, "p384", good),
		"short RSA key":                          signAs(t, rs, k.weak, "weak", good),
		"key for encryption":                     signAs(t, es, k.other, "enc", good),
		"another key's signature":                signAs(t, es, k.other, "ec", good),
		"unknown key":                            signAs(t, es, k.other, "unknown", good),
		"without id of the key":                  signAs(t, es, k.ec, nil, good),
		"id that is a number":                    signAs(t, es, k.ec, 7, good),
		"id that is a path":                      signAs(t, es, k.ec, "../ec", good),
		"without issuer":                         signAs(t, es, k.ec, "ec", nil),
		"another issuer":                         signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://evil.example.com"}),
		"another audience":                       signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://id.example.com", "aud": "x"}),
		"without audience":                       signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://id.example.com", "aud": nil}),
		"without expiry":                         signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://id.example.com", "exp": nil}),
		"expired":                                signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://id.example.com", "exp": time.Now().Add(-time.Hour).Unix()}),
		"without subject":                        signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://id.example.com", "sub": nil}),
		"subject that was no text":               signAs(t, es, k.ec, "ec", jwt.MapClaims{"iss": "https://id.example.com", "sub": json.RawMessage(`"a\ud800"`)}),
	} {
		f.check(t, name, token, ErrInvalid)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestRotationOfKeys(t *testing.T) {
	t.Parallel()
	k, p := made(), newProvider(t)
	p.publish(t, "old", k.ec.Public(), nil)
	f := newFederated(t, p.URL, "")
	f.check(t, "old key", signAs(t, jwt.SigningMethodES256, k.ec, "old", nil), nil)

	p.publish(t, "new", k.other.Public(), nil)
	newer := func(n int) string {
		return signAs(t, jwt.SigningMethodES256, k.other, "new", jwt.MapClaims{"n": n})
	}
	for n := range 20 {
		f.check(t, "new key, too early to ask", newer(n), ErrInvalid)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	f.later(pause)
	var together sync.WaitGroup
	for n := range 20 {
		together.Go(func() { f.check(t, "new key", newer(n), nil) })
	}
	together.Wait()
	if n := p.asked.Load(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}

	// A key that is withdrawn ends within the time of keys, and of what is remembered of tokens.
	p.mu.Lock()
	delete(p.keys, "old")
	p.mu.Unlock()
	f.later(aged)
	old := signAs(t, jwt.SigningMethodES256, k.ec, "old", jwt.MapClaims{"n": 1})
	f.check(t, "old key, while the new ones are fetched", old, nil)
	<-f.keys.idle()
	f.check(t, "withdrawn key", signAs(t, jwt.SigningMethodES256, k.ec, "old", jwt.MapClaims{"n": 2}), ErrInvalid)
}

const aged = fresh + time.Second

// Whoever sends tokens with keys that do not exist cannot make the server ask the provider for each.
func TestUnknownKeysAreBounded(t *testing.T) {
	t.Parallel()
	k, p := made(), newProvider(t)
	f := newFederated(t, p.URL, "")
	for n := range 50 {
		f.later(pause / 10)
		f.check(t, "unknown", signAs(t, jwt.SigningMethodES256, k.ec, fmt.Sprint("kid-", n), nil), ErrInvalid)
	}
	if n := p.asked.Load(); n < 5 || n > 7 {
		t.Errorf("the provider was asked %d times in %s", n, 5*pause)
	}
}

func TestProviderThatIsDown(t *testing.T) {
	t.Parallel()
	k, p := made(), newProvider(t)
	p.publish(t, "ec", k.ec.Public(), nil)
	p.breaks("down")
	f := newFederated(t, p.URL, "")
	f.check(t, "HS256 while it is down", signAs(t, jwt.SigningMethodHS256, secret, nil, nil), nil)
	f.check(t, "a token that nobody can check", signAs(t, jwt.SigningMethodES256, k.ec, "ec", nil), ErrUnchecked)
	p.breaks("")
	f.later(pause)
	f.check(t, "it is back", signAs(t, jwt.SigningMethodES256, k.ec, "ec", nil), nil)

	for _, how := range []string{"down", "no JSON", `{"keys":7}`, strings.Repeat("x", maxKeys+1)} {
		p.breaks(how)
		f.later(aged)
		for n := range 2 {
			f.check(t, "known key, "+how[:min(len(how), 10)], signAs(t, jwt.SigningMethodES256, k.ec, "ec", jwt.MapClaims{"n": how[:1] + fmt.Sprint(n)}), nil)
			<-f.keys.idle()
		}
	}
}

// A provider that does not answer holds up nobody but those who need its keys, and not the end of the server.
func TestProviderThatHangs(t *testing.T) {
	t.Parallel()
	k := made()
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(release)
	a, err := New(Config{Secret: secret, Audience: "authenticated", JWKSURL: hanging.URL, Accounts: &accounts{}, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Credential(t.Context(), signAs(t, jwt.SigningMethodHS256, secret, nil, nil)); err != nil {
		t.Error(err)
	}
	waited := make(chan error)
	go func() {
		_, err := a.Credential(t.Context(), signAs(t, jwt.SigningMethodES256, k.ec, "ec", nil))
		waited <- err
	}()
	began := time.Now()
	a.Close()
	if err := <-waited; err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("who waited got %v", err)
	}
	if took := time.Since(began); took > fetching/2 {
		t.Errorf("closing took %s", took)
	}
}

func TestWithoutAProviderAsymmetricTokensAreRefused(t *testing.T) {
	t.Parallel()
	_, err := newAuthenticator(t).Credential(t.Context(), signAs(t, jwt.SigningMethodES256, made().ec, "ec", nil))
	if !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
