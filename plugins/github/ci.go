package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

type ciInput struct {
	access
	Repo    string          `json:"repo" required:"true" placeholder:"owner/repo" doc:"The repository"`
	Target  json.RawMessage `json:"target" required:"true" type:"string|integer" placeholder:"abc123def or 123" doc:"SHA of a commit, a branch or tag, or number of a pull request"`
	Pattern *string         `json:"search_pattern" advanced:"true" placeholder:".*error.*|.*warning.*" doc:"Regular expression for lines of the reports, whatever their case"`
	Checks  *string         `json:"check_name_filter" advanced:"true" placeholder:"*lint* or build-*" doc:"Names of the checks, with * and ? in them, whatever their case"`
}

// checkRunItem is a check run with its report.
type checkRunItem struct {
	ID          int64        `json:"id"`
	Name        string       `json:"name"`
	Status      string       `json:"status"`
	Conclusion  *string      `json:"conclusion"`
	StartedAt   *string      `json:"started_at"`
	CompletedAt *string      `json:"completed_at"`
	HTMLURL     string       `json:"html_url"`
	DetailsURL  *string      `json:"details_url"`
	Title       *string      `json:"output_title"`
	Summary     *string      `json:"output_summary"`
	Text        *string      `json:"output_text"`
	Annotations []annotation `json:"annotations"`
}

// annotation is what a check run says of a place in a file.
type annotation struct {
	Path      string `json:"path"`
	StartLine int    `json:"start_line"`
	EndLine   int    `json:"end_line"`
	Level     string `json:"annotation_level"`
	Title     string `json:"title"`
	Message   string `json:"message"`
}

// matchedLine is a line of a report that fits the search.
type matchedLine struct {
	Check   string   `json:"check_name"`
	Number  int      `json:"line_number"` // in its text, from 1
	Line    string   `json:"line"`
	Context []string `json:"context"` // the line with those around it
}

// Bounds of what is read of one target.
const (
	maxAnnotated = 20 // check runs whose annotations are asked for
	around       = 2  // lines before and behind a matched one
)

var ciResults = sdk.Block[ciInput]{
	ID:   "8ad9e103-78f2-4fdb-ba12-3571f2c95e98",
	Name: "Github Get CI Results",
	Description: "Reads the check runs of a commit or a pull request: each with its report, all together in numbers, and the lines of the " +
		"reports that fit a search",
	Categories: developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("check_run", sdk.Map("Each check run: id, name, status, conclusion, times, addresses, report and annotations", sdk.Any(""))),
		sdk.Out("check_runs", sdk.List("All check runs", sdk.Map("", sdk.Any("")))),
		sdk.Out("matched_line", sdk.Map("Each line that fits: check_name, line_number, line, and context around it", sdk.Any(""))),
		sdk.Out("matched_lines", sdk.List("All lines that fit", sdk.Map("", sdk.Any("")))),
		sdk.Out("overall_status", sdk.String("completed, in_progress, queued, or no_checks")),
		sdk.Out("overall_conclusion", sdk.String("success, failure, pending while not all is completed, or no_checks")),
		sdk.Out("total_checks", sdk.Integer("How many check runs there are")),
		sdk.Out("passed_checks", sdk.Integer("How many have succeeded, are neutral or were skipped")),
		sdk.Out("failed_checks", sdk.Integer("How many have ended otherwise")),
	},
	Run: func(ctx context.Context, in ciInput, out sdk.Emitter) error {
		r, err := parseRepositoryName(ctx, "repo", in.Repo)
		if err != nil {
			return err
		}
		var search *regexp.Regexp
		if pattern := given(in.Pattern); pattern != nil {
			if search, err = regexp.Compile("(?i)" + *pattern); err != nil {
				return sdk.InvalidInput("pin %q: %w", "search_pattern", err)
			}
		}
		c, err := connect(ctx, in.Credentials)
		if err != nil {
			return err
		}
		commit, err := c.commit(ctx, r, in.Target)
		if err != nil {
			return err
		}
		runs, err := c.checkRuns(ctx, r, commit, globOf(in.Checks))
		if err != nil {
			return err
		}
		if err := emitList(out, "check_runs", "check_run", runs); err != nil {
			return err
		}
		if search != nil {
			if err := emitList(out, "matched_lines", "matched_line", matches(runs, search)); err != nil {
				return err
			}
		}
		return summarize(runs).emit(out)
	},
	Examples: []sdk.Example{{
		Input: `{"repo": "ada/engine", "target": 3, "search_pattern": "SQUEAK"}`,
		Output: `{"check_runs": [[{"id": 21, "name": "oil", "status": "completed", "conclusion": "failure", "started_at": "2026-01-02T03:04:05Z",
			"completed_at": null, "html_url": "https://github.com/ada/engine/runs/21", "details_url": null, "output_title": "Oil",
			"output_summary": "It squeaks", "output_text": null, "annotations": []}]],
			"check_run": [{"id": 21, "name": "oil", "status": "completed", "conclusion": "failure", "started_at": "2026-01-02T03:04:05Z",
			"completed_at": null, "html_url": "https://github.com/ada/engine/runs/21", "details_url": null, "output_title": "Oil",
			"output_summary": "It squeaks", "output_text": null, "annotations": []}],
			"matched_lines": [[{"check_name": "oil", "line_number": 1, "line": "It squeaks", "context": ["It squeaks"]}]],
			"matched_line": [{"check_name": "oil", "line_number": 1, "line": "It squeaks", "context": ["It squeaks"]}],
			"overall_status": ["completed"], "overall_conclusion": ["failure"], "total_checks": [1], "passed_checks": [0], "failed_checks": [1]}`,
	}},
}

// commit is what the target names: the end of a pull request, if it is a number.
func (c *client) commit(ctx context.Context, r repository, target json.RawMessage) (string, error) {
	text := string(target)
	_ = json.Unmarshal(target, &text) // fails for numbers
	text = strings.TrimSpace(text)
	if number, err := strconv.ParseInt(text, 10, 32); err == nil && number > 0 {
		pull, _, err := c.PullRequests.Get(ctx, r.owner, r.name, int(number))
		if err != nil {
			return "", c.explain(err, "the pull request %s#%d", r, number)
		}
		text = pull.GetHead().GetSHA()
	}
	return text, checkRef("target", text)
}

// checkRef refuses commits, branches and tags that lead to other parts of the API.
func checkRef(pin, ref string) error {
	if err := checkBranch(pin, ref); err != nil || strings.ContainsAny(ref, "?#%\\") {
		return sdk.InvalidInput("pin %q: %.200q is not a commit", pin, ref)
	}
	return nil
}

// globOf makes the filter by names a regular expression, nil for all.
func globOf(filter *string) *regexp.Regexp {
	if given(filter) == nil {
		return nil
	}
	pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(*filter))
	return regexp.MustCompile("(?is)^" + pattern + "$")
}

func (c *client) checkRuns(ctx context.Context, r repository, commit string, filter *regexp.Regexp) ([]checkRunItem, error) {
	found, err := pages(ctx, func(options github.ListOptions) ([]*github.CheckRun, *github.Response, error) {
		page, response, err := c.Checks.ListCheckRunsForRef(ctx, r.owner, r.name, commit, &github.ListCheckRunsOptions{ListOptions: options})
		if err != nil {
			return nil, response, err
		}
		return page.CheckRuns, response, nil
	})
	if err != nil {
		return nil, c.explain(err, "the check runs of the commit %s of %s", commit, r)
	}
	runs, annotated := []checkRunItem{}, 0
	for _, run := range found {
		if filter != nil && !filter.MatchString(run.GetName()) {
			continue
		}
		item := checkRunItem{
			ID: run.GetID(), Name: run.GetName(), Status: run.GetStatus(), Conclusion: run.Conclusion,
			StartedAt: when(run.StartedAt), CompletedAt: when(run.CompletedAt), HTMLURL: run.GetHTMLURL(), DetailsURL: run.DetailsURL,
			Annotations: []annotation{},
		}
		if o := run.Output; o != nil {
			item.Title, item.Summary, item.Text = o.Title, o.Summary, o.Text
		}
		if run.GetOutput().GetAnnotationsCount() > 0 && annotated < maxAnnotated {
			annotated++
			notes, _, err := c.Checks.ListCheckRunAnnotations(ctx, r.owner, r.name, item.ID, &github.ListOptions{PerPage: pageSize})
			if err != nil {
				return nil, c.explain(err, "the annotations of the check run %d of %s", item.ID, r)
			}
			item.Annotations = convert(notes, func(a *github.CheckRunAnnotation) annotation {
				return annotation{a.GetPath(), a.GetStartLine(), a.GetEndLine(), a.GetAnnotationLevel(), a.GetTitle(), a.GetMessage()}
			})
		}
		runs = append(runs, item)
	}
	return runs, nil
}

// matches finds the lines of all reports that fit.
func matches(runs []checkRunItem, search *regexp.Regexp) []matchedLine {
	found := []matchedLine{}
	for _, run := range runs {
		texts := []*string{run.Title, run.Summary, run.Text}
		for _, a := range run.Annotations {
			place := fmt.Sprintf("%s:%d: %s", a.Path, a.StartLine, a.Message)
			texts = append(texts, &place)
		}
		for _, text := range texts {
			if given(text) == nil {
				continue
			}
			lines := strings.Split(*text, "\n")
			for i, line := range lines {
				if search.MatchString(line) {
					found = append(found, matchedLine{run.Name, i + 1, line, lines[max(0, i-around):min(len(lines), i+around+1)]})
				}
			}
		}
	}
	return found
}

// totals are all check runs in numbers.
type totals struct {
	status, conclusion    string
	total, passed, failed int
}

func summarize(runs []checkRunItem) totals {
	t := totals{status: completed, conclusion: "success", total: len(runs)}
	if len(runs) == 0 {
		t.status, t.conclusion = "no_checks", "no_checks"
	}
	started := false
	for _, run := range runs {
		started = started || run.Status == completed || run.Status == "in_progress"
		if run.Status != completed {
			t.status = "queued"
			continue
		}
		conclusion := ""
		if run.Conclusion != nil {
			conclusion = *run.Conclusion
		}
		switch conclusion {
		case "success", "neutral", "skipped":
			t.passed++
		default:
			t.failed++
		}
	}
	switch {
	case t.status == "queued":
		t.conclusion = "pending"
		if started {
			t.status = "in_progress"
		}
	case t.failed > 0:
		t.conclusion = "failure"
	}
	return t
}

func (t totals) emit(out sdk.Emitter) error {
	return emit(out, pair{"overall_status", t.status}, pair{"overall_conclusion", t.conclusion},
		pair{"total_checks", t.total}, pair{"passed_checks", t.passed}, pair{"failed_checks", t.failed})
}
