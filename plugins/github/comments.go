package main

import (
	"context"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

type commentInput struct {
	onIssue
	Comment string `json:"comment" required:"true" placeholder:"Enter your comment" doc:"Text of the comment, in Markdown"`
}

var commented = sdk.Outputs{sdk.Out("id", sdk.Integer("Id of the comment")), sdk.Out("url", sdk.String("Address of the comment"))}

var comment = sdk.Block[commentInput]{
	ID:          "a8db4d8d-db1c-4a25-a1b0-416a8c33602b",
	Name:        "Github Comment",
	Description: "Comments on an issue or a pull request",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs:     commented,
	Run: func(ctx context.Context, in commentInput, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		made, _, err := c.Issues.CreateComment(ctx, issue.owner, issue.name, issue.number, &github.IssueComment{Body: &in.Comment})
		if err != nil {
			return c.explain(err, "a comment on %s", issue)
		}
		return emit(out, pair{"id", made.GetID()}, pair{"url", made.GetHTMLURL()})
	},
	Examples: []sdk.Example{{
		Input:  `{"issue_url": "https://github.com/ada/engine/issues/1", "comment": "Done."}`,
		Output: `{"id": [11], "url": ["https://github.com/ada/engine/issues/1#issuecomment-11"]}`,
	}},
}

// commentItem is an item of the list of comments.
type commentItem struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
	User string `json:"user"`
	URL  string `json:"url"`
}

var listComments = sdk.Block[onIssue]{
	ID:          "c4b5fb63-0005-4a11-b35a-0c2467bd6b59",
	Name:        "Github List Comments",
	Description: "Lists the comments on an issue or a pull request, oldest first",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("comment", sdk.Map("Each comment: id, body, user and url", sdk.Any(""))),
		sdk.Out("comments", sdk.List("All comments", sdk.Map("", sdk.Any("")))),
	},
	Run: func(ctx context.Context, in onIssue, out sdk.Emitter) error {
		c, issue, err := in.open(ctx)
		if err != nil {
			return err
		}
		comments, err := pages(ctx, func(options github.ListOptions) ([]*github.IssueComment, *github.Response, error) {
			return c.Issues.ListComments(ctx, issue.owner, issue.name, issue.number, &github.IssueListCommentsOptions{ListOptions: options})
		})
		if err != nil {
			return c.explain(err, "the comments on %s", issue)
		}
		return emitList(out, "comments", "comment", convert(comments, func(c *github.IssueComment) commentItem {
			return commentItem{c.GetID(), c.GetBody(), c.GetUser().GetLogin(), c.GetHTMLURL()}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"issue_url": "https://github.com/ada/engine/issues/1"}`,
		Output: `{"comments": [[{"id": 11, "body": "Done.", "user": "ada", "url": "https://github.com/ada/engine/issues/1#issuecomment-11"}]],
			"comment": [{"id": 11, "body": "Done.", "user": "ada", "url": "https://github.com/ada/engine/issues/1#issuecomment-11"}]}`,
	}},
}

type updateCommentInput struct {
	access
	CommentURL string `json:"comment_url" default:"" advanced:"false" placeholder:"https://github.com/owner/repo/issues/1#issuecomment-123456789" doc:"Address of the comment"`
	IssueURL   string `json:"issue_url" default:"" placeholder:"https://github.com/owner/repo/issues/1" doc:"Address of the issue or pull request, where comment_url is empty"`
	CommentID  string `json:"comment_id" default:"" placeholder:"123456789" doc:"Id of the comment, where comment_url is empty"`
	Comment    string `json:"comment" required:"true" placeholder:"Enter your comment" doc:"New text of the comment, in Markdown"`
}

var updateComment = sdk.Block[updateCommentInput]{
	ID:          "b3f4d747-10e3-4e69-8c51-f2be1d99c9a7",
	Name:        "Github Update Comment",
	Description: "Changes the text of a comment on an issue or a pull request",
	Categories:  developerTools,
	Outputs:     commented,
	Run: func(ctx context.Context, in updateCommentInput, out sdk.Emitter) error {
		issue, id, err := in.comment(ctx)
		if err != nil {
			return err
		}
		c, err := connect(ctx, in.Credentials)
		if err != nil {
			return err
		}
		made, _, err := c.Issues.EditComment(ctx, issue.owner, issue.name, id, &github.IssueComment{Body: &in.Comment})
		if err != nil {
			return c.explain(err, "the comment %d on %s", id, issue)
		}
		return emit(out, pair{"id", made.GetID()}, pair{"url", made.GetHTMLURL()})
	},
	Examples: []sdk.Example{{
		Input:  `{"comment_url": "https://github.com/ada/engine/issues/1#issuecomment-11", "comment": "Done again."}`,
		Output: `{"id": [11], "url": ["https://github.com/ada/engine/issues/1#issuecomment-11"]}`,
	}},
}

// comment finds out which comment is meant.
func (in updateCommentInput) comment(ctx context.Context) (numbered, int64, error) {
	if in.CommentURL != "" {
		return parseComment(ctx, "comment_url", in.CommentURL)
	}
	if in.IssueURL == "" {
		return numbered{}, 0, sdk.InvalidInput("pin %q: it is empty, and so is %q", "comment_url", "issue_url")
	}
	issue, err := parseIssue(ctx, "issue_url", in.IssueURL)
	if err != nil {
		return issue, 0, err
	}
	id, ok := positive(in.CommentID)
	if !ok {
		return issue, 0, sdk.InvalidInput("pin %q: %.100q is not the id of a comment, which is a number", "comment_id", in.CommentID)
	}
	return issue, id, nil
}
