package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/server"
)

// connection says which server the agent commands talk to, and as whom.
type connection struct {
	Server string `placeholder:"URL" help:"The server's REST address; the one of this machine unless set."`
	Token  string `placeholder:"JWT" help:"Token to use; one is signed with the secret of this machine's server unless set."`
	User   string `default:"${user}" placeholder:"UUID" help:"User to act as, when no token is given."`
}

// client speaks REST with a server.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
}

func (c connection) open(settings *config.Settings) (*client, error) {
	address := c.Server
	if address == "" {
		address = server.URL(settings)
	}
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("--server %q is no URL such as http://127.0.0.1:8006", address)
	}
	token := c.Token
	if token == "" {
		token, err = sign(settings, tokenCommand{User: c.User, Role: "authenticated", TTL: 24 * time.Hour})
		if err != nil {
			return nil, err
		}
	}
	return &client{base: base, token: token, http: &http.Client{Timeout: 2 * time.Minute}}, nil
}

// problem is an error that the server answered with.
type problem struct {
	Status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Details struct {
		Fields     map[string]string            `json:"fields"`
		NodeErrors map[string]map[string]string `json:"node_errors"`
	} `json:"details"`
}

func (p *problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Message)
	for _, field := range sortedKeys(p.Details.Fields) {
		if !strings.Contains(p.Message, p.Details.Fields[field]) {
			fmt.Fprintf(&b, "\n  %s: %s", field, p.Details.Fields[field])
		}
	}
	for _, node := range sortedKeys(p.Details.NodeErrors) {
		for _, pin := range sortedKeys(p.Details.NodeErrors[node]) {
			fmt.Fprintf(&b, "\n  node %s, %s: %s", node, pin, p.Details.NodeErrors[node][pin])
		}
	}
	return b.String()
}

// call sends a request and decodes the answer into result, which may be a *json.RawMessage for the answer as it is; nil:
// there is nothing in it.
func (c *client) call(ctx context.Context, method, path string, body []byte, result any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return c.send(request, result)
}

func (c *client) send(request *http.Request, result any) error {
	response, err := c.http.Do(request)
	if err != nil {
		return c.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if response.StatusCode >= 400 {
		return failure(response.StatusCode, raw)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("read the server's answer to %s %s: %w", request.Method, request.URL.Path, err)
	}
	return nil
}

func failure(status int, raw []byte) error {
	var envelope struct {
		Error problem `json:"error"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil || envelope.Error.Code == "" {
		return fmt.Errorf("the server answered %d %s", status, http.StatusText(status))
	}
	envelope.Error.Status = status
	return &envelope.Error
}

func (c *client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("no server answers at %s; start one with patchbay serve, or name it with --server: %w", c.base, err)
}
