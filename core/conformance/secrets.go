package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// canary is what no output, error or log may show.
const canary = "canary-7c1f0b5e"

// credentials runs blocks without their credentials, and with ones whose secret must not come out.
func (s *suite) credentials() (string, error) {
	session, err := s.ready()
	if err != nil {
		return "", err
	}
	var wrong []error
	blocks := 0
	for _, b := range s.offer.Blocks {
		if len(b.Credentials) == 0 {
			continue
		}
		blocks++
		input := sample(b)
		if needsCredentials(b) {
			r, err := session.start(&proto.Start{Block: b.Id, Input: input, Credit: plenty})
			if err != nil {
				return "", err
			}
			if err := r.wait(s.ctx, s.pace.run); err != nil {
				return "", fmt.Errorf("block %q without credentials: %w", b.Name, err)
			}
			// An input that was made up may be refused first.
			if k := r.failure.GetKind(); k != proto.ErrorKind_ERROR_KIND_AUTHENTICATION &&
				(len(b.Examples) > 0 || k != proto.ErrorKind_ERROR_KIND_INVALID_INPUT) {
				wrong = append(wrong, fmt.Errorf("block %q without credentials ended with %s", b.Name, ending(r)))
			}
		}
		r, err := session.start(&proto.Start{Block: b.Id, Input: input, Credit: plenty, Credentials: madeUp(b)})
		if err != nil {
			return "", err
		}
		if err := r.wait(s.ctx, s.pace.run); err != nil {
			return "", fmt.Errorf("block %q with credentials: %w", b.Name, err)
		}
		for _, o := range r.outputs {
			if bytes.Contains(o.Value, []byte(canary)) {
				wrong = append(wrong, fmt.Errorf("block %q put a secret out at pin %q", b.Name, o.Pin))
			}
		}
		if strings.Contains(r.failure.GetMessage(), canary) {
			wrong = append(wrong, fmt.Errorf("block %q told a secret in its error", b.Name))
		}
	}
	if blocks == 0 {
		return "", skipError("no block takes credentials")
	}
	if strings.Contains(s.process.stderr.String(), canary) {
		wrong = append(wrong, errors.New("a secret was written to standard error"))
	}
	return count(blocks, "block"), errors.Join(wrong...)
}

// needsCredentials says that a block does not run without some.
func needsCredentials(b *proto.BlockDescription) bool {
	return slices.ContainsFunc(b.Credentials, func(c *proto.CredentialsField) bool { return !c.Optional && c.Inside == "" })
}

// ending is how a run ended, for people.
func ending(r *run) string {
	if r.failure == nil {
		return "success"
	}
	return kindOf(r.failure) + ": " + r.failure.Message
}

// madeUp are credentials of the first kind that each pin takes.
func madeUp(b *proto.BlockDescription) []*proto.Credential {
	var all []*proto.Credential
	for _, field := range b.Credentials {
		c := &proto.Credential{Pin: field.Pin, Id: "00000000-0000-4000-8000-0000000000c1", Title: "made up"}
		if len(field.Providers) > 0 {
			c.Provider = field.Providers[0]
		}
		kind := "api_key"
		if len(field.Types) > 0 {
			kind = field.Types[0]
		}
		switch kind {
		case "oauth2":
			c.Secret = &proto.Credential_Oauth2{Oauth2: &proto.OAuth2Secret{AccessToken: canary, Scopes: field.Scopes}}
		case "user_password":
			c.Secret = &proto.Credential_UserPassword{UserPassword: &proto.UserPasswordSecret{Username: "somebody", Password: canary}}
		case "host_scoped":
			c.Secret = &proto.Credential_HostScoped{HostScoped: &proto.HostScopedSecret{
				Host: "example.com", Headers: map[string]string{"Authorization": canary},
			}}
		default:
			c.Secret = &proto.Credential_ApiKey{ApiKey: &proto.ApiKeySecret{Key: canary}}
		}
		all = append(all, c)
	}
	return all
}

// sample is an input of a block: that of its first example, else values of the types of what it requires.
func sample(b *proto.BlockDescription) []byte {
	if len(b.Examples) > 0 {
		return b.Examples[0].Input
	}
	input := map[string]json.RawMessage{}
	compiled, err := compile(b)
	if err != nil {
		return []byte("{}") // the description is at fault, which another check says
	}
	for _, pin := range compiled.Inputs() {
		if !pin.Required || block.CredentialsName(pin.Name) {
			continue
		}
		for _, try := range []string{`"x"`, `1`, `true`, `[]`, `{}`, `["x"]`, `"https://example.com/"`, `"a@example.com"`, `"2028-02-29"`} {
			if pin.Check(json.RawMessage(try)) == nil {
				input[pin.Name] = json.RawMessage(try)
				break
			}
		}
	}
	text, err := json.Marshal(input)
	if err != nil {
		return []byte("{}")
	}
	return text
}
