package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// The settings of where GitHub is.
const (
	baseURL = "base_url"
	apiURL  = "api_url"
)

// access is the pin of blocks that may do what the scope repo covers.
type access struct {
	Credentials sdk.Credential `json:"credentials" providers:"github" types:"oauth2,api_key" scopes:"repo" doc:"The GitHub account"`
}

// client is the vendor's library for one run and its credentials.
type client struct {
	*github.Client
	token string // to keep it out of messages
}

// connect prepares for requests at the API of the setting, which the server makes.
func connect(ctx context.Context, credentials sdk.Credential) (*client, error) {
	base, err := url.Parse(strings.TrimRight(sdk.Setting(ctx, apiURL), "/") + "/")
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, errors.New("the setting api_url is not the address of an API")
	}
	h := sdk.HTTPClient(ctx)
	h.Transport = authorized{next: h.Transport, credentials: credentials, base: base}
	c := github.NewClient(h)
	c.BaseURL, c.UserAgent = base, "patchbay"
	return &client{Client: c, token: credentials.Bearer()}, nil
}

// authorized adds the credentials to requests at the API, and to none that a redirect or a link sends elsewhere.
type authorized struct {
	next        http.RoundTripper
	credentials sdk.Credential
	base        *url.URL
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == a.base.Scheme && r.URL.Host == a.base.Host {
		r = r.Clone(r.Context())
		if err := a.credentials.Authorize(r); err != nil {
			return nil, err
		}
	}
	return a.next.RoundTrip(r)
}

// Bounds of a list: GitHub gives at most 100 a page.
const (
	pageSize = 100
	maxPages = 20
)

// pages gives what all pages of a list hold, up to maxPages of them.
func pages[T any](ctx context.Context, get func(github.ListOptions) ([]T, *github.Response, error)) ([]T, error) {
	var all []T
	options := github.ListOptions{PerPage: pageSize}
	for range maxPages {
		some, response, err := get(options)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if response.NextPage <= options.Page { // 0 after the last
			return all, nil
		}
		options.Page = response.NextPage
	}
	sdk.Logger(ctx).Warn("a list is cut off", "after", len(all))
	return all, nil
}

// convert makes each value another; the list is never nil.
func convert[T, U any](values []T, to func(T) U) []U {
	converted := make([]U, 0, len(values))
	for _, v := range values {
		converted = append(converted, to(v))
	}
	return converted
}

// emitList puts a list out whole, and each of its items.
func emitList[T any](out sdk.Emitter, listPin, itemPin string, items []T) error {
	if err := out.Emit(listPin, items); err != nil {
		return err
	}
	for _, item := range items {
		if err := out.Emit(itemPin, item); err != nil {
			return err
		}
	}
	return nil
}

// pair is a value for a pin.
type pair struct {
	pin   string
	value any
}

func emit(out sdk.Emitter, pairs ...pair) error {
	for _, p := range pairs {
		if err := out.Emit(p.pin, p.value); err != nil {
			return err
		}
	}
	return nil
}
