package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// done is the output of blocks that change something and have nothing to tell of it.
var done = sdk.Outputs{sdk.Out("status", sdk.String("What was done"))}

type labelInput struct {
	onIssue
	Label string `json:"label" required:"true" placeholder:"Enter the label" doc:"Name of the label"`
}

var addLabel = sdk.Block[labelInput]{
	ID:          "98bd6b77-9506-43d5-b669-6b9733c4b1f1",
	Name:        "Github Add Label",
	Description: "Adds a label to an issue or a pull request",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in labelInput, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		if _, _, err = c.Issues.AddLabelsToIssue(ctx, issue.owner, issue.name, issue.number, []string{in.Label}); err != nil {
			return c.explain(err, "the label %q of %s", in.Label, issue)
		}
		return out.Emit("status", "Label added successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"issue_url": "https://github.com/ada/engine/issues/1", "label": "bug"}`,
		Output: `{"status": ["Label added successfully"]}`,
	}},
}

var removeLabel = sdk.Block[labelInput]{
	ID:          "78f050c5-3e3a-48c0-9e5b-ef1ceca5589c",
	Name:        "Github Remove Label",
	Description: "Removes a label from an issue or a pull request",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in labelInput, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		if in.Label == "" { // that would be all of them
			return sdk.InvalidInput("pin %q: it names no label", "label")
		}
		_, err = c.Issues.RemoveLabelForIssue(ctx, issue.owner, issue.name, issue.number, url.PathEscape(in.Label))
		if err != nil && !goneBefore(ctx, err) {
			return c.explain(err, "the label %q of %s", in.Label, issue)
		}
		return out.Emit("status", "Label removed successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"issue_url": "https://github.com/ada/engine/issues/1", "label": "needs oil"}`,
		Output: `{"status": ["Label removed successfully"]}`,
	}},
}

// goneBefore says whether something cannot be removed because an earlier attempt of the run may have done it.
func goneBefore(ctx context.Context, err error) bool {
	r, ok := refusalOf(err)
	return ok && sdk.RunFrom(ctx).Attempt > 1 && (r.status == 404 || r.status == 422 && strings.Contains(r.message, "does not exist"))
}

type assigneeInput struct {
	onIssue
	Assignee string `json:"assignee" required:"true" placeholder:"Enter the username" doc:"Name of the account"`
}

var assignIssue = sdk.Block[assigneeInput]{
	ID:          "90507c72-b0ff-413a-886a-23bbbd66f542",
	Name:        "Github Assign Issue",
	Description: "Assigns an issue or a pull request to an account",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in assigneeInput, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		changed, _, err := c.Issues.AddAssignees(ctx, issue.owner, issue.name, issue.number, []string{in.Assignee})
		if err != nil {
			return c.explain(err, "the assignees of %s", issue)
		}
		if changed.Number != nil && !assigned(changed, in.Assignee) { // GitHub says nothing of those that it passes over
			return sdk.InvalidInput("pin %q: %.100q cannot be assigned to %s", "assignee", in.Assignee, issue)
		}
		return out.Emit("status", "Issue assigned successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"issue_url": "https://github.com/ada/engine/issues/1", "assignee": "charles"}`,
		Output: `{"status": ["Issue assigned successfully"]}`,
	}},
}

func assigned(issue *github.Issue, name string) bool {
	for _, user := range issue.Assignees {
		if strings.EqualFold(user.GetLogin(), name) {
			return true
		}
	}
	return false
}

var unassignIssue = sdk.Block[assigneeInput]{
	ID:          "d154002a-38f4-46c2-962d-2488f2b05ece",
	Name:        "Github Unassign Issue",
	Description: "Takes an issue or a pull request from an account that it is assigned to",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in assigneeInput, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		if _, _, err = c.Issues.RemoveAssignees(ctx, issue.owner, issue.name, issue.number, []string{in.Assignee}); err != nil {
			return c.explain(err, "the assignees of %s", issue)
		}
		return out.Emit("status", "Issue unassigned successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"issue_url": "https://github.com/ada/engine/issues/1", "assignee": "charles"}`,
		Output: `{"status": ["Issue unassigned successfully"]}`,
	}},
}
