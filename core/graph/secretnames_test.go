package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNamesOfSecrets(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"token", "Token", "access_token", "accessToken", "ACCESS-TOKEN", "refresh_token", "id_token", "auth token", "bot_token", "github_token", "token_github", "token_id",
		"access_tokens", "api_tokens", "slack_tokens", "next_auth_token", "page_access_token", "session_token", "X-Amz-Security-Token", "csrf_token", "token2", "tokenvalue",
		"secret", "client_secret", "clientSecret", "secret_url", "secret_id", "webhook_secret", "secretKey", "password", "passwd", "db_password", "password_2", "Passphrase",
		"api_key", "apiKey", "API-KEY", "X-API-Key", "apikey", "api_key_prod", "access_key", "accountKey", "private_key", "ssh_key", "signing_key", "subscription-key", "encryption_key",
		"authorization", "Proxy-Authorization", "authorization_header", "bearer", "bearer_token", "jwt", "cookie", "cookies", "Set-Cookie", "session_id", "Session ID", "sessionid",
		"credential", "credentials", "credentials_json", "auth", "pass", "pwd", "sid", "sig", "X-Auth",
		"X-Hub-Signature", "X-Hub-Signature-256", "Stripe-Signature", "x_signature", "webhook_signature", "signature_key", "hmac_signature", "url_signature", "signature_token", "secret_signature",
		"headers_#_Authorization", "values_@_apiKey", "max_token_secret", "tokens_and_passwords",
	} {
		if !secretName(name) {
			t.Errorf("%q is taken for harmless", name)
		}
	}
	for _, name := range []string{
		"signature", "Signature", "email_signature", "emailSignature", "signature_html", "signatures", "Signature Text",
		"tokens", "max_tokens", "maxTokens", "max_output_tokens", "total_tokens", "token_count", "tokenCount", "token_limit", "tokens_per_minute", "max_new_tokens", "prompt_tokens", "stop_tokens",
		"pagination_token", "next_page_token", "nextPageToken", "page_token", "pageToken", "continuation_token", "sync_token", "nextToken", "eos_token",
		"token_type", "token_url", "token_endpoint", "authorization_url", "authorization_endpoint", "access_token_url", "token_symbol", "token_expires",
		"password_length", "password_policy", "password_selector", "secret_name", "api_key_name", "cookie_name", "credentials_type", "cookie_policy",
		"author", "keyword", "passage", "compass", "authority", "monkey", "primary_key", "key", "name", "", "sign", "design", "sidebar", "headers_#_Accept",
	} {
		if secretName(name) {
			t.Errorf("%q is taken for a secret", name)
		}
	}
}

func TestNamesAreTakenApart(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "", "_": "", "next_page_token": "next page token", "nextPageToken": "next page token", "Next-Page Token": "next page token", "XAPIKey": "xapi key",
		"APIKey": "api key", "apiKEY": "api key", "sha256": "sha256", "X-Hub-Signature-256": "x hub signature 256", "clé_secrète": "clé secrète",
	} {
		if got := strings.Join(wordsOf(name), " "); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}

// What runs of others hide is what is really a secret. Files leave more out, by the rule that they have always had.
func TestHarmlessNamesHideNothingInRuns(t *testing.T) {
	t.Parallel()
	n := &Node{InputDefault: json.RawMessage(`{"signature":"Kind regards, Ada","pagination_token":"p-1","token_count":"12","access_token":"at-1",` +
		`"deep":{"nextPageToken":"p-2","apiKey":"k-1"},"url":"https://example.com/?signature=s-1&pageToken=p-3","list":[{"name":"page_token","value":"p-4"},{"name":"token","value":"t-1"}]}`)}
	var texts []string
	for _, v := range Secrets(n, nil) {
		texts = append(texts, string(v))
	}
	slices.Sort(texts)
	if got := fmt.Sprint(slices.Compact(texts)); got != `["at-1" "k-1" "s-1" "t-1"]` {
		t.Errorf("hidden are %s", got)
	}
	const shown = `{"signature":"Kind regards, Ada","deep":{},"url":"https://example.com/?signature=&pageToken=p-3","list":[{"name":"page_token","value":"p-4"},{"name":"token"}]}`
	if got := string(Strip(n, nil)); got != shown {
		t.Errorf("shown is %s", got)
	}
}
