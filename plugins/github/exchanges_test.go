package main

import (
	"encoding/json"
	"net/http"
)

// exchanges are what the blocks' examples ask of GitHub.
var exchanges = map[string][]exchange{
	"Github List Issues": {{
		request: "GET repos/ada/engine/issues?per_page=100",
		answer:  `[{"number": 1, "title": "It squeaks", "html_url": "https://github.com/ada/engine/issues/1", "user": {"login": "charles"}}]`,
	}},
	"Github Read Issue": {{
		request: "GET repos/ada/engine/issues/1",
		answer:  `{"number": 1, "title": "It squeaks", "body": "Oil is needed.", "user": {"login": "charles"}}`,
	}},
	"Github Make Issue": {{
		request: "POST repos/ada/engine/issues",
		body:    `{"title": "It squeaks", "body": "Oil is needed."}`,
		status:  http.StatusCreated,
		answer:  `{"number": 2, "html_url": "https://github.com/ada/engine/issues/2"}`,
	}},
	"Github Comment": {{
		request: "POST repos/ada/engine/issues/1/comments",
		body:    `{"body": "Done."}`,
		status:  http.StatusCreated,
		answer:  `{"id": 11, "html_url": "https://github.com/ada/engine/issues/1#issuecomment-11"}`,
	}},
	"Github List Pull Requests": {{
		request: "GET repos/ada/engine/pulls?per_page=100",
		answer:  `[{"number": 3, "title": "Oil it", "html_url": "https://github.com/ada/engine/pull/3"}]`,
	}},
	"Github Read Pull Request": {
		{
			request: "GET repos/ada/engine/pulls/3",
			answer:  `{"number": 3, "title": "Oil it", "body": "It squeaked.", "user": {"login": "charles"}}`,
		},
		{
			request: "GET repos/ada/engine/pulls/3/files?per_page=100",
			answer:  `[{"filename": "oil.txt", "status": "modified", "patch": "@@ -1 +1 @@\n-no\n+yes"}]`,
		},
	},
	"Github Make Pull Request": {{
		request: "POST repos/ada/engine/pulls",
		body:    `{"title": "Oil it", "body": "It squeaked.", "head": "oil", "base": "main"}`,
		status:  http.StatusCreated,
		answer:  `{"number": 4, "html_url": "https://github.com/ada/engine/pull/4"}`,
	}},
	"Github Create Repository": {{
		request: "POST user/repos",
		body:    `{"name": "engine", "description": "", "private": true, "auto_init": true}`,
		status:  http.StatusCreated,
		answer:  `{"html_url": "https://github.com/ada/engine", "clone_url": "https://github.com/ada/engine.git"}`,
	}},
	"Github List Branches": {{
		request: "GET repos/ada/engine/branches?per_page=100",
		answer:  `[{"name": "main", "commit": {"sha": "c0ffee"}, "protected": true}]`,
	}},
	"Github Read File": {{
		request: "GET repos/ada/engine/contents/README.md?ref=main",
		answer:  `{"type": "file", "encoding": "base64", "size": 7, "name": "README.md", "path": "README.md", "content": "SGVsbG\n8hCg==\n"}`,
	}},
	"Github Read Folder": {{
		request: "GET repos/ada/engine/contents/docs?ref=main",
		answer: `[{"type": "file", "name": "a.md", "path": "docs/a.md", "size": 7}, {"type": "dir", "name": "more", "path": "docs/more", "size": 0},
			{"type": "submodule", "name": "other", "path": "docs/other", "size": 0}]`,
	}},
	"Github Create File": {{
		request: "PUT repos/ada/engine/contents/docs/new.md",
		body:    `{"message": "Create new file", "content": "SGVsbG8hCg==", "branch": "main"}`,
		status:  http.StatusCreated,
		answer:  `{"content": {"html_url": "https://github.com/ada/engine/blob/main/docs/new.md", "sha": "b10b"}, "commit": {"sha": "c0ffee"}}`,
	}},
	"Github Update File": {
		{
			request: "GET repos/ada/engine/contents/README.md?ref=main",
			answer:  `{"type": "file", "encoding": "base64", "size": 7, "sha": "b10b", "content": "SGVsbG8hCg==\n"}`,
		},
		{
			request: "PUT repos/ada/engine/contents/README.md",
			body:    `{"message": "Update file", "content": "SGVsbG8gYWdhaW4hCg==", "branch": "main", "sha": "b10b"}`,
			answer:  `{"content": {"html_url": "https://github.com/ada/engine/blob/main/README.md", "sha": "b10c"}, "commit": {"sha": "c0ffee"}}`,
		},
	},
	"Github List Comments": {{
		request: "GET repos/ada/engine/issues/1/comments?per_page=100",
		answer:  `[{"id": 11, "body": "Done.", "user": {"login": "ada"}, "html_url": "https://github.com/ada/engine/issues/1#issuecomment-11"}]`,
	}},
	"Github Update Comment": {{
		request: "PATCH repos/ada/engine/issues/comments/11",
		body:    `{"body": "Done again."}`,
		answer:  `{"id": 11, "html_url": "https://github.com/ada/engine/issues/1#issuecomment-11"}`,
	}},
	"Github Add Label": {{
		request: "POST repos/ada/engine/issues/1/labels",
		body:    `["bug"]`,
		answer:  `[{"name": "bug"}]`,
	}},
	"Github Remove Label": {{request: "DELETE repos/ada/engine/issues/1/labels/needs%20oil", answer: `[]`}},
	"Github Assign Issue": {{
		request: "POST repos/ada/engine/issues/1/assignees",
		body:    `{"assignees": ["charles"]}`,
		status:  http.StatusCreated,
		answer:  `{"number": 1, "assignees": [{"login": "Charles"}]}`,
	}},
	"Github Unassign Issue": {{
		request: "DELETE repos/ada/engine/issues/1/assignees",
		body:    `{"assignees": ["charles"]}`,
		answer:  `{"number": 1, "assignees": []}`,
	}},
	"Github List PR Reviewers": {{
		request: "GET repos/ada/engine/pulls/3/requested_reviewers",
		answer:  `{"users": [{"login": "charles", "html_url": "https://github.com/charles"}], "teams": []}`,
	}},
	"Github Assign PR Reviewer": {{
		request: "POST repos/ada/engine/pulls/3/requested_reviewers",
		body:    `{"reviewers": ["charles"]}`,
		status:  http.StatusCreated,
		answer:  `{"number": 3}`,
	}},
	"Github Unassign PR Reviewer": {{
		request: "DELETE repos/ada/engine/pulls/3/requested_reviewers",
		body:    `{"reviewers": ["charles"]}`,
		answer:  `{"number": 3}`,
	}},
	"Github Make Branch": {
		{request: "GET repos/ada/engine/git/ref/heads/main", answer: `{"ref": "refs/heads/main", "object": {"type": "commit", "sha": "c0ffee"}}`},
		{
			request: "POST repos/ada/engine/git/refs",
			body:    `{"ref": "refs/heads/oil/more", "sha": "c0ffee"}`,
			status:  http.StatusCreated,
			answer:  `{"ref": "refs/heads/oil/more"}`,
		},
	},
	"Github Delete Branch": {{request: "DELETE repos/ada/engine/git/refs/heads/oil/more", status: http.StatusNoContent}},
	"Github List Tags": {{
		request: "GET repos/ada/engine/tags?per_page=100",
		answer:  `[{"name": "v1.0.0", "commit": {"sha": "c0ffee"}}]`,
	}},
	"Github List Releases": {{
		request: "GET repos/ada/engine/releases?per_page=100",
		answer:  `[{"name": "First", "tag_name": "v1.0.0", "html_url": "https://github.com/ada/engine/releases/tag/v1.0.0"}]`,
	}},
	"Github List Stargazers": {{
		request: "GET repos/ada/engine/stargazers?per_page=100",
		answer:  `[{"login": "charles", "html_url": "https://github.com/charles"}]`,
	}},
	"Github List Discussions": {{
		request: "POST /api/graphql",
		body:    graphQLBody(discussionsQuery, `{"owner": "ada", "name": "engine", "first": 2}`),
		answer: `{"data": {"repository": {"discussions": {"nodes": [{"title": "Which oil?", "url": "https://github.com/ada/engine/discussions/5"}],
			"pageInfo": {"hasNextPage": false, "endCursor": "Y"}}}}}`,
	}},
	"Github Create Check Run": {{
		request: "POST repos/ada/engine/check-runs",
		body:    `{"name": "oil", "head_sha": "c0ffee", "status": "completed", "conclusion": "success", "output": {"title": "Oil", "summary": "All good"}}`,
		status:  http.StatusCreated,
		answer:  `{"id": 21, "html_url": "https://github.com/ada/engine/runs/21", "status": "completed", "conclusion": "success"}`,
	}},
	"Github Update Check Run": {{
		request: "PATCH repos/ada/engine/check-runs/21",
		body:    `{"status": "completed", "conclusion": "failure"}`,
		answer:  `{"id": 21, "html_url": "https://github.com/ada/engine/runs/21", "status": "completed", "conclusion": "failure"}`,
	}},
	"Github Create Status": {{
		request: "POST repos/ada/engine/statuses/c0ffee",
		body:    `{"state": "success", "context": "oil"}`,
		status:  http.StatusCreated,
		answer: `{"id": 31, "url": "https://api.github.com/repos/ada/engine/statuses/c0ffee", "state": "success", "context": "oil", "description": null,
			"target_url": null, "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z"}`,
	}},
	"Github Get CI Results": {
		{request: "GET repos/ada/engine/pulls/3", answer: `{"head": {"sha": "c0ffee"}}`},
		{
			request: "GET repos/ada/engine/commits/c0ffee/check-runs?per_page=100",
			answer: `{"total_count": 1, "check_runs": [{"id": 21, "name": "oil", "status": "completed", "conclusion": "failure", "started_at": "2026-01-02T03:04:05Z",
				"html_url": "https://github.com/ada/engine/runs/21", "output": {"title": "Oil", "summary": "It squeaks", "text": null, "annotations_count": 0}}]}`,
		},
	},
	"Github Create Comment Object": {},
	"Github Create PR Review": {{
		request: "POST repos/ada/engine/pulls/3/reviews",
		body:    `{"body": "Not yet.", "event": "REQUEST_CHANGES", "comments": [{"path": "oil.txt", "body": "More oil", "line": 1, "side": "RIGHT"}]}`,
		answer:  `{"id": 41, "state": "CHANGES_REQUESTED", "html_url": "https://github.com/ada/engine/pull/3#pullrequestreview-41"}`,
	}},
	"Github Submit Pending Review": {{
		request: "POST repos/ada/engine/pulls/3/reviews/41/events",
		body:    `{"event": "APPROVE"}`,
		answer:  `{"id": 41, "state": "APPROVED", "html_url": "https://github.com/ada/engine/pull/3#pullrequestreview-41"}`,
	}},
	"Github List PR Reviews": {{
		request: "GET repos/ada/engine/pulls/3/reviews?per_page=100",
		answer: `[{"id": 41, "user": {"login": "ada"}, "state": "APPROVED", "body": "Good.",
			"html_url": "https://github.com/ada/engine/pull/3#pullrequestreview-41"}]`,
	}},
	"Github Get PR Review Comments": {{
		request: "GET repos/ada/engine/pulls/3/comments?per_page=100",
		answer: `[{"id": 51, "user": {"login": "ada"}, "body": "More oil", "path": "oil.txt", "line": 1, "side": "RIGHT", "created_at": "2026-01-02T03:04:05Z",
			"updated_at": "2026-01-02T03:04:05Z", "html_url": "https://github.com/ada/engine/pull/3#discussion_r51"}]`,
	}},
	"Github Resolve Review Discussion": {
		{
			request: "POST /api/graphql",
			body:    graphQLBody(threadsQuery, `{"owner": "ada", "name": "engine", "number": 3}`),
			answer: `{"data": {"repository": {"pullRequest": {"reviewThreads": {"nodes": [{"id": "A", "comments": {"nodes": [{"databaseId": 50}]}}],
				"pageInfo": {"hasNextPage": true, "endCursor": "Y"}}}}}}`,
		},
		{
			request: "POST /api/graphql",
			body:    graphQLBody(threadsQuery, `{"owner": "ada", "name": "engine", "number": 3, "after": "Y"}`),
			answer: `{"data": {"repository": {"pullRequest": {"reviewThreads": {"nodes": [{"id": "B", "comments": {"nodes": [{"databaseId": 49}, {"databaseId": 51}]}}],
				"pageInfo": {"hasNextPage": false, "endCursor": "Z"}}}}}}`,
		},
		{
			request: "POST /api/graphql",
			body:    graphQLBody("mutation($thread: ID!) { resolveReviewThread(input: {threadId: $thread}) { thread { isResolved } } }", `{"thread": "B"}`),
			answer:  `{"data": {"resolveReviewThread": {"thread": {"isResolved": true}}}}`,
		},
	},
}

// graphQLBody is that of a request.
func graphQLBody(query, variables string) string {
	encoded, err := json.Marshal(map[string]any{"query": query, "variables": json.RawMessage(variables)})
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
