package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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

// What a careless block tells of its credentials is hidden wherever people read it.
func TestSecretsOfRunsAreHidden(t *testing.T) {
	t.Parallel()
	for text, alone := range map[string]bool{"return": false, "panic": false, "emit": false, "exit": true} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			h := start(t, "good")
			const canary = `canary-<&"1f>`
			secrets := map[string]*proto.Credential{
				"key":  {Secret: &proto.Credential_ApiKey{ApiKey: &proto.ApiKeySecret{Key: canary}}},
				"pair": {Secret: &proto.Credential_UserPassword{UserPassword: &proto.UserPasswordSecret{Username: "u", Password: canary}}},
			}
			for name, secret := range secrets {
				secret.Pin, secret.Id, secret.Provider = "credentials", "c", "vendor"
				var told strings.Builder
				outputs := 0
				result := h.Run(t.Context(), Run{
					Block: blockLeak, Input: json.RawMessage(`{"text":"` + text + `"}`), Credentials: []*proto.Credential{secret},
					Context: &proto.RunContext{NodeExecutionId: "n"}, Isolated: alone,
					Output: func(_ string, v json.RawMessage) error {
						outputs++
						told.Write(v)
						return nil
					},
					Progress: func(p *proto.Progress) { told.WriteString(p.GetText()) },
				})
				fmt.Fprint(&told, result.Err, result.Crashed)
				if text != "exit" && !strings.Contains(told.String(), "in the progress: ***") || strings.Contains(told.String(), "canary") {
					t.Errorf("%s: %s", name, told.String())
				}
				switch {
				case text == "exit" && (result.Crashed == nil || !strings.Contains(result.Crashed.Detail, "fatal: ***")),
					text == "return" && result.Err.GetMessage() != "returned: ***",
					text == "panic" && !strings.Contains(result.Err.GetMessage(), "panicked: ***"),
					text == "emit" && outputs != 1:
					t.Errorf("%s: %+v", name, result)
				}
			}
			eventually(t, "the logs", func() bool { return strings.Count(h.log.String(), "to stderr: ***") == len(secrets) })
			for _, line := range []string{"to stdout: ***", "to the log: ***", "https://x.test/?key=***"} {
				eventually(t, line, func() bool { return strings.Count(h.log.String(), line) == len(secrets) })
			}
			if strings.Contains(h.log.String(), "canary") {
				t.Error("a secret is in the log")
			}
		})
	}
}

func TestTheVeilIsLiftedWhenNoRunHasTheSecret(t *testing.T) {
	t.Parallel()
	var v veil
	v.add([]string{"secret"}, 1)
	v.add([]string{"secret"}, 1)
	v.add([]string{"secret"}, -1)
	if got := v.hide("the secret"); got != "the ***" {
		t.Error(got)
	}
	v.add([]string{"secret"}, -1)
	if got := v.hide("the secret"); got != "the secret" || len(v.secrets) != 0 {
		t.Error(got)
	}
}
