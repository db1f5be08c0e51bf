package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// issuer is an OpenID provider that describes the endpoints of an OAuthServer.
func issuer(t *testing.T, server *blocktest.OAuthServer, key *rsa.PublicKey) string {
	t.Helper()
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	answer := func(path string, object map[string]any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(object)
		})
	}
	answer("/.well-known/openid-configuration", map[string]any{
		"issuer": s.URL, "authorization_endpoint": server.URL() + "/authorize", "token_endpoint": server.URL() + "/token",
		"userinfo_endpoint": server.URL() + "/userinfo", "revocation_endpoint": server.URL() + "/revoke", "jwks_uri": s.URL + "/keys",
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
	if key != nil {
		encode := base64.RawURLEncoding.EncodeToString
		answer("/keys", map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
	}
	return s.URL
}

func oidcServer(t *testing.T) *blocktest.OAuthServer {
	t.Helper()
	return (&blocktest.OAuthServer{
		AuthorizePath: "/authorize", TokenPath: "/token", AccountPath: "/userinfo", RevokePath: "/revoke", Basic: true, PKCE: true, ExpiresIn: 300,
		Account: `{"sub":"248289761001","email":"ada@example.com"}`,
	}).Start(t)
}

func oidcProvider(t *testing.T, issuer string) *blocktest.Provider {
	t.Helper()
	return blocktest.NewProvider(t, plugin, "oidc", map[string]string{
		"oidc_client_id": "id", "oidc_client_secret": "secret", "oidc_issuer": issuer,
	})
}

func TestOpenIDConnectIsFoundByDiscovery(t *testing.T) {
	t.Parallel()
	server := oidcServer(t)
	p := oidcProvider(t, issuer(t, server, nil))
	if scope := p.AuthorizationURL("http://127.0.0.1/callback", "st").Query().Get("scope"); scope != "openid profile email offline_access" {
		t.Errorf("the scopes asked for are %q", scope)
	}
	tokens, err := p.Connect()
	if err != nil {
		t.Fatal(err)
	}
	if a := tokens.GetAccount(); a.GetId() != "248289761001" || a.GetUsername() != "ada@example.com" {
		t.Errorf("the account is %v", a)
	}
	if _, err := p.Refresh(tokens.GetRefreshToken()); err != nil {
		t.Error(err)
	}
	if revoked, err := p.Revoke(tokens.GetAccessToken(), tokens.GetRefreshToken()); err != nil || !revoked {
		t.Errorf("revoked: %t, %v", revoked, err)
	}
}

func TestOpenIDConnectTakesNoForgedIDToken(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key      *rsa.PrivateKey
		audience string
		good     bool
	}{
		"signed by the issuer": {key, "id", true}, "signed by another": {forger, "id", false}, "for another client": {key, "other", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := oidcServer(t)
			address := issuer(t, server, &key.PublicKey)
			server.Reply = func(tokens map[string]any) {
				token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
					"iss": address, "aud": test.audience, "sub": "42", "preferred_username": "ada", "exp": time.Now().Add(time.Hour).Unix(),
				})
				token.Header["kid"] = "k"
				signed, err := token.SignedString(test.key)
				if err != nil {
					t.Error(err)
				}
				tokens["id_token"] = signed
			}
			tokens, err := oidcProvider(t, address).Connect()
			if !test.good {
				expectKind(t, err, proto.ErrorKind_ERROR_KIND_TEMPORARY, "ID token")
				return
			}
			if a := tokens.GetAccount(); err != nil || a.GetId() != "42" || a.GetUsername() != "ada" {
				t.Errorf("the account is %v, %v", a, err)
			}
		})
	}
}
