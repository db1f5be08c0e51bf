package main

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// What the examples do not show: outputs, a line each, or what the error says.
func TestBlocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		block     sdk.Definition
		input     string
		exchanges []exchange
		want      string
		fails     string
	}{
		"a large file": {
			block: readFile, input: `{"repo_url": "https://github.com/ada/engine", "file_path": "/a b/big#1.txt"}`,
			exchanges: []exchange{
				{request: "GET repos/ada/engine/contents/a%20b/big%231.txt?ref=master", answer: `{"type": "file", "encoding": "none", "size": 3, "sha": "b10b", "content": ""}`},
				{request: "GET repos/ada/engine/git/blobs/b10b", answer: "big"},
			},
			want: "raw_content = \"Ymln\"\ntext_content = \"big\"\nsize = 3\n",
		},
		"a binary file": {
			block: readFile, input: `{"repo_url": "https://github.com/ada/engine", "file_path": "a", "branch": "v/1"}`,
			exchanges: []exchange{{request: "GET repos/ada/engine/contents/a?ref=v%2F1", answer: `{"type": "file", "encoding": "base64", "size": 1, "content": "/w=="}`}},
			want:      "raw_content = \"/w==\"\nsize = 1\n",
		},
		"a folder as a file": {
			block: readFile, input: `{"repo_url": "https://github.com/ada/engine", "file_path": "a"}`,
			exchanges: []exchange{{request: "GET repos/ada/engine/contents/a?ref=master", answer: `[]`}},
			fails:     `pin "file_path": "a" is not a file on the branch master of ada/engine`,
		},
		"a file as a folder": {
			block: readFolder, input: `{"repo_url": "https://github.com/ada/engine", "folder_path": "/"}`,
			exchanges: []exchange{{request: "GET repos/ada/engine/contents/?ref=master", answer: `{"type": "file"}`}},
			fails:     `pin "folder_path"`,
		},
		"a path that leads out": {
			block: createFile, input: `{"repo_url": "https://github.com/ada/engine", "file_path": "../../x", "content": ""}`,
			fails: `pin "file_path"`,
		},
		"a comment by its id": {
			block: updateComment, input: `{"issue_url": "https://github.com/ada/engine/pull/3", "comment_id": "12", "comment": "a"}`,
			exchanges: []exchange{{request: "PATCH repos/ada/engine/issues/comments/12", body: `{"body": "a"}`, answer: `{"id": 12, "html_url": "u"}`}},
			want:      "id = 12\nurl = \"u\"\n",
		},
		"no comment":       {block: updateComment, input: `{"comment": "a"}`, fails: `pin "comment_url"`},
		"a comment's name": {block: updateComment, input: `{"issue_url": "https://github.com/ada/engine/pull/3", "comment_id": "x", "comment": "a"}`, fails: `pin "comment_id"`},
		"all labels":       {block: removeLabel, input: `{"issue_url": "https://github.com/ada/engine/issues/1", "label": ""}`, fails: `pin "label"`},
		"an assignee who is passed over": {
			block: assignIssue, input: `{"issue_url": "https://github.com/ada/engine/issues/1", "assignee": "nobody"}`,
			exchanges: []exchange{{request: "POST repos/ada/engine/issues/1/assignees", body: `{"assignees": ["nobody"]}`, answer: `{"number": 1, "assignees": []}`}},
			fails:     `"nobody" cannot be assigned to ada/engine#1`,
		},
		"a branch that leads out": {block: deleteBranch, input: `{"repo_url": "https://github.com/ada/engine", "branch": "../tags/v1"}`, fails: `pin "branch"`},
		"a commit that leads out": {block: createStatus, input: `{"repo_url": "https://github.com/ada/engine", "sha": "../x", "state": "error"}`, fails: `pin "sha"`},
		"discussions in two pages": {
			block: listDiscussions, input: `{"repo_url": "https://github.com/ada/engine", "num_discussions": 102}`,
			exchanges: []exchange{
				{
					request: "POST /api/graphql", body: graphQLBody(discussionsQuery, `{"owner": "ada", "name": "engine", "first": 100}`),
					answer: `{"data": {"repository": {"discussions": {"nodes": [{"title": "a", "url": "u"}], "pageInfo": {"hasNextPage": true, "endCursor": "Y"}}}}}`,
				},
				{
					request: "POST /api/graphql", body: graphQLBody(discussionsQuery, `{"owner": "ada", "name": "engine", "first": 100, "after": "Y"}`),
					answer: `{"data": {"repository": {"discussions": {"nodes": [], "pageInfo": {"hasNextPage": false, "endCursor": ""}}}}}`,
				},
			},
			want: "discussions = [{\"title\":\"a\",\"url\":\"u\"}]\ndiscussion = {\"title\":\"a\",\"url\":\"u\"}\n",
		},
		"no discussions": {block: listDiscussions, input: `{"repo_url": "https://github.com/ada/engine", "num_discussions": 0}`, fails: `pin "num_discussions"`},
		"a draft": {
			block: createReview, input: `{"repo": "ada/engine", "pr_number": 3, "body": "a", "create_as_draft": true}`,
			exchanges: []exchange{{request: "POST repos/ada/engine/pulls/3/reviews", body: `{"body": "a"}`, answer: `{"id": 1, "state": "PENDING", "html_url": "u"}`}},
			want:      "review_id = 1\nstate = \"PENDING\"\nhtml_url = \"u\"\n",
		},
		"comments of two kinds": {
			block: createReview, input: `{"repo": "ada/engine", "pr_number": 3, "body": "a", "comments": [{"path": "p", "body": "b", "line": 1}, {"path": "p", "body": "b", "position": 1}]}`,
			fails: `pin "comments"`,
		},
		"comments of one review": {
			block: reviewComments, input: `{"repo": "https://github.com/ada/engine", "pr_number": 3, "review_id": 41}`,
			exchanges: []exchange{{request: "GET repos/ada/engine/pulls/3/reviews/41/comments?per_page=100", answer: `[]`}},
			want:      "comments = []\n",
		},
		"a comment in no discussion": {
			block: resolveDiscussion, input: `{"repo": "ada/engine", "pr_number": 3, "comment_id": 51}`,
			exchanges: []exchange{{
				request: "POST /api/graphql", body: graphQLBody(threadsQuery, `{"owner": "ada", "name": "engine", "number": 3}`),
				answer: `{"data": {"repository": {"pullRequest": {"reviewThreads": {"nodes": [], "pageInfo": {"hasNextPage": false}}}}}}`,
			}},
			fails: `pin "comment_id": 51`,
		},
		"no pull request":        {block: listReviews, input: `{"repo": "ada/engine", "pr_number": 0}`, fails: `pin "pr_number"`},
		"a comment without line": {block: commentObject, input: `{"path": "p", "body": "b"}`, fails: `pin "line"`},
		"a comment on lines": {
			block: commentObject, input: `{"path": "p", "body": "b", "line": 3, "side": "LEFT", "start_line": 1, "start_side": "LEFT"}`,
			want: `comment_object = {"path":"p","body":"b","line":3,"side":"LEFT","start_line":1,"start_side":"LEFT"}` + "\n",
		},
		"a check run that goes on": {
			block: updateCheckRun, input: `{"repo_url": "https://github.com/ada/engine", "check_run_id": 21, "status": "in_progress", "conclusion": "success", "output_title": "t"}`,
			exchanges: []exchange{{request: "PATCH repos/ada/engine/check-runs/21", body: `{"status": "in_progress", "output": {"title": "t"}}`, answer: `{"id": 21, "status": "in_progress", "conclusion": null}`}},
			want:      `check_run = {"id":21,"html_url":"","status":"in_progress","conclusion":null}` + "\n",
		},
		"a check run without conclusion": {
			block: createCheckRun, input: `{"repo_url": "https://github.com/ada/engine", "name": "a", "head_sha": "c0ffee", "status": "completed"}`,
			fails: `pin "conclusion"`,
		},
		"a wrong pattern": {block: ciResults, input: `{"repo": "ada/engine", "target": "c0ffee", "search_pattern": "("}`, fails: `pin "search_pattern"`},
		"a commit without checks": {
			block: ciResults, input: `{"repo": "ada/engine", "target": "feature/x"}`,
			exchanges: []exchange{{request: "GET repos/ada/engine/commits/feature/x/check-runs?per_page=100", answer: `{"total_count": 0, "check_runs": []}`}},
			want:      "check_runs = []\noverall_status = \"no_checks\"\noverall_conclusion = \"no_checks\"\ntotal_checks = 0\npassed_checks = 0\nfailed_checks = 0\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newGitHub(t, test.exchanges...).run(test.block, test.input)
			if got != test.want || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

// A second attempt finds that the first one has done its work.
func TestWhatIsGoneIsRemoved(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]bool{1: false, 2: true} {
		g := newGitHub(t,
			exchange{request: "DELETE repos/ada/engine/git/refs/heads/a", status: http.StatusUnprocessableEntity, answer: `{"message": "Reference does not exist"}`},
			exchange{request: "DELETE repos/ada/engine/issues/1/labels/a", status: http.StatusNotFound, answer: `{"message": "Label does not exist"}`},
		)
		ctx := sdk.WithRun(g.context(t.Context()), sdk.Run{Attempt: attempt})
		_, err := blocktest.RunContext(ctx, t, deleteBranch, `{"repo_url": "https://github.com/ada/engine", "branch": "a"}`)
		_, err2 := blocktest.RunContext(ctx, t, removeLabel, `{"issue_url": "https://github.com/ada/engine/issues/1", "label": "a"}`)
		if (err == nil) != want || (err2 == nil) != want {
			t.Errorf("attempt %d: %v, %v", attempt, err, err2)
		}
	}
}

func TestErrorsOfGraphQLHaveKinds(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]proto.ErrorKind{
		`{"data": {"repository": null}, "errors": [{"type": "NOT_FOUND", "message": "Could not resolve to a Repository"}]}`: proto.ErrorKind_ERROR_KIND_PERMANENT,
		`{"errors": [{"type": "INSUFFICIENT_SCOPES", "message": "Your token"}]}`:                                            proto.ErrorKind_ERROR_KIND_AUTHENTICATION,
		`{"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}`:                                      proto.ErrorKind_ERROR_KIND_RATE_LIMITED,
		`{"errors": [{"message": "Field is missing"}]}`:                                                                     proto.ErrorKind_ERROR_KIND_INVALID_INPUT,
		`{}`: proto.ErrorKind_ERROR_KIND_PERMANENT,
	} {
		g := newGitHub(t, exchange{request: "POST /api/graphql", body: graphQLBody(discussionsQuery, `{"owner": "ada", "name": "engine", "first": 5}`), answer: answer})
		_, err := g.run(listDiscussions, `{"repo_url": "https://github.com/ada/engine"}`)
		kind := proto.ErrorKind_ERROR_KIND_PERMANENT
		if known, ok := errors.AsType[*sdk.Error](err); ok {
			kind = known.Kind
		}
		if err == nil || kind != want || !strings.Contains(err.Error(), "the discussions of ada/engine") {
			t.Errorf("%s: %s, %v", answer, kind, err)
		}
	}
}

// At GitHub itself GraphQL lies below the API's address, not beside it.
func TestGraphQLIsBelowTheAPI(t *testing.T) {
	t.Parallel()
	g := newGitHub(t, exchange{
		request: "POST /graphql", body: graphQLBody(discussionsQuery, `{"owner": "ada", "name": "engine", "first": 5}`),
		answer: `{"data": {"repository": {"discussions": {"nodes": []}}}}`,
	})
	ctx := sdk.WithSettings(g.context(t.Context()), map[string]string{baseURL: "https://github.com", apiURL: g.url})
	if _, err := blocktest.RunContext(ctx, t, listDiscussions, `{"repo_url": "https://github.com/ada/engine"}`); err != nil {
		t.Error(err)
	}
}

func TestCIResultsAreSummed(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	done := func(conclusion string) checkRunItem { return checkRunItem{Status: completed, Conclusion: &conclusion} }
	for _, test := range []struct {
		runs []checkRunItem
		want totals
	}{
		{[]checkRunItem{done("success"), done("skipped"), done("neutral")}, totals{completed, "success", 3, 3, 0}},
		{[]checkRunItem{done("success"), done("timed_out"), done("failure")}, totals{completed, "failure", 3, 1, 2}},
		{[]checkRunItem{done("failure"), {Status: "queued"}}, totals{"in_progress", "pending", 2, 0, 1}},
		{[]checkRunItem{{Status: "queued"}}, totals{"queued", "pending", 1, 0, 0}},
	} {
		if got := summarize(test.runs); got != test.want {
			t.Errorf("%+v: %+v", test.runs, got)
		}
	}
	found := matches([]checkRunItem{{
		Name: "a", Text: text("1\n2\n3\nERROR 4\n5\n6\n7"), Annotations: []annotation{{Path: "p", StartLine: 9, Message: "an error"}},
	}}, regexp.MustCompile("(?i)error"))
	if len(found) != 2 || found[0].Number != 4 || strings.Join(found[0].Context, ",") != "2,3,ERROR 4,5,6" || found[1].Line != "p:9: an error" {
		t.Errorf("%+v", found)
	}
	for name, want := range map[string]bool{"golangci-LINT / linux": true, "lint": true, "build": false} {
		if got := globOf(text("*lint*")).MatchString(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if globOf(text("a.?")).MatchString("abc") || !globOf(text("a.?")).MatchString("a.c") || globOf(text("")) != nil {
		t.Error("the filter takes what it must not")
	}
}

func TestAnnotationsAreRead(t *testing.T) {
	t.Parallel()
	g := newGitHub(t,
		exchange{
			request: "GET repos/ada/engine/commits/c0ffee/check-runs?per_page=100",
			answer: `{"total_count": 2, "check_runs": [{"id": 1, "name": "lint", "status": "completed", "conclusion": "success", "output": {"annotations_count": 1}},
				{"id": 2, "name": "build", "status": "completed", "conclusion": "failure", "output": {"annotations_count": 1}}]}`,
		},
		exchange{
			request: "GET repos/ada/engine/check-runs/1/annotations?per_page=100",
			answer:  `[{"path": "a.go", "start_line": 3, "end_line": 4, "annotation_level": "warning", "message": "unused", "title": "t"}]`,
		},
	)
	got, err := g.run(ciResults, `{"repo": "ada/engine", "target": "c0ffee", "check_name_filter": "LINT", "search_pattern": "unused"}`)
	for _, want := range []string{
		`"annotations":[{"path":"a.go","start_line":3,"end_line":4,"annotation_level":"warning","title":"t","message":"unused"}]`,
		`matched_line = {"check_name":"lint","line_number":1,"line":"a.go:3: unused","context":["a.go:3: unused"]}`, "total_checks = 1\npassed_checks = 1",
	} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestChangesAreADiff(t *testing.T) {
	t.Parallel()
	file := func(status, before, after, patch string) *github.CommitFile {
		return &github.CommitFile{Status: &status, PreviousFilename: &before, Filename: &after, Patch: &patch}
	}
	got := diff([]*github.CommitFile{
		file("added", "", "a", "@@ -0,0 +1 @@\n+a"), file("removed", "", "b", "@@ -1 +0,0 @@\n-b"), file("renamed", "c", "d", ""),
	})
	want := `diff --git a/a b/a
new file
--- /dev/null
+++ b/a
@@ -0,0 +1 @@
+a
diff --git a/b b/b
deleted file
--- a/b
+++ /dev/null
@@ -1 +0,0 @@
-b
diff --git a/c b/d
rename from c
rename to d
`
	if got != want {
		t.Errorf("%s", got)
	}
	if at := (&github.Timestamp{Time: time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))}); *when(at) != "2026-01-02T03:04:05Z" {
		t.Errorf("%s", *when(at))
	}
}
