package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

// The settings that say where Google's services are: for proxies, and for tests.
const (
	gmailURL    = "gmail_url"
	calendarURL = "calendar_url"
	sheetsURL   = "sheets_url"
	driveURL    = "drive_url"
)

var settings = []sdk.PluginSetting{
	{Name: gmailURL, Default: "https://gmail.googleapis.com", Description: "Address of the Gmail API"},
	{Name: calendarURL, Default: "https://www.googleapis.com/calendar/v3", Description: "Address of the Calendar API"},
	{Name: sheetsURL, Default: "https://sheets.googleapis.com", Description: "Address of the Sheets API"},
	{Name: driveURL, Default: "https://www.googleapis.com/drive/v3", Description: "Address of the Drive API"},
}

func newGmail(ctx context.Context, token sdk.OAuth2) (*gmail.Service, error) {
	return service(ctx, token, gmailURL, gmail.NewService)
}

func newCalendar(ctx context.Context, token sdk.OAuth2) (*calendar.Service, error) {
	return service(ctx, token, calendarURL, calendar.NewService)
}

func newSheets(ctx context.Context, token sdk.OAuth2) (*sheets.Service, error) {
	return service(ctx, token, sheetsURL, sheets.NewService)
}

func newDrive(ctx context.Context, token sdk.OAuth2) (*drive.Service, error) {
	return service(ctx, token, driveURL, drive.NewService)
}

// service makes a service of Google's library that reaches the network as the run may, with the run's token.
func service[S any](ctx context.Context, token sdk.OAuth2, setting string, make func(context.Context, ...option.ClientOption) (*S, error)) (*S, error) {
	base := strings.TrimSuffix(sdk.Setting(ctx, setting), "/") + "/"
	address, err := url.Parse(base)
	if err != nil || address.Host == "" {
		return nil, fmt.Errorf("the setting %s is no address", setting)
	}
	client := sdk.HTTPClient(ctx)
	client.Transport = bearer{client.Transport, token, address}
	return make(ctx, option.WithHTTPClient(client), option.WithEndpoint(base))
}

// bearer signs the requests to one address. A redirect to another gets no token.
type bearer struct {
	http.RoundTripper
	token   sdk.OAuth2
	address *url.URL
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == b.address.Scheme && r.URL.Host == b.address.Host {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token.AccessToken())
	}
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil || response.StatusCode < http.StatusBadRequest {
		return response, err
	}
	defer func() { _ = response.Body.Close() }()
	return nil, problem(googleapi.CheckResponse(response), b.token.AccessToken())
}

// problem says what Google's refusal means for the run: {"error": {"code", "message", "errors": [{"reason"}]}}.
func problem(err error, token string) error {
	var refused *googleapi.Error
	if !errors.As(err, &refused) {
		return err
	}
	text := fmt.Sprintf("Google answers %d %s", refused.Code, http.StatusText(refused.Code))
	if message := strings.TrimSpace(refused.Message); message != "" {
		text += ": " + brief(strings.ReplaceAll(message, token, "***"))
	}
	switch {
	case refused.Code == http.StatusTooManyRequests || limited(refused):
		return sdk.RateLimited(retryAfter(refused.Header, time.Now()), "%s", text)
	case refused.Code == http.StatusUnauthorized || refused.Code == http.StatusForbidden:
		return sdk.Authentication("%s", text)
	case refused.Code >= http.StatusInternalServerError || refused.Code == http.StatusRequestTimeout:
		return sdk.Temporary("%s", text)
	case refused.Code == http.StatusBadRequest:
		return sdk.InvalidInput("%s", text)
	}
	return &refusal{text, refused.Code}
}

// limited says whether a refusal with the status 403 is one for the number of requests, as older services have it.
func limited(refused *googleapi.Error) bool {
	if refused.Code != http.StatusForbidden {
		return false
	}
	for _, e := range refused.Errors {
		switch e.Reason {
		case "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "calendarUsageLimitsExceeded":
			return true
		}
	}
	return false
}

// refusal is one that another attempt would not change.
type refusal struct {
	text   string
	status int
}

func (r *refusal) Error() string { return r.text }

// refusedWith says whether an error is Google's refusal with a status.
func refusedWith(err error, status int) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == status
}

// retryAfter reads when to come again: in seconds, or as a date.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// brief is as much of a message as helps.
func brief(text string) string {
	const most = 2000
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// innermost is what problem said, without what the library and the client put around it.
func innermost(err error) error {
	var said *sdk.Error
	if errors.As(err, &said) {
		return said
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused
	}
	return err
}
