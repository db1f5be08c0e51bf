package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// borrower is a run of a block that may have secrets of its user's until it ends.
type borrower struct {
	s     *Service
	user  string
	block *block.Block
	input json.RawMessage
}

// heldSecrets fetches the secrets for as long as the run may have them, which is until release: those of providers that
// want one run at a time have been waited for.
func (b borrower) heldSecrets(ctx context.Context) (all []*proto.Credential, release func(), err error) {
	release = func() {}
	all, err = b.secrets(ctx)
	if err != nil || len(all) == 0 || b.s.config.Alone == nil {
		return all, release, err
	}
	known := make([]*credential.Credential, len(all))
	for i, c := range all {
		known[i] = &credential.Credential{ID: c.GetId(), Provider: c.GetProvider()}
	}
	held, err := b.s.config.Alone(ctx, known)
	if err != nil || held == nil {
		return all, release, err
	}
	if all, err = b.secrets(ctx); err != nil { // a token may have ended meanwhile
		held()
		return nil, release, err
	}
	return all, held, nil
}

// secrets fetches what the block's pins for credentials refer to, for this run alone. The error is one of the node.
func (b borrower) secrets(ctx context.Context) ([]*proto.Credential, error) {
	var all []*proto.Credential
	for _, f := range b.block.Credentials {
		if f.Inside != "" {
			c, err := b.picked(ctx, f)
			if err != nil {
				return nil, err
			}
			if c != nil {
				all = append(all, c)
			}
			continue
		}
		r, err := parseReference([]byte(gjson.GetBytes(b.input, gjson.Escape(f.Pin)).Raw))
		if err != nil {
			return nil, fmt.Errorf("Invalid credentials: pin %q %w", f.Pin, err)
		}
		var c *proto.Credential
		if r != nil {
			c, err = b.secret(ctx, f, r.ID)
		}
		switch {
		case err != nil:
			return nil, err
		case c != nil:
			all = append(all, c)
		case !f.Optional:
			return nil, fmt.Errorf("These credentials are required: pin %q", f.Pin)
		}
	}
	return all, nil
}

// picked fetches what a file that was picked names; nil where it names none and the block does without.
func (b borrower) picked(ctx context.Context, f block.CredentialsField) (*proto.Credential, error) {
	id := gjson.GetBytes(b.input, gjson.Escape(f.Inside)+"."+block.CredentialsMember).String()
	if id != "" {
		return b.secret(ctx, f, id)
	}
	if f.Optional {
		return nil, nil
	}
	return nil, fmt.Errorf("These credentials are required: pin %q holds a file without the account that opens it; select the file again", f.Inside)
}

// secret is nil where the credentials have gone and the block does without.
func (b borrower) secret(ctx context.Context, f block.CredentialsField, id string) (*proto.Credential, error) {
	vault := b.s.config.Credentials
	if vault == nil {
		return nil, unknownCredentials(id)
	}
	type opened struct {
		known  *credential.Credential
		secret *credential.Secret
	}
	o, err := postgres.Lasting(ctx, func() (opened, error) {
		known, secret, err := vault.Open(ctx, b.user, id)
		return opened{known, secret}, err
	})
	switch {
	case errors.Is(err, credential.ErrNotFound) && f.Optional:
		return nil, nil
	case errors.Is(err, credential.ErrNotFound):
		return nil, unknownCredentials(id)
	case err != nil:
		return nil, fmt.Errorf("Credentials not available: %w", err)
	}
	providers := f.Providers
	if f.Discriminator != "" {
		if provider, ok := f.Mapping[gjson.GetBytes(b.input, gjson.Escape(f.Discriminator)).String()]; ok {
			providers = []string{provider}
		}
	}
	if err := usable(o.known, f, providers, ""); err != nil { // links may have brought what nobody has seen
		return nil, err
	}
	vault.Used(ctx, o.known)
	return protoCredential(f.Pin, o.known, o.secret), nil
}

func protoCredential(pin string, c *credential.Credential, s *credential.Secret) *proto.Credential {
	p := &proto.Credential{Pin: pin, Id: c.ID, Provider: c.Provider, Title: c.Title}
	switch c.Type {
	case credential.OAuth2:
		token := &proto.OAuth2Secret{AccessToken: s.AccessToken, TokenType: s.TokenType, Scopes: c.Scopes, Username: c.Username}
		if c.ExpiresAt != nil {
			token.ExpiresAt = c.ExpiresAt.Unix()
		}
		p.Secret = &proto.Credential_Oauth2{Oauth2: token}
	case credential.APIKey:
		p.Secret = &proto.Credential_ApiKey{ApiKey: &proto.ApiKeySecret{Key: s.APIKey}}
	case credential.UserPassword:
		p.Secret = &proto.Credential_UserPassword{UserPassword: &proto.UserPasswordSecret{Username: s.Username, Password: s.Password}}
	case credential.HostScoped:
		p.Secret = &proto.Credential_HostScoped{HostScoped: &proto.HostScopedSecret{Host: c.Host, Headers: s.Headers}}
	}
	return p
}
