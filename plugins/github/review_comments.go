package main

import (
	"context"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

type commentObjectInput struct {
	Path      string  `json:"path" required:"true" placeholder:"src/main.py" doc:"Path of the file"`
	Body      string  `json:"body" required:"true" placeholder:"Please fix this issue" doc:"Text of the comment, in Markdown"`
	Position  *int    `json:"position" advanced:"true" placeholder:"6" doc:"The line, counted in the diff; line says it better"`
	Line      *int    `json:"line" advanced:"true" placeholder:"42" doc:"The line, counted in the file; where position is empty"`
	Side      *string `json:"side" default:"RIGHT" advanced:"true" doc:"RIGHT for the new state of the file, LEFT for the old one"`
	StartLine *int    `json:"start_line" advanced:"true" doc:"The first of several lines"`
	StartSide *string `json:"start_side" advanced:"true" doc:"Side of the first line"`
}

var commentObject = sdk.Block[commentObjectInput]{
	ID:          "b7d5e4f2-8c3a-4e6b-9f1d-7a8b9c5e4d3f",
	Name:        "Github Create Comment Object",
	Description: "Makes a comment on a line, for Github Create PR Review",
	Categories:  developerTools,
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("comment_object", sdk.Map("The comment", sdk.Any("")))},
	Run: func(_ context.Context, in commentObjectInput, out sdk.Emitter) error {
		made := reviewComment{Path: in.Path, Body: in.Body}
		switch {
		case in.Position != nil:
			made.Position = in.Position
		case in.Line != nil:
			made.Line, made.Side = in.Line, given(in.Side)
			if in.StartLine != nil {
				made.StartLine, made.StartSide = in.StartLine, given(in.StartSide)
			}
		default:
			return sdk.InvalidInput("pin %q: it is empty, and so is %q: the comment belongs to no line", "line", "position")
		}
		return out.Emit("comment_object", made)
	},
	Examples: []sdk.Example{
		{
			Input:  `{"path": "oil.txt", "body": "More oil", "line": 42}`,
			Output: `{"comment_object": [{"path": "oil.txt", "body": "More oil", "line": 42, "side": "RIGHT"}]}`,
		},
		{
			Input:  `{"path": "oil.txt", "body": "More oil", "position": 6}`,
			Output: `{"comment_object": [{"path": "oil.txt", "body": "More oil", "position": 6}]}`,
		},
	},
}

type reviewCommentsInput struct {
	reviewed
	ID *int64 `json:"review_id" advanced:"true" placeholder:"123456" doc:"Id of a review, for its comments alone"`
}

// reviewCommentItem is an item of the list of comments on lines.
type reviewCommentItem struct {
	ID        int64   `json:"id"`
	User      string  `json:"user"`
	Body      string  `json:"body"`
	Path      string  `json:"path"`
	Line      *int    `json:"line"`
	Side      *string `json:"side"`
	CreatedAt *string `json:"created_at"`
	UpdatedAt *string `json:"updated_at"`
	InReplyTo *int64  `json:"in_reply_to_id"`
	HTMLURL   string  `json:"html_url"`
}

var reviewComments = sdk.Block[reviewCommentsInput]{
	ID:          "1d34db7f-10c1-45c1-9d43-749f743c8bd4",
	Name:        "Github Get PR Review Comments",
	Description: "Lists the comments on lines of a pull request, oldest first",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("comment", sdk.Map("Each comment: id, user, body, path, line, side, times, in_reply_to_id and html_url", sdk.Any(""))),
		sdk.Out("comments", sdk.List("All comments", sdk.Map("", sdk.Any("")))),
	},
	Run: func(ctx context.Context, in reviewCommentsInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		comments, err := pages(ctx, func(options github.ListOptions) ([]*github.PullRequestComment, *github.Response, error) {
			if in.ID != nil {
				return c.PullRequests.ListReviewComments(ctx, pull.owner, pull.name, pull.number, *in.ID, &options)
			}
			return c.PullRequests.ListComments(ctx, pull.owner, pull.name, pull.number, &github.PullRequestListCommentsOptions{ListOptions: options})
		})
		if err != nil {
			return c.explain(err, "the review comments of %s", pull)
		}
		return emitList(out, "comments", "comment", convert(comments, func(c *github.PullRequestComment) reviewCommentItem {
			return reviewCommentItem{
				c.GetID(), c.GetUser().GetLogin(), c.GetBody(), c.GetPath(), c.Line, c.Side,
				when(c.CreatedAt), when(c.UpdatedAt), c.InReplyTo, c.GetHTMLURL(),
			}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo": "ada/engine", "pr_number": 3}`,
		Output: `{"comments": [[{"id": 51, "user": "ada", "body": "More oil", "path": "oil.txt", "line": 1, "side": "RIGHT", "created_at": "2026-01-02T03:04:05Z",
			"updated_at": "2026-01-02T03:04:05Z", "in_reply_to_id": null, "html_url": "https://github.com/ada/engine/pull/3#discussion_r51"}]],
			"comment": [{"id": 51, "user": "ada", "body": "More oil", "path": "oil.txt", "line": 1, "side": "RIGHT", "created_at": "2026-01-02T03:04:05Z",
			"updated_at": "2026-01-02T03:04:05Z", "in_reply_to_id": null, "html_url": "https://github.com/ada/engine/pull/3#discussion_r51"}]}`,
	}},
}

type resolveInput struct {
	reviewed
	CommentID int64 `json:"comment_id" required:"true" placeholder:"123456" doc:"Id of a comment of the discussion"`
	Resolve   bool  `json:"resolve" default:"true" doc:"Whether it is to be resolved, or open again"`
}

var resolveDiscussion = sdk.Block[resolveInput]{
	ID:          "b4b8a38c-95ae-4c91-9ef8-c2cffaf2b5d1",
	Name:        "Github Resolve Review Discussion",
	Description: "Resolves a discussion on a line of a pull request, or opens it again",
	Categories:  developerTools,
	Outputs:     sdk.Outputs{sdk.Out("success", sdk.Boolean("Whether it was done"))},
	Run: func(ctx context.Context, in resolveInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		thread, err := c.thread(ctx, pull, in.CommentID)
		if err != nil {
			return c.explain(err, "the discussions of %s", pull)
		}
		if thread == "" {
			return sdk.InvalidInput("pin %q: %d is in no discussion of %s", "comment_id", in.CommentID, pull)
		}
		mutation := "resolveReviewThread"
		if !in.Resolve {
			mutation = "unresolveReviewThread"
		}
		var changed struct{}
		query := "mutation($thread: ID!) { " + mutation + "(input: {threadId: $thread}) { thread { isResolved } } }"
		if err := c.graphQL(ctx, query, map[string]any{"thread": thread}, &changed); err != nil {
			return c.explain(err, "the discussion of the comment %d on %s", in.CommentID, pull)
		}
		return out.Emit("success", true)
	},
	Examples: []sdk.Example{{
		Input:  `{"repo": "ada/engine", "pr_number": 3, "comment_id": 51}`,
		Output: `{"success": [true]}`,
	}},
}

const threadsQuery = `query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: 100, after: $after) {
        nodes { id comments(first: 100) { nodes { databaseId } } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}`

// thread finds the discussion that a comment belongs to, empty if there is none.
func (c *client) thread(ctx context.Context, pull numbered, comment int64) (string, error) {
	variables := map[string]any{"owner": pull.owner, "name": pull.name, "number": pull.number}
	for range maxPages {
		var found struct {
			Repository struct {
				PullRequest struct {
					ReviewThreads struct {
						Nodes []struct {
							ID       string `json:"id"`
							Comments struct {
								Nodes []struct {
									DatabaseID int64 `json:"databaseId"`
								} `json:"nodes"`
							} `json:"comments"`
						} `json:"nodes"`
						PageInfo pageInfo `json:"pageInfo"`
					} `json:"reviewThreads"`
				} `json:"pullRequest"`
			} `json:"repository"`
		}
		if err := c.graphQL(ctx, threadsQuery, variables, &found); err != nil {
			return "", err
		}
		threads := found.Repository.PullRequest.ReviewThreads
		for _, thread := range threads.Nodes {
			for _, node := range thread.Comments.Nodes {
				if node.DatabaseID == comment {
					return thread.ID, nil
				}
			}
		}
		if !threads.PageInfo.more(variables) {
			break
		}
	}
	return "", nil
}
