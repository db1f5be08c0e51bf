package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/patchbay-io/patchbay/core/config"
)

type accountCommand struct {
	Create   accountCreate   `cmd:"" help:"Make an account that logs in with an email and a password."`
	Password accountPassword `cmd:"" help:"Give an account another password, and end its sessions."`
}

// operator is who commands about accounts are sent as: whoever may read the server's secret is an administrator.
const operator = "00000000-0000-4000-8000-000000000000"

// accountConnection says which server the commands talk to.
type accountConnection struct {
	Server string `placeholder:"URL" help:"The server's REST address; the one of this machine unless set."`
	Token  string `placeholder:"JWT" help:"Token of an administrator; one is signed with the secret of this machine's server unless set."`
}

func (c accountConnection) open(settings *config.Settings) (*client, error) {
	token := c.Token
	if token == "" {
		var err error
		if token, err = sign(settings, tokenCommand{User: operator, Role: "admin", TTL: time.Minute}); err != nil {
			return nil, err
		}
	}
	return connection{Server: c.Server, Token: token}.open(settings)
}

type accountCreate struct {
	accountConnection
	Email string `required:"" placeholder:"EMAIL" help:"What the account logs in with."`
	Admin bool   `help:"Make it an administrator."`
}

// Run prints the id of the new user.
func (a accountCreate) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	c, err := a.open(settings)
	if err != nil {
		return err
	}
	password, err := t.readPassword(os.Stdin)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"email": a.Email, "password": password, "is_admin": a.Admin})
	if err != nil {
		return err
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := c.call(ctx, http.MethodPost, "/api/v2/admin/accounts", body, &made); err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, made.ID)
	return err
}

type accountPassword struct {
	accountConnection
	Email string `required:"" placeholder:"EMAIL" help:"Whose password it is."`
}

// Run finds the account and changes it.
func (a accountPassword) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	c, err := a.open(settings)
	if err != nil {
		return err
	}
	var found struct {
		Accounts []struct {
			ID string `json:"id"`
		} `json:"accounts"`
	}
	if err := c.call(ctx, http.MethodGet, "/api/v2/admin/accounts?email="+url.QueryEscape(a.Email), nil, &found); err != nil {
		return err
	}
	if len(found.Accounts) == 0 {
		return fmt.Errorf("there is no account with the email %s", a.Email)
	}
	password, err := t.readPassword(os.Stdin)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"password": password})
	if err != nil {
		return err
	}
	var changed json.RawMessage
	return c.call(ctx, http.MethodPut, "/api/v2/admin/accounts/"+url.PathEscape(found.Accounts[0].ID), body, &changed)
}

// readPassword asks for a password, twice on a terminal; else it is the first line of the input. Arguments would show
// it to everybody on the machine.
func (t terminal) readPassword(in *os.File) (string, error) {
	if !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(t.err, prompt)
		raw, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(t.err)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed[i] = string(raw)
	}
	if typed[0] != typed[1] {
		return "", fmt.Errorf("the two are not the same")
	}
	return typed[0], nil
}
