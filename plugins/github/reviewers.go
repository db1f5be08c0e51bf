package main

import (
	"context"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

type reviewerInput struct {
	onPull
	Reviewer string `json:"reviewer" required:"true" placeholder:"Enter the reviewer's username" doc:"Name of the account"`
}

var assignReviewer = sdk.Block[reviewerInput]{
	ID:          "c0d22c5e-e688-43e3-ba43-d5faba7927fd",
	Name:        "Github Assign PR Reviewer",
	Description: "Asks an account to review a pull request",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in reviewerInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		wanted := github.ReviewersRequest{Reviewers: []string{in.Reviewer}}
		if _, _, err = c.PullRequests.RequestReviewers(ctx, pull.owner, pull.name, pull.number, wanted); err != nil {
			return c.explain(err, "a review of %s by %q", pull, in.Reviewer)
		}
		return out.Emit("status", "Reviewer assigned successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"pr_url": "https://github.com/ada/engine/pull/3", "reviewer": "charles"}`,
		Output: `{"status": ["Reviewer assigned successfully"]}`,
	}},
}

var unassignReviewer = sdk.Block[reviewerInput]{
	ID:          "9637945d-c602-4875-899a-9c22f8fd30de",
	Name:        "Github Unassign PR Reviewer",
	Description: "Asks an account no more to review a pull request",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in reviewerInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		unwanted := github.ReviewersRequest{Reviewers: []string{in.Reviewer}}
		if _, err = c.PullRequests.RemoveReviewers(ctx, pull.owner, pull.name, pull.number, unwanted); err != nil {
			return c.explain(err, "a review of %s by %q", pull, in.Reviewer)
		}
		return out.Emit("status", "Reviewer unassigned successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"pr_url": "https://github.com/ada/engine/pull/3", "reviewer": "charles"}`,
		Output: `{"status": ["Reviewer unassigned successfully"]}`,
	}},
}

// account is an item of lists.
type account struct {
	Username string `json:"username"`
	URL      string `json:"url"`
}

func newAccount(u *github.User) account { return account{u.GetLogin(), u.GetHTMLURL()} }

var listReviewers = sdk.Block[onPull]{
	ID:          "2646956e-96d5-4754-a3df-034017e7ed96",
	Name:        "Github List PR Reviewers",
	Description: "Lists the accounts that are asked to review a pull request and have not done so yet",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("reviewer", sdk.Map("Each account: username and url", sdk.String(""))),
		sdk.Out("reviewers", sdk.List("All accounts", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in onPull, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		found, _, err := c.PullRequests.ListReviewers(ctx, pull.owner, pull.name, pull.number)
		if err != nil {
			return c.explain(err, "the reviewers of %s", pull)
		}
		return emitList(out, "reviewers", "reviewer", convert(found.Users, newAccount))
	},
	Examples: []sdk.Example{{
		Input: `{"pr_url": "https://github.com/ada/engine/pull/3"}`,
		Output: `{"reviewers": [[{"username": "charles", "url": "https://github.com/charles"}]],
			"reviewer": [{"username": "charles", "url": "https://github.com/charles"}]}`,
	}},
}
