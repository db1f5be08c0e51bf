package main

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxAnswer bounds in bytes an answer that comes out as a value. Files may be as large as the server allows.
const maxAnswer = 32 << 20

// answer is the body of a response as a value: JSON byte for byte, text, a reference to a file that was stored for
// everything else, and null for nothing.
func answer(ctx context.Context, response *http.Response) (any, error) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil && kind == "" {
		kind = "text/plain"
	}
	if !isText(kind) && response.StatusCode/100 == 2 && response.Request.Method != http.MethodHead && response.StatusCode != http.StatusNoContent {
		return sdk.StoreFile(ctx, fileName(response), kind, response.Body)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	switch {
	case len(content) > maxAnswer:
		return nil, sdk.InvalidInput("the answer is larger than %d MiB", maxAnswer>>20)
	case len(content) == 0:
		return json.RawMessage("null"), nil
	case isJSON(kind) && json.Valid(content):
		return value.Trim(content), nil
	}
	return decoded(content, response.Header.Get("Content-Type")), nil
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// texts are the media types of text that do not say so.
var texts = []string{
	"application/javascript", "application/x-javascript", "application/ecmascript", "application/xml", "application/yaml", "application/x-yaml", "application/toml",
	"application/x-www-form-urlencoded", "application/x-ndjson", "application/jsonl", "application/graphql", "application/sql", "image/svg+xml",
}

func isText(kind string) bool {
	return isJSON(kind) || strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+xml") || slices.Contains(texts, kind)
}

// decoded is text of the encoding that it declares or, as a browser would find, that it has.
func decoded(content []byte, contentType string) string {
	encoding, _, _ := charset.DetermineEncoding(content, contentType)
	if utf, err := encoding.NewDecoder().Bytes(content); err == nil {
		content = utf
	}
	return strings.ToValidUTF8(string(content), "\uFFFD")
}

// fileName is what the server calls what it sends.
func fileName(response *http.Response) string {
	_, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	for _, name := range []string{parameters["filename"], response.Request.URL.Path} {
		if name = path.Base(name); err == nil && name != "." && name != "/" {
			return name
		}
		err = nil
	}
	return "download"
}

// fetch gives the whole body of a good answer.
func (r *request) fetch(ctx context.Context, limit int64) ([]byte, error) {
	response, err := r.do(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusTooManyRequests:
		after, _ := retryAfter(response.Header, time.Now())
		return nil, sdk.RateLimited(after, "%s answers %s", r.url.Host, response.Status)
	case response.StatusCode >= 500:
		return nil, sdk.Temporary("%s answers %s", r.url.Host, response.Status)
	case response.StatusCode/100 != 2:
		return nil, sdk.InvalidInput("%s answers %s", r.url.Host, response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = sdk.InvalidInput("the answer of %s is larger than %d MiB", r.url.Host, limit>>20)
	}
	return content, err
}
