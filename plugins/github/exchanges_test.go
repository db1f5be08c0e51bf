package main

import "net/http"

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
}
