package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

type keyInput struct {
	Model       string     `json:"model" default:"gpt"`
	Credentials sdk.APIKey `json:"credentials" doc:"Whose model" providers:"openai, anthropic" discriminator:"model" discriminator_mapping:"gpt=openai,claude=anthropic"`
}

type anyInput struct {
	Credentials      sdk.Credential   `json:"credentials" providers:"github" types:"api_key,oauth2"`
	SmtpCredentials  sdk.UserPassword `json:"smtp_credentials" providers:"smtp" optional:"true"`
	OtherCredentials sdk.HostScoped   `json:"other_credentials" providers:"http" optional:"true"`
}

func (anyInput) DescribeCredentials(pin string, p *sdk.CredentialsPin) {
	if pin == "credentials" {
		p.Scopes = []string{"repo"}
	}
}

func block[In any](run func(ctx context.Context, in In, out sdk.Emitter) error) sdk.Block[In] {
	return sdk.Block[In]{
		ID: "0f0c6f1e-52a5-4a7c-9d0d-4d9d5b6a9c01", Name: "Test", Outputs: sdk.Outputs{sdk.Out("out", sdk.Any(""))}, Run: run,
	}
}

func TestCredentialsAreDescribed(t *testing.T) {
	t.Parallel()
	d, err := block(func(context.Context, keyInput, sdk.Emitter) error { return nil }).Describe()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"object","properties":{"model":{"type":"string","default":"gpt"},"credentials":{"type":"object","properties":{` +
		`"id":{"title":"Id","type":"string"},"title":{"title":"Title","anyOf":[{"type":"string"},{"type":"null"}],"default":null},` +
		`"provider":{"title":"Provider","type":"string","enum":["openai","anthropic"]},"type":{"title":"Type","type":"string","const":"api_key"}},` +
		`"required":["id","provider","type"],"description":"Whose model","credentials_provider":["openai","anthropic"],` +
		`"credentials_types":["api_key"],"discriminator":"model","discriminator_mapping":{"claude":"anthropic","gpt":"openai"}}},` +
		`"required":["credentials"]}`
	if got := string(d.InputSchema); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	f := d.Credentials[0]
	if f.Pin != "credentials" || f.Discriminator != "model" || f.DiscriminatorMapping["claude"] != "anthropic" || f.Optional {
		t.Errorf("%v", f)
	}
	d, err = block(func(context.Context, anyInput, sdk.Emitter) error { return nil }).Describe()
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Credentials) != 3 || fmt.Sprint(d.Credentials[0].Types, d.Credentials[0].Scopes) != "[api_key oauth2] [repo]" || !d.Credentials[1].Optional {
		t.Errorf("%v", d.Credentials)
	}
	if !bytes.Contains(d.InputSchema, []byte(`"credentials_scopes":["repo"]`)) || !bytes.HasSuffix(d.InputSchema, []byte(`"required":["credentials"]}`)) {
		t.Errorf("%s", d.InputSchema)
	}
}

func TestCredentialsThatAreDescribedBadly(t *testing.T) {
	t.Parallel()
	for want, describe := range map[string]func() (*proto.BlockDescription, error){
		"names no provider": block(func(context.Context, struct {
			Credentials sdk.APIKey `json:"credentials"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		"names no type": block(func(context.Context, struct {
			Credentials sdk.Credential `json:"credentials" providers:"a"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		"takes oauth2 only": block(func(context.Context, struct {
			Credentials sdk.OAuth2 `json:"credentials" providers:"a" types:"api_key"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		`ends in "_credentials"`: block(func(context.Context, struct {
			Key sdk.APIKey `json:"key" providers:"a"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		"is reserved": block(func(context.Context, struct {
			Key string `json:"my_credentials"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		`"model" is no pin`: block(func(context.Context, struct {
			Credentials sdk.APIKey `json:"credentials" providers:"a" discriminator:"model"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		`the pin "file" that names the credentials is none`: block(func(context.Context, struct {
			Credentials sdk.OAuth2 `json:"credentials" providers:"a" inside:"file"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		"pin of the block itself": block(func(context.Context, struct {
			Inner struct {
				Credentials sdk.APIKey `json:"credentials" providers:"a"`
			} `json:"inner"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
		"none of its providers": block(func(context.Context, struct {
			Model       string     `json:"model"`
			Credentials sdk.APIKey `json:"credentials" providers:"a" discriminator:"model" discriminator_mapping:"x=b"`
		}, sdk.Emitter) error {
			return nil
		}).Describe,
	} {
		if _, err := describe(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestABlockGetsItsCredentials(t *testing.T) {
	t.Parallel()
	b := block(func(ctx context.Context, in anyInput, out sdk.Emitter) error {
		key, isKey := in.Credentials.APIKey()
		_, isToken := in.Credentials.OAuth2()
		if byPin := sdk.CredentialFrom(ctx, "credentials"); byPin.Bearer() != in.Credentials.Bearer() {
			t.Errorf("by its pin it is %q", byPin.Bearer())
		}
		return out.Emit("out", []any{
			key.Key(), isKey, isToken, in.Credentials.Bearer(), in.SmtpCredentials.Given(), in.SmtpCredentials.Username(),
			in.SmtpCredentials.Password(), in.OtherCredentials.Given(), in.Credentials.Reference(),
		})
	})
	reference := `{"id":"00000000-0000-4000-8000-0000000000c1","provider":"github","type":%q,"title":"of the test"}`
	for want, given := range map[string][]*proto.Credential{
		`["sk-1",true,false,"sk-1",false,"","",false,` + fmt.Sprintf(reference, "api_key") + `]`: {blocktest.APIKey("credentials", "github", "sk-1")},
		`["",false,true,"gho-1",true,"ann","pw",false,` + fmt.Sprintf(reference, "oauth2") + `]`: {
			blocktest.OAuth2("credentials", "github", "gho-1", "repo"), blocktest.UserPassword("smtp_credentials", "smtp", "ann", "pw"),
		},
	} {
		got, err := blocktest.RunContext(sdk.WithCredentials(t.Context(), given...), t, b, `{"credentials":{"id":"x"}}`)
		if err != nil || string(got[0].Value) != want {
			t.Errorf("%s %v\nwant %s", got, err, want)
		}
	}
	for want, given := range map[string][]*proto.Credential{
		`pin "credentials": these credentials are required`:                 {blocktest.APIKey("smtp_credentials", "smtp", "k")},
		`pin "credentials": credentials of type "user_password" do not fit`: {blocktest.UserPassword("credentials", "github", "a", "b")},
	} {
		_, err := blocktest.RunContext(sdk.WithCredentials(t.Context(), given...), t, b, `{}`)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	const canary = "canary-5f1c"
	var text, log bytes.Buffer
	b := block(func(_ context.Context, in anyInput, _ sdk.Emitter) error {
		type holder struct {
			inside  sdk.APIKey
			Outside sdk.APIKey
		}
		key, _ := in.Credentials.APIKey()
		h := holder{key, key}
		for _, value := range []any{in, &in, in.Credentials, &in.Credentials, key, h, &h, []any{key}, map[string]any{"k": key}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&text, verb+"\n", value)
			}
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Error(err)
			}
			text.Write(encoded)
			for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
				slog.New(handler).Info("m", "value", value)
			}
			for _, asJSON := range []bool{true, false} {
				hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: asJSON}).Info("m", "value", value)
			}
		}
		if key.String() != "***" || key.GoString() != "***" || fmt.Sprint(in.SmtpCredentials) != "***" {
			t.Errorf("%s", key)
		}
		return nil
	})
	ctx := sdk.WithCredentials(t.Context(), blocktest.APIKey("credentials", "github", canary), blocktest.UserPassword("smtp_credentials", "smtp", "u", canary))
	if _, err := blocktest.RunContext(ctx, t, b, `{}`); err != nil {
		t.Fatal(err)
	}
	if all := text.String() + log.String(); strings.Contains(all, canary) || strings.Contains(all, fmt.Sprintf("%x", canary)) {
		t.Errorf("a secret shows:\n%s", all)
	}
	if !strings.Contains(text.String(), `"provider":"github","type":"api_key"`) {
		t.Error("the reference does not show")
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		credential *proto.Credential
		address    string
		header     string
		want       string
	}{
		{blocktest.APIKey("credentials", "p", "k"), "https://a.example", "Authorization", "Bearer k"},
		{blocktest.OAuth2("credentials", "p", "t"), "https://a.example", "Authorization", "Bearer t"},
		{blocktest.UserPassword("credentials", "p", "u", "p"), "https://a.example", "Authorization", "Basic dTpw"},
		{blocktest.HostScoped("credentials", "p", "a.example", map[string]string{"X-Key": "v"}), "https://a.example/x", "X-Key", "v"},
		{blocktest.HostScoped("credentials", "p", "a.example", map[string]string{"X-Key": "v"}), "https://b.example/x", "X-Key", "refused"},
		{nil, "https://a.example", "Authorization", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, c.address, nil)
		var given sdk.Credential
		if c.credential != nil {
			given = sdk.CredentialFrom(sdk.WithCredentials(t.Context(), c.credential), "credentials")
		}
		err := given.Authorize(r)
		if got := r.Header.Get(c.header); c.want == "refused" && (err == nil || got != "") || c.want != "refused" && (err != nil || got != c.want) {
			t.Errorf("%v: %q %v", c, got, err)
		}
	}
}

func TestHostPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, address string
		want             bool
	}{
		{"api.example.com", "https://api.example.com/x", true},
		{"api.example.com", "https://API.example.com./x", true},
		{"API.example.com", "http://api.example.com:80/x", true},
		{"api.example.com", "https://api.example.com:8443/x", false},
		{"api.example.com", "https://example.com", false},
		{"api.example.com", "https://api.example.com.evil.test", false},
		{"api.example.com", "https://evil.test/api.example.com", false},
		{"api.example.com", "https://api.example.com@evil.test/", false},
		{"*.example.com", "https://a.example.com", true},
		{"*.example.com", "https://a.b.example.com", true},
		{"*.example.com", "https://example.com", false},
		{"*.example.com", "https://evilexample.com", false},
		{"api.example.com:8443", "https://api.example.com:8443", true},
		{"api.example.com:443", "https://api.example.com", true},
		{"api.example.com:443", "http://api.example.com", false},
		{"*.example.com:8443", "https://a.example.com", false},
		{"127.0.0.1:9000", "http://127.0.0.1:9000/x", true},
		{"[::1]:9000", "http://[::1]:9000/x", true},
		{"", "http:///x", false},
	} {
		credential := blocktest.HostScoped("credentials", "http", c.pattern, nil)
		scoped, ok := sdk.CredentialFrom(sdk.WithCredentials(t.Context(), credential), "credentials").HostScoped()
		address, err := url.Parse(c.address)
		if err != nil || !ok {
			t.Fatal(err, ok)
		}
		if got := scoped.Matches(address); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.address, got)
		}
	}
}
