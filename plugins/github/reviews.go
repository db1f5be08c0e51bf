package main

import (
	"context"
	"errors"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// reviewed is the input of blocks for the reviews of a pull request.
type reviewed struct {
	access
	Repo   string `json:"repo" required:"true" placeholder:"owner/repo" doc:"The repository"`
	Number int    `json:"pr_number" required:"true" placeholder:"123" doc:"Number of the pull request"`
}

func (in reviewed) open(ctx context.Context) (*client, numbered, error) {
	r, err := parseRepositoryName(ctx, "repo", in.Repo)
	if err != nil {
		return nil, numbered{}, err
	}
	if in.Number < 1 {
		return nil, numbered{}, sdk.InvalidInput("pin %q: %d is not the number of a pull request", "pr_number", in.Number)
	}
	c, err := connect(ctx, in.Credentials)
	return c, numbered{r, in.Number}, err
}

// reviewComment is a comment on a line, before it is sent.
type reviewComment struct {
	Path      string  `json:"path" required:"true" doc:"Path of the file"`
	Position  *int    `json:"position,omitempty" doc:"The line, counted in the diff"`
	Body      string  `json:"body" required:"true" doc:"Text of the comment, in Markdown"`
	Line      *int    `json:"line,omitempty" doc:"The line, counted in the file"`
	Side      *string `json:"side,omitempty" doc:"RIGHT for the new state of the file, LEFT for the old one"`
	StartLine *int    `json:"start_line,omitempty" doc:"The first of several lines"`
	StartSide *string `json:"start_side,omitempty" doc:"Side of the first line"`
}

type createReviewInput struct {
	reviewed
	Body     string           `json:"body" required:"true" placeholder:"Enter your review comment" doc:"Text of the review, in Markdown"`
	Event    string           `json:"event" default:"COMMENT" enum:"COMMENT,APPROVE,REQUEST_CHANGES" doc:"What the review says"`
	Draft    bool             `json:"create_as_draft" default:"false" advanced:"false" doc:"Leave it pending, for Github Submit Pending Review"`
	Comments *[]reviewComment `json:"comments" advanced:"true" doc:"Comments on lines, as Github Create Comment Object makes them"`
}

var createReview = sdk.Block[createReviewInput]{
	ID:          "84754b30-97d2-4c37-a3b8-eb39f268275b",
	Name:        "Github Create PR Review",
	Description: "Reviews a pull request, with comments on lines if wanted",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("review_id", sdk.Integer("Id of the review")),
		sdk.Out("state", sdk.String("PENDING, COMMENTED, APPROVED or CHANGES_REQUESTED")),
		sdk.Out("html_url", sdk.String("Address of the review")),
	},
	Run: func(ctx context.Context, in createReviewInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		request := &github.PullRequestReviewRequest{Body: &in.Body}
		if !in.Draft {
			request.Event = &in.Event
		}
		if in.Comments != nil {
			for _, comment := range *in.Comments {
				request.Comments = append(request.Comments, &github.DraftReviewComment{
					Path: &comment.Path, Position: comment.Position, Body: &comment.Body,
					StartSide: comment.StartSide, Side: comment.Side, StartLine: comment.StartLine, Line: comment.Line,
				})
			}
		}
		made, _, err := c.PullRequests.CreateReview(ctx, pull.owner, pull.name, pull.number, request)
		if errors.Is(err, github.ErrMixedCommentStyles) {
			return sdk.InvalidInput("pin %q: some have a position and others a line; GitHub takes one or the other", "comments")
		}
		if err != nil {
			return c.explain(err, "a review of %s", pull)
		}
		return emit(out, pair{"review_id", made.GetID()}, pair{"state", made.GetState()}, pair{"html_url", made.GetHTMLURL()})
	},
	Examples: []sdk.Example{{
		Input: `{"repo": "ada/engine", "pr_number": 3, "body": "Not yet.", "event": "REQUEST_CHANGES",
			"comments": [{"path": "oil.txt", "body": "More oil", "line": 1, "side": "RIGHT"}]}`,
		Output: `{"review_id": [41], "state": ["CHANGES_REQUESTED"], "html_url": ["https://github.com/ada/engine/pull/3#pullrequestreview-41"]}`,
	}},
}

type submitReviewInput struct {
	reviewed
	ID    int64  `json:"review_id" required:"true" placeholder:"123456" doc:"Id of the review"`
	Event string `json:"event" default:"COMMENT" enum:"COMMENT,APPROVE,REQUEST_CHANGES" doc:"What the review says"`
}

var submitReview = sdk.Block[submitReviewInput]{
	ID:          "2e468217-7ca0-4201-9553-36e93eb9357a",
	Name:        "Github Submit Pending Review",
	Description: "Shows others a review of a pull request that is pending so far",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("state", sdk.String("COMMENTED, APPROVED or CHANGES_REQUESTED")), sdk.Out("html_url", sdk.String("Address of the review")),
	},
	Run: func(ctx context.Context, in submitReviewInput, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		event := &github.PullRequestReviewRequest{Event: &in.Event}
		made, _, err := c.PullRequests.SubmitReview(ctx, pull.owner, pull.name, pull.number, in.ID, event)
		if err != nil {
			return c.explain(err, "the review %d of %s", in.ID, pull)
		}
		return emit(out, pair{"state", made.GetState()}, pair{"html_url", made.GetHTMLURL()})
	},
	Examples: []sdk.Example{{
		Input:  `{"repo": "ada/engine", "pr_number": 3, "review_id": 41, "event": "APPROVE"}`,
		Output: `{"state": ["APPROVED"], "html_url": ["https://github.com/ada/engine/pull/3#pullrequestreview-41"]}`,
	}},
}

// reviewItem is an item of the list of reviews.
type reviewItem struct {
	ID      int64  `json:"id"`
	User    string `json:"user"`
	State   string `json:"state"`
	Body    string `json:"body"`
	HTMLURL string `json:"html_url"`
}

var listReviews = sdk.Block[reviewed]{
	ID:          "f79bc6eb-33c0-4099-9c0f-d664ae1ba4d0",
	Name:        "Github List PR Reviews",
	Description: "Lists the reviews of a pull request, oldest first",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("review", sdk.Map("Each review: id, user, state, body and html_url", sdk.Any(""))),
		sdk.Out("reviews", sdk.List("All reviews", sdk.Map("", sdk.Any("")))),
	},
	Run: func(ctx context.Context, in reviewed, out sdk.Emitter) error {
		c, pull, err := in.open(ctx)
		if err != nil {
			return err
		}
		reviews, err := pages(ctx, func(options github.ListOptions) ([]*github.PullRequestReview, *github.Response, error) {
			return c.PullRequests.ListReviews(ctx, pull.owner, pull.name, pull.number, &options)
		})
		if err != nil {
			return c.explain(err, "the reviews of %s", pull)
		}
		return emitList(out, "reviews", "review", convert(reviews, func(r *github.PullRequestReview) reviewItem {
			return reviewItem{r.GetID(), r.GetUser().GetLogin(), r.GetState(), r.GetBody(), r.GetHTMLURL()}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo": "ada/engine", "pr_number": 3}`,
		Output: `{"reviews": [[{"id": 41, "user": "ada", "state": "APPROVED", "body": "Good.", "html_url": "https://github.com/ada/engine/pull/3#pullrequestreview-41"}]],
			"review": [{"id": 41, "user": "ada", "state": "APPROVED", "body": "Good.", "html_url": "https://github.com/ada/engine/pull/3#pullrequestreview-41"}]}`,
	}},
}
