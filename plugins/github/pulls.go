package main

import (
	"context"
	"strings"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// onPull is the input of blocks for one pull request.
type onPull struct {
	access
	PRURL string `json:"pr_url" required:"true" placeholder:"https://github.com/owner/repo/pull/1" doc:"Address of the pull request"`
}

func (in onPull) open(ctx context.Context) (*client, numbered, error) {
	pull, err := parsePull(ctx, "pr_url", in.PRURL)
	if err != nil {
		return nil, pull, err
	}
	c, err := connect(ctx, in.Credentials)
	return c, pull, err
}

var listPulls = sdk.Block[inRepository]{
	ID:          "ffef3c4c-6cd0-48dd-817d-459f975219f4",
	Name:        "Github List Pull Requests",
	Description: "Lists the open pull requests of a repository, newest first",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("pull_request", sdk.Map("Each pull request: title and url", sdk.String(""))),
		sdk.Out("pull_requests", sdk.List("All pull requests", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in inRepository, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		pulls, err := pages(ctx, func(options github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
			return c.PullRequests.List(ctx, r.owner, r.name, &github.PullRequestListOptions{ListOptions: options})
		})
		if err != nil {
			return c.explain(err, "the pull requests of %s", r)
		}
		return emitList(out, "pull_requests", "pull_request", convert(pulls, func(p *github.PullRequest) titled {
			return titled{p.GetTitle(), p.GetHTMLURL()}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine"}`,
		Output: `{"pull_requests": [[{"title": "Oil it", "url": "https://github.com/ada/engine/pull/3"}]],
			"pull_request": [{"title": "Oil it", "url": "https://github.com/ada/engine/pull/3"}]}`,
	}},
}

type readPullInput struct {
	onPull
	Changes bool `json:"include_pr_changes" default:"false" advanced:"false" doc:"Read what it changes in files, too"`
}

var readPull = sdk.Block[readPullInput]{
	ID:          "bf94b2a4-1a30-4600-a783-a8a44ee31301",
	Name:        "Github Read Pull Request",
	Description: "Reads a pull request: its title, its text, who wrote it and, if wanted, its changes",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("title", sdk.String("Title of the pull request")),
		sdk.Out("body", sdk.String("Text of the pull request, in Markdown")),
		sdk.Out("author", sdk.String("Name of the account that opened it")),
		sdk.Out("changes", sdk.String("The changes, as a unified diff")),
	},
	Run: func(ctx context.Context, in readPullInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		found, _, err := c.PullRequests.Get(ctx, pull.owner, pull.name, pull.number)
		if err != nil {
			return c.explain(err, "the pull request %s", pull)
		}
		var files []*github.CommitFile
		if in.Changes {
			files, err = pages(ctx, func(options github.ListOptions) ([]*github.CommitFile, *github.Response, error) {
				return c.PullRequests.ListFiles(ctx, pull.owner, pull.name, pull.number, &options)
			})
			if err != nil {
				return c.explain(err, "the changes of the pull request %s", pull)
			}
		}
		err = emit(out, pair{"title", found.GetTitle()}, pair{"body", found.GetBody()}, pair{"author", found.GetUser().GetLogin()})
		if err != nil || !in.Changes {
			return err
		}
		return out.Emit("changes", diff(files))
	},
	Examples: []sdk.Example{{
		Input: `{"pr_url": "https://github.com/ada/engine/pull/3", "include_pr_changes": true}`,
		Output: `{"title": ["Oil it"], "body": ["It squeaked."], "author": ["charles"],
			"changes": ["diff --git a/oil.txt b/oil.txt\n--- a/oil.txt\n+++ b/oil.txt\n@@ -1 +1 @@\n-no\n+yes\n"]}`,
	}},
}

// diff writes changes as git does. GitHub gives none of files that are binary or very large.
func diff(files []*github.CommitFile) string {
	var text strings.Builder
	for _, f := range files {
		before, after := f.GetPreviousFilename(), f.GetFilename()
		if before == "" {
			before = after
		}
		text.WriteString("diff --git a/" + before + " b/" + after + "\n")
		from, to := "a/"+before, "b/"+after
		switch f.GetStatus() {
		case "added":
			from = "/dev/null"
			text.WriteString("new file\n")
		case "removed":
			to = "/dev/null"
			text.WriteString("deleted file\n")
		case "renamed":
			text.WriteString("rename from " + before + "\nrename to " + after + "\n")
		case "copied":
			text.WriteString("copy from " + before + "\ncopy to " + after + "\n")
		}
		if f.GetPatch() != "" {
			text.WriteString("--- " + from + "\n+++ " + to + "\n" + strings.TrimSuffix(f.GetPatch(), "\n") + "\n")
		}
	}
	return text.String()
}

type makePullInput struct {
	inRepository
	Title string `json:"title" required:"true" placeholder:"Enter the pull request title" doc:"Title of the pull request"`
	Body  string `json:"body" required:"true" placeholder:"Enter the pull request body" doc:"Text of the pull request, in Markdown"`
	Head  string `json:"head" required:"true" placeholder:"Enter the head branch" doc:"Branch that has the changes; of a fork: owner:branch"`
	Base  string `json:"base" required:"true" placeholder:"Enter the base branch" doc:"Branch that is to get the changes"`
}

var makePull = sdk.Block[makePullInput]{
	ID:          "dfb987f8-f197-4b2e-bf19-111812afd692",
	Name:        "Github Make Pull Request",
	Description: "Opens a pull request in a repository",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("number", sdk.Integer("Number of the pull request")), sdk.Out("url", sdk.String("Address of the pull request")),
	},
	Run: func(ctx context.Context, in makePullInput, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		made, _, err := c.PullRequests.Create(ctx, r.owner, r.name, &github.NewPullRequest{
			Title: &in.Title, Body: &in.Body, Head: &in.Head, Base: &in.Base,
		})
		if err != nil {
			return c.explain(err, "a pull request from %s to %s of %s", in.Head, in.Base, r)
		}
		return emit(out, pair{"number", made.GetNumber()}, pair{"url", made.GetHTMLURL()})
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "title": "Oil it", "body": "It squeaked.", "head": "oil", "base": "main"}`,
		Output: `{"number": [4], "url": ["https://github.com/ada/engine/pull/4"]}`,
	}},
}
