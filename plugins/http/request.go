package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/patchbay-io/patchbay/sdk"
)

type requestInput struct {
	URL       string            `json:"url" required:"true" placeholder:"https://api.example.com" doc:"Where the request goes; without a scheme it is https"`
	Method    string            `json:"method" default:"POST" enum:"GET,POST,PUT,DELETE,PATCH,OPTIONS,HEAD" doc:"The request's method"`
	Headers   map[string]string `json:"headers" doc:"Headers of the request"`
	JSON      bool              `json:"json_format" default:"true" title:"JSON format" doc:"Send the body as JSON; otherwise a dictionary goes as a form, and text as it is"`
	Body      json.RawMessage   `json:"body" type:"object|null|array|string" default:"null" doc:"The request's body: a dictionary, a list, or text"`
	FilesName string            `json:"files_name" default:"file" doc:"Name of the form's field that the files have"`
	Files     []string          `json:"files" schema:"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"format\":\"file\"}}" doc:"Files to upload, beside the body's fields; not together with JSON"`
}

var responses = sdk.Outputs{
	sdk.Out("response", sdk.Any("What the server answered: JSON as it is, text, or a reference to the file that came")),
	sdk.Out("client_error", sdk.Any("The answer, where its status is 4xx")),
	sdk.Out("server_error", sdk.Any("The answer, where its status is 5xx, or a redirect that leads nowhere")),
}

var sendWebRequest = sdk.Block[requestInput]{
	ID:   "6595ae1f-b924-42cb-9a41-551a0611c4b4",
	Name: "Send Web Request",
	Description: "Makes an HTTP request and gives the answer. Requests that may be repeated (all methods but POST and PATCH) are " +
		"tried three times when the server cannot be reached or asks for it",
	Categories: []string{"OUTPUT"},
	Outputs:    responses,
	Run: func(ctx context.Context, in requestInput, out sdk.Emitter) error {
		request, err := in.request()
		if err != nil {
			return err
		}
		return request.send(ctx, out)
	},
	Examples: []sdk.Example{{
		Input:  `{"url": "https://api.example.com/greet", "body": {"name": "Ada"}}`,
		Output: `{"response": [{"greeting": "Hello, Ada!"}]}`,
	}},
}

// request is one that can be made more than once.
type request struct {
	method  string
	url     *url.URL
	headers http.Header
	body    body
}

func (in requestInput) request() (*request, error) {
	address, err := parseURL(in.URL)
	if err != nil {
		return nil, err
	}
	r := &request{method: in.Method, url: address, headers: http.Header{}}
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(in.Headers[name]) {
			return nil, sdk.InvalidInput("the header %q is none that HTTP allows", name)
		}
		r.headers.Set(name, in.Headers[name])
	}
	r.body, err = in.body(r.headers.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	if r.body.contentType != "" {
		r.headers.Set("Content-Type", r.body.contentType)
	}
	return r, nil
}

// parseURL reads an address as people write it.
func parseURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, sdk.InvalidInput("the URL cannot be read: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, sdk.InvalidInput("only http and https URLs can be requested, not %q", u.Scheme)
	case u.Hostname() == "":
		return nil, sdk.InvalidInput("the URL names no host")
	}
	return u, nil
}

// send makes the request and puts the answer out.
func (r *request) send(ctx context.Context, out sdk.Emitter) error {
	response, err := r.do(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	value, err := answer(ctx, response)
	if err != nil {
		return err
	}
	pin := "server_error"
	switch response.StatusCode / 100 {
	case 2:
		pin = "response"
	case 4:
		pin = "client_error"
	}
	return out.Emit(pin, value)
}

// attempt makes the request once.
func (r *request) attempt(ctx context.Context) (*http.Response, error) {
	sent, size, err := r.body.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sent.Close() }()
	var reader io.Reader = sent
	if size == 0 {
		reader = http.NoBody
	}
	request, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), reader)
	if err != nil {
		return nil, sdk.InvalidInput("the request cannot be made: %w", err)
	}
	request.ContentLength = size
	request.Header = r.headers.Clone()
	if key := sdk.RunFrom(ctx).IdempotencyKey; key != "" && !slices.Contains(idempotent, r.method) && request.Header.Get("Idempotency-Key") == "" {
		request.Header.Set("Idempotency-Key", key) // a run that is cut off is repeated; services that know the header do it once
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	return sdk.HTTPClient(ctx).Do(request)
}
