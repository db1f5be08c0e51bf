package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// untold are answers of a provider that works and does not tell whose a token is: it takes another scope, or it never
// does.
var untold = []int{http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented}

// lookUp finds out whose a token is. That may stay open.
func (o *operation) lookUp(ctx context.Context, reply []byte, t *Token) error {
	a := o.oauth.Account
	if t.AccountID != "" || a.ID == "" {
		return nil
	}
	if o.endpoints.AccountURL != "" {
		var body io.Reader
		method := http.MethodGet
		if a.Query != "" {
			query, err := json.Marshal(map[string]string{"query": a.Query})
			if err != nil {
				return err
			}
			method, body = http.MethodPost, bytes.NewReader(query)
		}
		request, err := http.NewRequestWithContext(ctx, method, o.endpoints.AccountURL, body)
		if err != nil {
			return err
		}
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		request.Header.Set("Accept", "application/json")
		request.Header.Set("Authorization", "Bearer "+t.AccessToken)
		status, answer, err := o.do(request)
		switch {
		case err != nil:
			return err
		case slices.Contains(untold, status):
			Logger(ctx).Warn("the provider does not tell whose account was connected", "provider", o.provider.Name, "status", status)
			return nil
		case status/100 != 2:
			return &statusError{status}
		}
		reply = answer
	}
	values := decodeValues(reply)
	t.AccountID = values.text(a.ID)
	if t.Username == "" {
		t.Username = values.text(a.Username)
	}
	if t.Title == "" {
		t.Title = values.text(a.Title)
	}
	return nil
}

// revoke makes a token worthless: the refresh token where there is one, since its access tokens go with it.
func (o *operation) revoke(ctx context.Context, c *proto.RevokeToken) (bool, error) {
	r := o.oauth.Revocation
	if o.endpoints.RevokeURL == "" {
		return false, nil
	}
	o.hide(c.GetAccessToken(), c.GetRefreshToken())
	field, token, hint := r.TokenField, c.GetAccessToken(), "access_token"
	if field == "" {
		field = "token"
		if c.GetRefreshToken() != "" {
			token, hint = c.GetRefreshToken(), "refresh_token"
		}
	}
	values := map[string]string{field: token}
	if field == "token" {
		values["token_type_hint"] = hint
	}
	request, err := o.revocation(ctx, r, values)
	if err != nil {
		return false, err
	}
	switch r.ClientAuth {
	case InBasic, InJSON:
		request.SetBasicAuth(url.QueryEscape(o.service.ClientID), url.QueryEscape(o.service.ClientSecret))
	case Bearer:
		request.Header.Set("Authorization", "Bearer "+c.GetAccessToken())
	}
	status, answer, err := o.do(request)
	if err != nil {
		return false, o.explain("was asked to revoke a token", err)
	}
	ok, said := decodeValues(answer).find("ok").(bool) // Slack refuses with a 200
	return status/100 == 2 && (ok || !said), nil
}

func (o *operation) revocation(ctx context.Context, r Revocation, values map[string]string) (*http.Request, error) {
	method, media := r.Method, "application/x-www-form-urlencoded"
	if method == "" {
		method = http.MethodPost
	}
	var body []byte
	switch r.ClientAuth {
	case InJSON:
		delete(values, "token_type_hint")
		media = "application/json"
		var err error
		if body, err = json.Marshal(values); err != nil {
			return nil, err
		}
	case Bearer:
	default:
		form := url.Values{}
		for name, value := range values {
			form.Set(name, value)
		}
		if r.ClientAuth == InBody {
			form.Set(settingClientID, o.service.ClientID)
			form.Set(settingClientSecret, o.service.ClientSecret)
		}
		body = []byte(form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, o.endpoints.RevokeURL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		request.Header.Set("Content-Type", media)
	}
	return request, nil
}

// maxReply bounds in bytes what a provider's answer may have.
const maxReply = 1 << 20

func (o *operation) do(request *http.Request) (int, []byte, error) {
	response, err := o.service.Client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, body, nil
}

// lookedUp is what a provider was asked when its answer says that the token itself is not accepted.
const lookedUp = "was asked whose the token is"

// statusError is an answer that is none.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("HTTP status %d %s", e.status, http.StatusText(e.status))
}
