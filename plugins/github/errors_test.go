package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

const issueOne = `{"issue_url": "https://github.com/ada/engine/issues/1"}`

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	reset := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	for _, test := range []struct {
		status int
		header map[string]string
		answer string
		kind   proto.ErrorKind
		says   string
	}{
		{401, nil, `{"message": "Bad credentials"}`, proto.ErrorKind_ERROR_KIND_AUTHENTICATION, "the issue ada/engine#1: GitHub answers 401 Unauthorized: Bad credentials"},
		{403, nil, `{"message": "Resource not accessible by ` + token + `"}`, proto.ErrorKind_ERROR_KIND_AUTHENTICATION, "not accessible by ***"},
		{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, `{"message": "API rate limit exceeded"}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, "rate limit exceeded"},
		{403, map[string]string{"Retry-After": "3600"}, `{"message": "Slow down", "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, "Slow down"},
		{429, map[string]string{"Retry-After": "3600"}, `{}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, "429 Too Many Requests"},
		{404, nil, `{"message": "Not Found"}`, proto.ErrorKind_ERROR_KIND_PERMANENT, "the issue ada/engine#1: GitHub answers 404 Not Found"},
		{410, nil, `{"message": "This issue was deleted"}`, proto.ErrorKind_ERROR_KIND_PERMANENT, "410 Gone: This issue was deleted"},
		{422, nil, `{"message": "Validation Failed", "errors": [{"resource": "Issue", "field": "title", "code": "missing_field"}]}`, proto.ErrorKind_ERROR_KIND_INVALID_INPUT, "Validation Failed; Issue title missing_field"},
		{502, map[string]string{"Content-Type": "text/html"}, `<h1>Bad Gateway</h1>`, proto.ErrorKind_ERROR_KIND_TEMPORARY, "502 Bad Gateway"},
		{200, nil, `{"title": `, proto.ErrorKind_ERROR_KIND_PERMANENT, "unexpected EOF"},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			t.Parallel()
			g := newGitHub(t, exchange{request: "GET repos/ada/engine/issues/1", status: test.status, header: test.header, answer: test.answer})
			got, err := g.run(readIssue, issueOne)
			kind, after := proto.ErrorKind_ERROR_KIND_PERMANENT, time.Duration(0)
			if known, ok := errors.AsType[*sdk.Error](err); ok {
				kind, after = known.Kind, known.RetryAfter
			}
			if err == nil || got != "" || kind != test.kind || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), token) {
				t.Errorf("%q, %s: %v", got, kind, err)
			}
			if limited := kind == proto.ErrorKind_ERROR_KIND_RATE_LIMITED; limited != (after > 59*time.Minute && after <= time.Hour) {
				t.Errorf("again after %s", after)
			}
		})
	}
}

func TestAServerThatIsDownIsATemporaryError(t *testing.T) {
	t.Parallel()
	g := newGitHub(t)
	g.url = "http://127.0.0.1:1"
	_, err := g.run(readIssue, issueOne)
	if known, ok := errors.AsType[*sdk.Error](err); !ok || known.Kind != proto.ErrorKind_ERROR_KIND_TEMPORARY {
		t.Errorf("%v", err)
	}
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	g := newGitHub(t,
		exchange{
			request: "GET repos/ada/engine/issues?per_page=100",
			header:  map[string]string{"Link": `<URL/api/v3/repositories/7/issues?per_page=100&page=2>; rel="next", <URL/api/v3/repositories/7/issues?per_page=100&page=2>; rel="last"`},
			answer:  `[{"title": "a", "html_url": "u/1"}]`,
		},
		exchange{
			request: "GET repos/ada/engine/issues?page=2&per_page=100",
			header:  map[string]string{"Link": `<URL/api/v3/repositories/7/issues?per_page=100&page=1>; rel="first"`},
			answer:  `[{"title": "b", "html_url": "u/2"}]`,
		},
		exchange{request: "GET repos/ada/engine/issues?per_page=100", answer: `[]`},
	)
	got, err := g.run(listIssues, `{"repo_url": "https://github.com/ada/engine"}`)
	want := `issues = [{"title":"a","url":"u/1"},{"title":"b","url":"u/2"}]
issue = {"title":"a","url":"u/1"}
issue = {"title":"b","url":"u/2"}
`
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := g.run(listIssues, `{"repo_url": "https://github.com/ada/engine"}`); err != nil || got != "issues = []\n" {
		t.Errorf("%s, %v", got, err)
	}
}

// A renamed repository is found by GitHub's redirect; nobody else gets the token.
func TestRedirectsKeepTheToken(t *testing.T) {
	t.Parallel()
	g := newGitHub(t,
		exchange{request: "GET repos/ada/engine/issues/1", status: http.StatusMovedPermanently, header: map[string]string{"Location": "URL/api/v3/repositories/7/issues/1"}},
		exchange{request: "GET repositories/7/issues/1", answer: `{"title": "a", "body": null, "user": null}`},
	)
	if got, err := g.run(readIssue, issueOne); err != nil || got != "title = \"a\"\nbody = \"\"\nuser = \"\"\n" {
		t.Errorf("%s, %v", got, err)
	}
	seen := make(chan string, 1)
	elsewhere := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{}`))
	})
	g = newGitHub(t, exchange{request: "GET repos/ada/engine/issues/1", status: http.StatusFound, header: map[string]string{"Location": elsewhere}})
	if _, err := g.run(readIssue, issueOne); err != nil {
		t.Error(err)
	}
	if got := <-seen; got != "" {
		t.Errorf("somebody else got %q", got)
	}
}

func TestAccessTokensDoToo(t *testing.T) {
	t.Parallel()
	g := newGitHub(t, exchange{request: "GET repos/ada/engine/issues/1", answer: `{"title": "a"}`})
	ctx := sdk.WithCredentials(g.context(t.Context()), blocktest.OAuth2("credentials", "github", token, "repo"))
	if _, err := blocktest.RunContext(ctx, t, readIssue, issueOne); err != nil {
		t.Error(err)
	}
}
