package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// onChecks is the input of blocks that report on commits.
type onChecks struct {
	Credentials sdk.Credential `json:"credentials" providers:"github" types:"oauth2,api_key" scopes:"repo:status" doc:"The GitHub account; GitHub lets only apps make check runs"`
	RepoURL     string         `json:"repo_url" required:"true" placeholder:"https://github.com/owner/repo" doc:"Address of the repository"`
}

func (in onChecks) open(ctx context.Context) (*client, repository, error) {
	return inRepository{access{in.Credentials}, in.RepoURL}.open(ctx)
}

// completed is the status of check runs that have a conclusion.
const completed = "completed"

// checkRunResult is what is told of a check run that was made or changed.
type checkRunResult struct {
	ID         int64   `json:"id"`
	HTMLURL    string  `json:"html_url"`
	Status     string  `json:"status"`
	Conclusion *string `json:"conclusion"`
}

var checkRunOutputs = sdk.Outputs{sdk.Out("check_run", sdk.Map("The check run: id, html_url, status and conclusion", sdk.Any("")))}

func emitCheckRun(out sdk.Emitter, run *github.CheckRun) error {
	return out.Emit("check_run", checkRunResult{run.GetID(), run.GetHTMLURL(), run.GetStatus(), run.Conclusion})
}

// checkOutput is the report of a check run, nil without any text.
func checkOutput(title, summary, text *string) *github.CheckRunOutput {
	o := &github.CheckRunOutput{Title: given(title), Summary: given(summary), Text: given(text)}
	if o.Title == nil && o.Summary == nil && o.Text == nil {
		return nil
	}
	return o
}

// given is a text, nil if it is empty.
func given(text *string) *string {
	if text == nil || *text == "" {
		return nil
	}
	return text
}

type createCheckRunInput struct {
	onChecks
	Name       string  `json:"name" required:"true" doc:"Name of the check, such as lint"`
	HeadSHA    string  `json:"head_sha" required:"true" doc:"SHA of the commit"`
	Status     string  `json:"status" default:"queued" enum:"queued,in_progress,completed,waiting,requested,pending" doc:"How far it is"`
	Conclusion *string `json:"conclusion" enum:"success,failure,neutral,cancelled,timed_out,action_required,skipped" doc:"How it ended; needed if it is completed"`
	DetailsURL string  `json:"details_url" default:"" doc:"Address of a page that tells more"`
	Title      string  `json:"output_title" default:"" doc:"Title of the report"`
	Summary    string  `json:"output_summary" default:"" doc:"Summary of the report, in Markdown"`
	Text       string  `json:"output_text" default:"" doc:"The report itself, in Markdown"`
}

var createCheckRun = sdk.Block[createCheckRunInput]{
	ID:          "2f45e89a-3b7d-4f22-b89e-6c4f5c7e1234",
	Name:        "Github Create Check Run",
	Description: "Makes a check run on a commit: the report of a test or another check. GitHub lets only apps do so",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs:     checkRunOutputs,
	Run: func(ctx context.Context, in createCheckRunInput, out sdk.Emitter) error {
		options := github.CreateCheckRunOptions{
			Name: in.Name, HeadSHA: in.HeadSHA, Status: &in.Status, DetailsURL: given(&in.DetailsURL),
			Output: checkOutput(&in.Title, &in.Summary, &in.Text),
		}
		if in.Status == completed {
			if in.Conclusion == nil {
				return sdk.InvalidInput("pin %q: a check run that is completed needs one", "conclusion")
			}
			options.Conclusion = in.Conclusion
		}
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		run, _, err := c.Checks.CreateCheckRun(ctx, r.owner, r.name, options)
		if err != nil {
			return c.explain(err, "the check run %q of the commit %.40s of %s", in.Name, in.HeadSHA, r)
		}
		return emitCheckRun(out, run)
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "name": "oil", "head_sha": "c0ffee", "status": "completed", "conclusion": "success", "output_title": "Oil", "output_summary": "All good"}`,
		Output: `{"check_run": [{"id": 21, "html_url": "https://github.com/ada/engine/runs/21", "status": "completed", "conclusion": "success"}]}`,
	}},
}

type updateCheckRunInput struct {
	onChecks
	ID         int64   `json:"check_run_id" required:"true" doc:"Id of the check run"`
	Status     string  `json:"status" required:"true" enum:"queued,in_progress,completed,waiting,requested,pending" doc:"How far it is"`
	Conclusion string  `json:"conclusion" required:"true" enum:"success,failure,neutral,cancelled,timed_out,action_required,skipped" doc:"How it ended; counts if it is completed"`
	Title      *string `json:"output_title" doc:"Title of the report"`
	Summary    *string `json:"output_summary" doc:"Summary of the report, in Markdown"`
	Text       *string `json:"output_text" doc:"The report itself, in Markdown"`
}

// checkRunChange is a request to change a check run. The library's own would take the run's name away.
type checkRunChange struct {
	Status     string                 `json:"status"`
	Conclusion string                 `json:"conclusion,omitempty"`
	Output     *github.CheckRunOutput `json:"output,omitempty"`
}

var updateCheckRun = sdk.Block[updateCheckRunInput]{
	ID:          "8a23c567-9d01-4e56-b789-0c12d3e45678",
	Name:        "Github Update Check Run",
	Description: "Changes a check run on a commit. GitHub lets only the app do so that made it",
	Categories:  developerTools,
	Outputs:     checkRunOutputs,
	Run: func(ctx context.Context, in updateCheckRunInput, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		change := checkRunChange{Status: in.Status, Output: checkOutput(in.Title, in.Summary, in.Text)}
		if in.Status == completed { // a conclusion completes the run, whatever the status says
			change.Conclusion = in.Conclusion
		}
		request, err := c.NewRequest(http.MethodPatch, fmt.Sprintf("repos/%s/check-runs/%d", r, in.ID), change)
		if err != nil {
			return c.explain(err, "the check run %d of %s", in.ID, r)
		}
		var run github.CheckRun
		if _, err := c.Do(ctx, request, &run); err != nil {
			return c.explain(err, "the check run %d of %s", in.ID, r)
		}
		return emitCheckRun(out, &run)
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "check_run_id": 21, "status": "completed", "conclusion": "failure"}`,
		Output: `{"check_run": [{"id": 21, "html_url": "https://github.com/ada/engine/runs/21", "status": "completed", "conclusion": "failure"}]}`,
	}},
}

type createStatusInput struct {
	Credentials sdk.APIKey `json:"credentials" providers:"github" scopes:"repo:status" doc:"A personal access token that may write commit statuses"`
	RepoURL     string     `json:"repo_url" required:"true" placeholder:"https://github.com/owner/repo" doc:"Address of the repository"`
	SHA         string     `json:"sha" required:"true" doc:"SHA of the commit"`
	State       string     `json:"state" required:"true" enum:"error,failure,pending,success" doc:"What is reported"`
	TargetURL   *string    `json:"target_url" doc:"Address of a page that tells more"`
	Description *string    `json:"description" doc:"A few words on it"`
	Name        *string    `json:"check_name" default:"AutoGPT Platform Checks" advanced:"false" doc:"Who reports; a later report of the same name replaces this one"`
}

// statusResult is what is told of a status that was made.
type statusResult struct {
	ID          int64   `json:"id"`
	URL         string  `json:"url"`
	State       string  `json:"state"`
	Context     string  `json:"context"`
	Description *string `json:"description"`
	TargetURL   *string `json:"target_url"`
	CreatedAt   *string `json:"created_at"`
	UpdatedAt   *string `json:"updated_at"`
}

// A second status of the same name replaces the first: after a crash it does no harm.
var createStatus = sdk.Block[createStatusInput]{
	ID:          "3d67f123-a4b5-4c89-9d01-2e34f5c67890",
	Name:        "Github Create Status",
	Description: "Reports on a commit: that something succeeded, failed or is going on",
	Categories:  developerTools,
	Outputs: sdk.Outputs{sdk.Out("status", sdk.Map(
		"The status: id, url, state, context, description, target_url, created_at and updated_at", sdk.Any("")))},
	Run: func(ctx context.Context, in createStatusInput, out sdk.Emitter) error {
		if err := checkRef("sha", in.SHA); err != nil {
			return err
		}
		c, r, err := inRepository{access{in.Credentials.Credential}, in.RepoURL}.open(ctx)
		if err != nil {
			return err
		}
		made, _, err := c.Repositories.CreateStatus(ctx, r.owner, r.name, in.SHA, github.RepoStatus{
			State: &in.State, TargetURL: given(in.TargetURL), Description: given(in.Description), Context: given(in.Name),
		})
		if err != nil {
			return c.explain(err, "a status of the commit %s of %s", in.SHA, r)
		}
		return out.Emit("status", statusResult{
			made.GetID(), made.GetURL(), made.GetState(), made.GetContext(), made.Description, made.TargetURL,
			when(made.CreatedAt), when(made.UpdatedAt),
		})
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine", "sha": "c0ffee", "state": "success", "check_name": "oil"}`,
		Output: `{"status": [{"id": 31, "url": "https://api.github.com/repos/ada/engine/statuses/c0ffee", "state": "success", "context": "oil",
			"description": null, "target_url": null, "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z"}]}`,
	}},
}

// when writes a time, nil if there is none.
func when(at *github.Timestamp) *string {
	if at == nil {
		return nil
	}
	text := at.UTC().Format(time.RFC3339)
	return &text
}
