package main

import (
	"context"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

// heads is where the branches are among a repository's references.
const heads = "heads/"

type makeBranchInput struct {
	inRepository
	New    string `json:"new_branch" required:"true" placeholder:"new_branch_name" doc:"Name of the new branch"`
	Source string `json:"source_branch" required:"true" placeholder:"source_branch_name" doc:"Branch from whose end it goes off"`
}

var makeBranch = sdk.Block[makeBranchInput]{
	ID:          "944cc076-95e7-4d1b-b6b6-b15d8ee5448d",
	Name:        "Github Make Branch",
	Description: "Makes a branch in a repository, from the end of another one",
	Categories:  developerTools,
	Traits:      sdk.Once,
	Outputs:     done,
	Run: func(ctx context.Context, in makeBranchInput, out sdk.Emitter) error {
		for pin, branch := range map[string]string{"new_branch": in.New, "source_branch": in.Source} {
			if err := checkBranch(pin, branch); err != nil {
				return err
			}
		}
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		source, _, err := c.Git.GetRef(ctx, r.owner, r.name, heads+in.Source)
		if err != nil {
			return c.explain(err, "the branch %q of %s", in.Source, r)
		}
		made := github.CreateRef{Ref: "refs/" + heads + in.New, SHA: source.GetObject().GetSHA()}
		if _, _, err = c.Git.CreateRef(ctx, r.owner, r.name, made); err != nil {
			return c.explain(err, "the new branch %q of %s", in.New, r)
		}
		return out.Emit("status", "Branch created successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "new_branch": "oil/more", "source_branch": "main"}`,
		Output: `{"status": ["Branch created successfully"]}`,
	}},
}

type deleteBranchInput struct {
	inRepository
	Branch string `json:"branch" required:"true" placeholder:"branch_name" doc:"Name of the branch"`
}

var deleteBranch = sdk.Block[deleteBranchInput]{
	ID:          "0d4130f7-e0ab-4d55-adc3-0a40225e80f4",
	Name:        "Github Delete Branch",
	Description: "Deletes a branch of a repository",
	Categories:  developerTools,
	Outputs:     done,
	Run: func(ctx context.Context, in deleteBranchInput, out sdk.Emitter) error {
		if err := checkBranch("branch", in.Branch); err != nil {
			return err
		}
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		_, err = c.Git.DeleteRef(ctx, r.owner, r.name, heads+in.Branch)
		if err != nil && !goneBefore(ctx, err) {
			return c.explain(err, "the branch %q of %s", in.Branch, r)
		}
		return out.Emit("status", "Branch deleted successfully")
	},
	Examples: []sdk.Example{{
		Input:  `{"repo_url": "https://github.com/ada/engine", "branch": "oil/more"}`,
		Output: `{"status": ["Branch deleted successfully"]}`,
	}},
}

// checkBranch refuses names that lead to other parts of the API.
func checkBranch(pin, name string) error {
	path, err := parsePath(pin, name)
	if err == nil && (path == "" || path != name) {
		err = sdk.InvalidInput("pin %q: %.200q is not the name of a branch", pin, name)
	}
	return err
}
