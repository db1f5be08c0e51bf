package main

import (
	"context"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// inRepository is the input of blocks that need a repository and no more.
type inRepository struct {
	access
	RepoURL string `json:"repo_url" required:"true" placeholder:"https://github.com/owner/repo" doc:"Address of the repository"`
}

// open connects, and reads the address.
func (in inRepository) open(ctx context.Context) (*client, repository, error) {
	r, err := parseRepository(ctx, "repo_url", in.RepoURL)
	if err != nil {
		return nil, r, err
	}
	c, err := connect(ctx, in.Credentials)
	return c, r, err
}

// onIssue is the input of blocks for one issue.
type onIssue struct {
	access
	IssueURL string `json:"issue_url" required:"true" placeholder:"https://github.com/owner/repo/issues/1" doc:"Address of the issue or pull request"`
}

func (in onIssue) open(ctx context.Context) (*client, numbered, error) {
	issue, err := parseIssue(ctx, "issue_url", in.IssueURL)
	if err != nil {
		return nil, issue, err
	}
	c, err := connect(ctx, in.Credentials)
	return c, issue, err
}

// titled is an item of lists.
type titled struct {
	Title string `json:"title"`
	URL   string `json:"url"`
}

var listIssues = sdk.Block[inRepository]{
	ID:          "c215bfd7-0e57-4573-8f8c-f7d4963dcd74",
	Name:        "Github List Issues",
	Description: "Lists the open issues of a repository, newest first. Pull requests are among them, since GitHub counts them as issues",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("issue", sdk.Map("Each issue: title and url", sdk.String(""))),
		sdk.Out("issues", sdk.List("All issues", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in inRepository, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		issues, err := pages(ctx, func(options github.ListOptions) ([]*github.Issue, *github.Response, error) {
			return c.Issues.ListByRepo(ctx, r.owner, r.name, &github.IssueListByRepoOptions{ListOptions: options})
		})
		if err != nil {
			return c.explain(err, "the issues of %s", r)
		}
		return emitList(out, "issues", "issue", convert(issues, func(i *github.Issue) titled {
			return titled{i.GetTitle(), i.GetHTMLURL()}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine"}`,
		Output: `{"issues": [[{"title": "It squeaks", "url": "https://github.com/ada/engine/issues/1"}]],
			"issue": [{"title": "It squeaks", "url": "https://github.com/ada/engine/issues/1"}]}`,
	}},
}

var readIssue = sdk.Block[onIssue]{
	ID:          "6443c75d-032a-4772-9c08-230c707c8acc",
	Name:        "Github Read Issue",
	Description: "Reads an issue: its title, its text and who wrote it",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("title", sdk.String("Title of the issue")),
		sdk.Out("body", sdk.String("Text of the issue, in Markdown")),
		sdk.Out("user", sdk.String("Name of the account that opened it")),
	},
	Run: func(ctx context.Context, in onIssue, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		found, _, err := c.Issues.Get(ctx, issue.owner, issue.name, issue.number)
		if err != nil {
			return c.explain(err, "the issue %s", issue)
		}
		return emit(out, pair{"title", found.GetTitle()}, pair{"body", found.GetBody()}, pair{"user", found.GetUser().GetLogin()})
	},
	Examples: []sdk.Example{{
		Input:  `{"issue_url": "https://github.com/ada/engine/issues/1"}`,
		Output: `{"title": ["It squeaks"], "body": ["Oil is needed."], "user": ["charles"]}`,
	}},
}

type makeIssueInput struct {
	inRepository
	Title string `json:"title" required:"true" placeholder:"Enter the issue title" doc:"Title of the issue"`
	Body  string `json:"body" required:"true" placeholder:"Enter the issue body" doc:"Text of the issue, in Markdown"`
}

var makeIssue = sdk.Block[makeIssueInput]{
	ID:          "691dad47-f494-44c3-a1e8-05b7990f2dab",
	Name:        "Github Make Issue",
	Description: "Opens an issue in a repository",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs:     sdk.Outputs{sdk.Out("number", sdk.Integer("Number of the issue")), sdk.Out("url", sdk.String("Address of the issue"))},
	Run: func(ctx context.Context, in makeIssueInput, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		made, _, err := c.Issues.Create(ctx, r.owner, r.name, &github.IssueRequest{Title: &in.Title, Body: &in.Body})
		if err != nil {
			return c.explain(err, "a new issue of %s", r)
		}
		return emit(out, pair{"number", made.GetNumber()}, pair{"url", made.GetHTMLURL()})
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "title": "It squeaks", "body": "Oil is needed."}`,
		Output: `{"number": [2], "url": ["https://github.com/ada/engine/issues/2"]}`,
	}},
}
