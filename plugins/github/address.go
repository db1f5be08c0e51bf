package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

// repository is one that an input names.
type repository struct {
	owner, name string
	web         string // the address of its page, without a slash at the end
}

func (r repository) String() string { return r.owner + "/" + r.name }

// numbered is an issue or a pull request, which share their numbers.
type numbered struct {
	repository
	number int
}

func (n numbered) String() string { return fmt.Sprintf("%s#%d", n.repository, n.number) }

// What owners and repositories may be called. Everything else would change the path of a request.
var (
	ownerForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

func newRepository(web, owner, name string) (repository, bool) {
	name = strings.TrimSuffix(name, ".git")
	ok := ownerForm.MatchString(owner) && nameForm.MatchString(name) && name != "." && name != ".."
	return repository{owner: owner, name: name, web: web + "/" + owner + "/" + name}, ok
}

// parseRepository reads the address of a repository: https://github.com/owner/repo.
func parseRepository(ctx context.Context, pin, text string) (repository, error) {
	if web, path, _, ok := split(ctx, text); ok && len(path) == 2 {
		if r, ok := newRepository(web, path[0], path[1]); ok {
			return r, nil
		}
	}
	return repository{}, wrong(ctx, pin, text, "repository", "/owner/repo")
}

// parseRepositoryName reads owner/repo, or the address of a repository.
func parseRepositoryName(ctx context.Context, pin, text string) (repository, error) {
	if owner, name, ok := strings.Cut(strings.TrimSpace(text), "/"); ok {
		if r, ok := newRepository(webOf(ctx), owner, name); ok {
			return r, nil
		}
	}
	return parseRepository(ctx, pin, text)
}

// parseIssue reads the address of an issue, or of a pull request, which is one too.
func parseIssue(ctx context.Context, pin, text string) (numbered, error) {
	n, _, ok := parseNumbered(ctx, text, "issues", "pull")
	if !ok {
		return n, wrong(ctx, pin, text, "issue", "/owner/repo/issues/1")
	}
	return n, nil
}

// parsePull reads the address of a pull request.
func parsePull(ctx context.Context, pin, text string) (numbered, error) {
	n, _, ok := parseNumbered(ctx, text, "pull")
	if !ok {
		return n, wrong(ctx, pin, text, "pull request", "/owner/repo/pull/1")
	}
	return n, nil
}

// parseComment reads the address of a comment on an issue or a pull request.
func parseComment(ctx context.Context, pin, text string) (numbered, int64, error) {
	if n, fragment, ok := parseNumbered(ctx, text, "issues", "pull"); ok {
		if digits, ok := strings.CutPrefix(fragment, "issuecomment-"); ok {
			if id, ok := positive(digits); ok {
				return n, id, nil
			}
		}
	}
	return numbered{}, 0, wrong(ctx, pin, text, "comment", "/owner/repo/issues/1#issuecomment-1")
}

func parseNumbered(ctx context.Context, text string, kinds ...string) (n numbered, fragment string, ok bool) {
	web, path, fragment, ok := split(ctx, text)
	if !ok || len(path) != 4 {
		return n, "", false
	}
	number, ok := positive(path[3])
	if !ok || number > 1<<31-1 {
		return n, "", false
	}
	for _, kind := range kinds {
		if path[2] == kind {
			r, ok := newRepository(web, path[0], path[1])
			return numbered{r, int(number)}, fragment, ok
		}
	}
	return n, "", false
}

// split takes an address at GitHub apart: where GitHub is, the path and what stands behind "#". Queries say nothing.
func split(ctx context.Context, text string) (web string, path []string, fragment string, ok bool) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", nil, "", false
	}
	base, err := url.Parse(webOf(ctx))
	ours := err == nil && strings.EqualFold(u.Host, base.Host)
	if host := strings.ToLower(u.Host); !ours && host != "github.com" && host != "www.github.com" {
		return "", nil, "", false
	}
	escaped := strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	return u.Scheme + "://" + u.Host, strings.Split(escaped, "/"), u.Fragment, true
}

// webOf is where GitHub's pages are, without a slash at the end.
func webOf(ctx context.Context) string { return strings.TrimRight(sdk.Setting(ctx, baseURL), "/") }

// positive reads a number from 1 that is written in digits alone.
func positive(digits string) (int64, bool) {
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n > 0 && digits[0] != '+'
}

// wrong says how an address is written. It does not repeat what may be a token before "@".
func wrong(ctx context.Context, pin, text, what, form string) error {
	if _, behind, ok := strings.Cut(text, "@"); ok {
		text = "***@" + behind
	}
	return sdk.InvalidInput("pin %q: %.200q is not the address of a %s, which is like %s", pin, text, what, webOf(ctx)+form)
}
