package main

import (
	"context"
	"net/url"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// named is an item of lists.
type named struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type createRepositoryInput struct {
	access
	Name        string `json:"name" required:"true" placeholder:"my-new-repo" doc:"Name of the repository"`
	Description string `json:"description" default:"" placeholder:"A description of the repository" doc:"What it is about"`
	Private     bool   `json:"private" default:"false" doc:"Whether others do not see it"`
	AutoInit    bool   `json:"auto_init" default:"true" doc:"Whether it begins with a README"`
	Gitignore   string `json:"gitignore_template" default:"" doc:"Name of GitHub's template for .gitignore, such as Go"`
}

var createRepository = sdk.Block[createRepositoryInput]{
	ID:          "029ec3b8-1cfd-46d3-b6aa-28e4a706efd1",
	Name:        "Github Create Repository",
	Description: "Creates a repository of the account",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("url", sdk.String("Address of the repository")), sdk.Out("clone_url", sdk.String("Address to clone it from")),
	},
	Run: func(ctx context.Context, in createRepositoryInput, out sdk.Emitter) error {
		c, err := connect(ctx, in.Credentials)
		if err != nil {
			return err
		}
		wanted := &github.Repository{Name: &in.Name, Description: &in.Description, Private: &in.Private, AutoInit: &in.AutoInit}
		if in.Gitignore != "" {
			wanted.GitignoreTemplate = &in.Gitignore
		}
		made, _, err := c.Repositories.Create(ctx, "", wanted)
		if err != nil {
			return c.explain(err, "the new repository %q", in.Name)
		}
		return emit(out, pair{"url", made.GetHTMLURL()}, pair{"clone_url", made.GetCloneURL()})
	},
	Examples: []sdk.Example{{
		Input:  `{"name": "engine", "private": true}`,
		Output: `{"url": ["https://github.com/ada/engine"], "clone_url": ["https://github.com/ada/engine.git"]}`,
	}},
}

var listBranches = sdk.Block[inRepository]{
	ID:          "74243e49-2bec-4916-8bf4-db43d44aead5",
	Name:        "Github List Branches",
	Description: "Lists the branches of a repository",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("branch", sdk.Map("Each branch: name, and url of its files", sdk.String(""))),
		sdk.Out("branches", sdk.List("All branches", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in inRepository, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		branches, err := pages(ctx, func(options github.ListOptions) ([]*github.Branch, *github.Response, error) {
			return c.Repositories.ListBranches(ctx, r.owner, r.name, &github.BranchListOptions{ListOptions: options})
		})
		if err != nil {
			return c.explain(err, "the branches of %s", r)
		}
		return emitList(out, "branches", "branch", convert(branches, func(b *github.Branch) named {
			return named{b.GetName(), r.tree(b.GetName())}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine"}`,
		Output: `{"branches": [[{"name": "main", "url": "https://github.com/ada/engine/tree/main"}]],
			"branch": [{"name": "main", "url": "https://github.com/ada/engine/tree/main"}]}`,
	}},
}

// tree is the address of the files of a branch or tag.
func (r repository) tree(ref string) string {
	return r.web + "/tree/" + (&url.URL{Path: ref}).EscapedPath()
}
