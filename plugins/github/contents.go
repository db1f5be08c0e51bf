package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// parsePath reads a path in a repository. "." and ".." would lead to other parts of the API.
func parsePath(pin, text string) (string, error) {
	path := strings.Trim(text, "/")
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." || part == "" && path != "" {
			return "", sdk.InvalidInput("pin %q: %.200q is not a path in a repository", pin, text)
		}
	}
	return path, nil
}

// contents asks for a file or a folder.
func (c *client) contents(ctx context.Context, r repository, path, branch string) (*github.RepositoryContent, []*github.RepositoryContent, error) {
	var options github.RepositoryContentGetOptions
	options.Ref = branch
	file, folder, _, err := c.Repositories.GetContents(ctx, r.owner, r.name, path, &options)
	return file, folder, c.explain(err, "%q on the branch %s of %s", path, branch, r)
}

type readFileInput struct {
	inRepository
	FilePath string `json:"file_path" required:"true" placeholder:"path/to/file" doc:"Path of the file in the repository"`
	Branch   string `json:"branch" default:"master" placeholder:"branch_name" doc:"Branch, tag or commit"`
}

var readFile = sdk.Block[readFileInput]{
	ID:          "87ce6c27-5752-4bbc-8e26-6da40a3dcfd3",
	Name:        "Github Read File",
	Description: "Reads a file of a repository",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("text_content", sdk.String("Content of the file, if it is text in UTF-8")),
		sdk.Out("raw_content", sdk.String("Content of the file in base64")),
		sdk.Out("size", sdk.Integer("Size of the file in bytes")),
	},
	Run: func(ctx context.Context, in readFileInput, out sdk.Emitter) error {
		path, err := parsePath("file_path", in.FilePath)
		if err != nil {
			return err
		}
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		file, _, err := c.contents(ctx, r, path, in.Branch)
		if err != nil {
			return err
		}
		if file == nil || file.GetType() != "" && file.GetType() != "file" {
			return sdk.InvalidInput("pin %q: %q is not a file on the branch %s of %s", "file_path", path, in.Branch, r)
		}
		content, err := c.content(ctx, r, file)
		if err != nil {
			return c.explain(err, "%q on the branch %s of %s", path, in.Branch, r)
		}
		if err := out.Emit("raw_content", base64.StdEncoding.EncodeToString(content)); err != nil {
			return err
		}
		if utf8.Valid(content) {
			if err := out.Emit("text_content", string(content)); err != nil {
				return err
			}
		}
		return out.Emit("size", len(content))
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "file_path": "README.md", "branch": "main"}`,
		Output: `{"text_content": ["Hello!\n"], "raw_content": ["SGVsbG8hCg=="], "size": [7]}`,
	}},
}

// content is that of a file. Of files over one megabyte GitHub tells all but that, and gives it when it is asked for
// the blob.
func (c *client) content(ctx context.Context, r repository, file *github.RepositoryContent) ([]byte, error) {
	if file.GetEncoding() == "none" {
		content, _, err := c.Git.GetBlobRaw(ctx, r.owner, r.name, file.GetSHA())
		return content, err
	}
	if file.Content == nil {
		return nil, nil
	}
	if file.GetEncoding() == "base64" { // in lines
		return base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields([]byte(*file.Content)), nil)))
	}
	return []byte(*file.Content), nil
}

type readFolderInput struct {
	inRepository
	FolderPath string `json:"folder_path" required:"true" placeholder:"path/to/folder" doc:"Path of the folder in the repository; / for the whole"`
	Branch     string `json:"branch" default:"master" placeholder:"branch_name" doc:"Branch, tag or commit"`
}

// fileEntry and folderEntry are what stands in a folder.
type fileEntry struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Size int    `json:"size"`
}

type folderEntry struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

var readFolder = sdk.Block[readFolderInput]{
	ID:          "1355f863-2db3-4d75-9fba-f91e8a8ca400",
	Name:        "Github Read Folder",
	Description: "Lists the files and folders in a folder of a repository, up to the 1000 that GitHub gives",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("file", sdk.Map("Each file: name, path, and size in bytes", sdk.Any(""))),
		sdk.Out("dir", sdk.Map("Each folder: name and path", sdk.String(""))),
	},
	Run: func(ctx context.Context, in readFolderInput, out sdk.Emitter) error {
		path, err := parsePath("folder_path", in.FolderPath)
		if err != nil {
			return err
		}
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		file, entries, err := c.contents(ctx, r, path, in.Branch)
		if err != nil {
			return err
		}
		if file != nil {
			return sdk.InvalidInput("pin %q: %q is not a folder on the branch %s of %s", "folder_path", path, in.Branch, r)
		}
		for _, e := range entries {
			switch e.GetType() {
			case "file":
				err = out.Emit("file", fileEntry{e.GetName(), e.GetPath(), e.GetSize()})
			case "dir":
				err = out.Emit("dir", folderEntry{e.GetName(), e.GetPath()})
			}
			if err != nil {
				return err
			}
		}
		return nil
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "folder_path": "docs", "branch": "main"}`,
		Output: `{"file": [{"name": "a.md", "path": "docs/a.md", "size": 7}], "dir": [{"name": "more", "path": "docs/more"}]}`,
	}},
}

type createFileInput struct {
	inRepository
	FilePath string `json:"file_path" required:"true" placeholder:"path/to/file.txt" doc:"Path of the file in the repository"`
	Content  string `json:"content" required:"true" placeholder:"File content here" doc:"Content of the file"`
	Branch   string `json:"branch" default:"main" doc:"Branch that gets the commit"`
	Message  string `json:"commit_message" default:"Create new file" doc:"Message of the commit"`
}

type updateFileInput struct {
	inRepository
	FilePath string `json:"file_path" required:"true" placeholder:"path/to/file.txt" doc:"Path of the file in the repository"`
	Content  string `json:"content" required:"true" placeholder:"Updated content here" doc:"New content of the file"`
	Branch   string `json:"branch" default:"main" doc:"Branch that gets the commit"`
	Message  string `json:"commit_message" default:"Update file" doc:"Message of the commit"`
}

var written = sdk.Outputs{sdk.Out("url", sdk.String("Address of the file")), sdk.Out("sha", sdk.String("SHA of the commit"))}

var createFile = sdk.Block[createFileInput]{
	ID:          "8fd132ac-b917-428a-8159-d62893e8a3fe",
	Name:        "Github Create File",
	Description: "Commits a new file to a branch of a repository",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs:     written,
	Run: func(ctx context.Context, in createFileInput, out sdk.Emitter) error {
		return updateFileInput(in).write(ctx, out, false)
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "file_path": "docs/new.md", "content": "Hello!\n"}`,
		Output: `{"url": ["https://github.com/ada/engine/blob/main/docs/new.md"], "sha": ["c0ffee"]}`,
	}},
}

var updateFile = sdk.Block[updateFileInput]{
	ID:          "30be12a4-57cb-4aa4-baf5-fcc68d136076",
	Name:        "Github Update File",
	Description: "Commits new content of a file to a branch of a repository",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs:     written,
	Run: func(ctx context.Context, in updateFileInput, out sdk.Emitter) error {
		return in.write(ctx, out, true)
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "file_path": "README.md", "content": "Hello again!\n"}`,
		Output: `{"url": ["https://github.com/ada/engine/blob/main/README.md"], "sha": ["c0ffee"]}`,
	}},
}

// write commits. What is there already is named by its SHA, so that nobody's change in between gets lost.
func (in updateFileInput) write(ctx context.Context, out sdk.Emitter, exists bool) error {
	path, err := parsePath("file_path", in.FilePath)
	if err != nil {
		return err
	}
	if path == "" {
		return sdk.InvalidInput("pin %q: it names no file", "file_path")
	}
	c, r, err := in.open(ctx)
	if err != nil {
		return err
	}
	options := &github.RepositoryContentFileOptions{Message: &in.Message, Content: []byte(in.Content), Branch: &in.Branch}
	put := c.Repositories.CreateFile
	if exists {
		file, _, err := c.contents(ctx, r, path, in.Branch)
		if err != nil {
			return err
		}
		if file == nil {
			return sdk.InvalidInput("pin %q: %q is a folder", "file_path", path)
		}
		options.SHA = file.SHA
		put = c.Repositories.UpdateFile
	}
	made, _, err := put(ctx, r.owner, r.name, (&url.URL{Path: path}).EscapedPath(), options)
	if err != nil {
		return c.explain(err, "%q on the branch %s of %s", path, in.Branch, r)
	}
	return emit(out, pair{"url", made.GetContent().GetHTMLURL()}, pair{"sha", made.GetSHA()})
}
