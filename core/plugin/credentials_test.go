package plugin

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestARunGetsItsCredentialsBesideItsInput(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	run := Run{Block: blockCredentials, Input: json.RawMessage(`{"credentials":{"id":"of the input"}}`)}
	if r, got := h.doRun(context.Background(), run); r.Err != nil || got[0] != `[{"id":"","provider":"","type":""},""]` {
		t.Errorf("without any: %v %s", r.Err, got)
	}
	for want, secret := range map[string]*proto.Credential{
		`[{"id":"c","provider":"vendor","type":"api_key","title":"T"},"sk-1"]`: {
			Title: "T", Secret: &proto.Credential_ApiKey{ApiKey: &proto.ApiKeySecret{Key: "sk-1"}},
		},
		`[{"id":"c","provider":"vendor","type":"oauth2"},"gho-1"]`: {
			Secret: &proto.Credential_Oauth2{Oauth2: &proto.OAuth2Secret{AccessToken: "gho-1"}},
		},
	} {
		secret.Pin, secret.Id, secret.Provider = "credentials", "c", "vendor"
		run.Credentials = []*proto.Credential{secret}
		if r, got := h.doRun(context.Background(), run); r.Err != nil || got[0] != want {
			t.Errorf("%v %s, want %s", r.Err, got, want)
		}
	}
}

func TestADescriptionSaysWhatCredentialsABlockTakes(t *testing.T) {
	t.Parallel()
	b, ok := start(t, "good").Block(blockCredentials)
	if !ok || len(b.Credentials) != 1 {
		t.Fatalf("%+v", b)
	}
	if f := b.Credentials[0]; f.Pin != "credentials" || !f.Optional || len(f.Providers) != 2 || len(f.Types) != 2 {
		t.Errorf("%+v", f)
	}
	if pin, _ := b.Input("credentials"); !pin.Credentials || pin.Required {
		t.Errorf("%+v", pin)
	}
}
