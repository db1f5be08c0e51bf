package cli

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/server"
)

// localUser is who a person is that has not said otherwise: on one's own machine one name is enough.
const localUser = "00000000-0000-4000-8000-000000000001"

type tokenCommand struct {
	User  string        `required:"" placeholder:"UUID" help:"Id of the user."`
	Email string        `help:"Email address in the token."`
	Role  string        `default:"authenticated" help:"Role in the token; admin is an administrator."`
	TTL   time.Duration `name:"ttl" default:"24h" help:"How long the token is valid."`
}

// Run prints the token and nothing else.
func (c tokenCommand) Run(settings *config.Settings, t terminal) error {
	id, err := uuid.Parse(c.User)
	if err != nil {
		return fmt.Errorf("--user %q is no UUID", c.User)
	}
	c.User = id.String()
	if c.TTL <= 0 {
		return fmt.Errorf("--ttl must be positive")
	}
	token, err := sign(settings, c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, token)
	return err
}

func sign(settings *config.Settings, c tokenCommand) (string, error) {
	secret, err := server.Secret(settings)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return account.Signer{Secret: []byte(secret), Audience: settings.JWTAudience}.
		Sign(account.Claims{UserID: c.User, Email: c.Email, Role: c.Role}, now, now.Add(c.TTL))
}
