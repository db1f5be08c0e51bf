package credential

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// Draft is a credential that its user types in.
type Draft struct {
	Provider  string
	Type      Type // APIKey, UserPassword or HostScoped
	Title     string
	APIKey    string
	Username  string
	Password  string
	Host      string
	Headers   map[string]string
	ExpiresAt *time.Time // of a key
	Default   bool
}

// Bounds of what is typed in, in characters.
const (
	maxTitle   = 100
	maxSecret  = 16 << 10
	maxHeaders = 32
	maxHeader  = 8 << 10
)

var providerPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// Create stores what a user typed in.
func (v *Vault) Create(ctx context.Context, user string, d Draft) (*Credential, error) {
	d.APIKey, d.Title = strings.TrimSpace(d.APIKey), strings.TrimSpace(d.Title)
	if d.Title == "" {
		d.Title = d.Provider
	}
	wrong := d.check()
	c := Credential{UserID: user, Provider: d.Provider, Type: d.Type, Title: d.Title, Default: d.Default}
	s := &Secret{}
	switch d.Type {
	case APIKey:
		s.APIKey, c.ExpiresAt = d.APIKey, d.ExpiresAt
	case UserPassword:
		s.Username, s.Password, c.Username = d.Username, d.Password, d.Username
	case HostScoped:
		host, problem := parseHost(d.Host)
		if problem != "" {
			wrong["host"] = problem
		}
		s.Headers, c.Host = d.Headers, host
	}
	if len(wrong) > 0 {
		return nil, &Invalid{Fields: wrong}
	}
	return v.Add(ctx, c, s)
}

// check says what is wrong with each field, and never what the field holds.
func (d *Draft) check() map[string]string {
	wrong := map[string]string{}
	if !providerPattern.MatchString(d.Provider) {
		wrong["provider"] = "must be a name of lower-case letters, digits, '_', '-' and '.', of at most 64 characters"
	}
	checkTitle(d.Title, wrong)
	switch d.Type {
	case APIKey:
		checkSecret("api_key", d.APIKey, wrong)
		if d.ExpiresAt != nil && !d.ExpiresAt.After(time.Now()) {
			wrong["expires_at"] = "must be in the future"
		}
	case UserPassword:
		checkSecret("username", d.Username, wrong)
		checkSecret("password", d.Password, wrong)
	case HostScoped:
		checkHeaders(d.Headers, wrong)
	case OAuth2:
		wrong["type"] = "credentials of the type oauth2 come from their provider"
	default:
		wrong["type"] = "must be api_key, user_password or host_scoped"
	}
	for name, given := range map[string]bool{
		"api_key": d.APIKey != "" && d.Type != APIKey, "expires_at": d.ExpiresAt != nil && d.Type != APIKey,
		"username": d.Username != "" && d.Type != UserPassword, "password": d.Password != "" && d.Type != UserPassword,
		"host": d.Host != "" && d.Type != HostScoped, "headers": d.Headers != nil && d.Type != HostScoped,
	} {
		if given {
			wrong[name] = fmt.Sprintf("does not belong to the type %.20s", d.Type)
		}
	}
	return wrong
}

func checkTitle(title string, wrong map[string]string) {
	switch {
	case title == "":
		wrong["title"] = "must not be empty"
	case utf8.RuneCountInString(title) > maxTitle:
		wrong["title"] = fmt.Sprintf("must have at most %d characters", maxTitle)
	case strings.ContainsFunc(title, unicode.IsControl):
		wrong["title"] = "must not hold control characters"
	}
}

func checkSecret(name, value string, wrong map[string]string) {
	switch {
	case value == "":
		wrong[name] = "must not be empty"
	case len(value) > maxSecret:
		wrong[name] = fmt.Sprintf("must have at most %d bytes", maxSecret)
	case strings.ContainsAny(value, "\r\n\x00"): // it goes into headers, where these end a line
		wrong[name] = "must not hold line ends or U+0000"
	}
}

// ofTheConnection are headers that a request's client decides, or that would let it end where its body begins.
var ofTheConnection = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

func checkHeaders(headers map[string]string, wrong map[string]string) {
	if len(headers) == 0 || len(headers) > maxHeaders {
		wrong["headers"] = fmt.Sprintf("must be 1 to %d headers", maxHeaders)
		return
	}
	for name, value := range headers {
		switch {
		case !httpguts.ValidHeaderFieldName(name) || len(name) > maxTitle:
			wrong["headers"] = "a name is none that a header can have"
		case slices.Contains(ofTheConnection, strings.ToLower(name)):
			wrong["headers"] = fmt.Sprintf("the header %s is not yours to set", name)
		case value == "" || len(value) > maxHeader || !httpguts.ValidHeaderFieldValue(value):
			wrong["headers"] = fmt.Sprintf("the value of %s is empty, too long, or none that a header can have", name)
		}
	}
}
