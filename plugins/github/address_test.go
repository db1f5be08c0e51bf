package main

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestAddressesAreStrict(t *testing.T) {
	t.Parallel()
	ctx := sdk.WithSettings(t.Context(), map[string]string{baseURL: "https://git.example.com:8443/"})
	for text, want := range map[string]string{
		"https://github.com/ada/engine":                      "ada/engine https://github.com/ada/engine",
		" https://www.github.com/ada/engine.git/ ":           "ada/engine https://www.github.com/ada/engine",
		"http://GIT.example.com:8443/ada/engine?a=b":         "ada/engine http://GIT.example.com:8443/ada/engine",
		"https://github.com/ada_corp/.github":                "ada_corp/.github https://github.com/ada_corp/.github",
		"https://git.example.com/ada/engine":                 "",
		"https://github.com.example.com/ada/engine":          "",
		"https://token@github.com/ada/engine":                "",
		"https://github.com/ada":                             "",
		"https://github.com/ada/engine/issues":               "",
		"https://github.com/ada/..":                          "",
		"https://github.com/ada/en%2Fgine":                   "",
		"https://github.com//engine":                         "",
		"git@github.com:ada/engine.git":                      "",
		"file:///ada/engine":                                 "",
		"ada/engine":                                         "",
		"https://github.com/ada/" + strings.Repeat("a", 101): "",
		"": "",
	} {
		r, err := parseRepository(ctx, "repo_url", text)
		if want == "" {
			refused(t, err, "repo_url")
		} else if err != nil || r.String()+" "+r.web != want {
			t.Errorf("%q: %s %s, %v", text, r, r.web, err)
		}
	}
	for text, want := range map[string]string{
		"https://github.com/ada/engine/issues/1":                 "ada/engine#1",
		"https://github.com/ada/engine/pull/12#issuecomment-345": "ada/engine#12",
		"https://github.com/ada/engine/issues/0":                 "",
		"https://github.com/ada/engine/issues/+1":                "",
		"https://github.com/ada/engine/issues/99999999999":       "",
		"https://github.com/ada/engine/discussions/1":            "",
		"https://github.com/ada/engine/issues/1/edit":            "",
	} {
		issue, err := parseIssue(ctx, "issue_url", text)
		if want == "" {
			refused(t, err, "issue_url")
		} else if err != nil || issue.String() != want {
			t.Errorf("%q: %s, %v", text, issue, err)
		}
	}
	if _, err := parseRepository(ctx, "repo_url", "https://s3cret@github.com/ada/engine"); strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	_, err := parsePull(ctx, "pr_url", "https://github.com/ada/engine/issues/1")
	refused(t, err, "pr_url")
	for text, want := range map[string]int64{
		"https://github.com/ada/engine/issues/1#issuecomment-345": 345,
		"https://github.com/ada/engine/pull/1#issuecomment-345":   345,
		"https://github.com/ada/engine/pull/1#discussion_r345":    0,
		"https://github.com/ada/engine/issues/1":                  0,
	} {
		_, id, err := parseComment(ctx, "comment_url", text)
		if want == 0 {
			refused(t, err, "comment_url")
		} else if err != nil || id != want {
			t.Errorf("%q: %d, %v", text, id, err)
		}
	}
	for text, want := range map[string]string{
		"ada/engine": "https://git.example.com:8443/ada/engine", "https://github.com/ada/engine": "https://github.com/ada/engine", "ada": "", "ada/engine/x": "", "../..": "",
	} {
		r, err := parseRepositoryName(ctx, "repo", text)
		if want == "" {
			refused(t, err, "repo")
		} else if err != nil || r.web != want {
			t.Errorf("%q: %s, %v", text, r.web, err)
		}
	}
	for _, text := range []string{"../x", "a/../../x", "a//b", "."} {
		_, err := parsePath("file_path", text)
		refused(t, err, "file_path")
	}
}

// refused checks that an error names the pin whose value is wrong.
func refused(t *testing.T, err error, pin string) {
	t.Helper()
	if known, ok := errors.AsType[*sdk.Error](err); !ok || known.Kind != proto.ErrorKind_ERROR_KIND_INVALID_INPUT || !strings.Contains(known.Message, `pin "`+pin+`"`) {
		t.Errorf("pin %s: %v", pin, err)
	}
}

// Whatever an address is, it leads to no other part of the API.
func FuzzAddresses(f *testing.F) {
	f.Add("https://github.com/ada/engine/issues/1#issuecomment-345")
	f.Add("https://github.com/ada/engine.git")
	f.Add("https://github.com/%2e%2e/..%2f/pull/1")
	f.Fuzz(func(t *testing.T, text string) {
		ctx := sdk.WithSettings(t.Context(), map[string]string{baseURL: "https://github.com"})
		check := func(r repository, err error) {
			if err != nil {
				return
			}
			path := "/repos/" + r.owner + "/" + r.name
			u, err := url.Parse("https://api.github.com" + path)
			if err != nil || u.Path != path || u.JoinPath(".").Path != path || strings.Count(path, "/") != 3 {
				t.Errorf("%q gives %q", text, path)
			}
		}
		check(parseRepository(ctx, "pin", text))
		check(parseRepositoryName(ctx, "pin", text))
		issue, err := parseIssue(ctx, "pin", text)
		check(issue.repository, err)
	})
}
