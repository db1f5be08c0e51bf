package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
)

var listTags = sdk.Block[inRepository]{
	ID:          "358924e7-9a11-4d1a-a0f2-13c67fe59e2e",
	Name:        "Github List Tags",
	Description: "Lists the tags of a repository",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("tag", sdk.Map("Each tag: name, and url of its files", sdk.String(""))),
		sdk.Out("tags", sdk.List("All tags", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in inRepository, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		tags, err := pages(ctx, func(options github.ListOptions) ([]*github.RepositoryTag, *github.Response, error) {
			return c.Repositories.ListTags(ctx, r.owner, r.name, &options)
		})
		if err != nil {
			return c.explain(err, "the tags of %s", r)
		}
		return emitList(out, "tags", "tag", convert(tags, func(t *github.RepositoryTag) named {
			return named{t.GetName(), r.tree(t.GetName())}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine"}`,
		Output: `{"tags": [[{"name": "v1.0.0", "url": "https://github.com/ada/engine/tree/v1.0.0"}]],
			"tag": [{"name": "v1.0.0", "url": "https://github.com/ada/engine/tree/v1.0.0"}]}`,
	}},
}

var listReleases = sdk.Block[inRepository]{
	ID:          "3460367a-6ba7-4645-8ce6-47b05d040b92",
	Name:        "Github List Releases",
	Description: "Lists the releases of a repository, newest first",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("release", sdk.Map("Each release: its name, or its tag where it has none, and url", sdk.String(""))),
		sdk.Out("releases", sdk.List("All releases", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in inRepository, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		releases, err := pages(ctx, func(options github.ListOptions) ([]*github.RepositoryRelease, *github.Response, error) {
			return c.Repositories.ListReleases(ctx, r.owner, r.name, &options)
		})
		if err != nil {
			return c.explain(err, "the releases of %s", r)
		}
		return emitList(out, "releases", "release", convert(releases, func(v *github.RepositoryRelease) named {
			name := v.GetName()
			if name == "" {
				name = v.GetTagName()
			}
			return named{name, v.GetHTMLURL()}
		}))
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine"}`,
		Output: `{"releases": [[{"name": "First", "url": "https://github.com/ada/engine/releases/tag/v1.0.0"}]],
			"release": [{"name": "First", "url": "https://github.com/ada/engine/releases/tag/v1.0.0"}]}`,
	}},
}

var listStargazers = sdk.Block[inRepository]{
	ID:          "a4b9c2d1-e5f6-4g7h-8i9j-0k1l2m3n4o5p",
	Name:        "Github List Stargazers",
	Description: fmt.Sprintf("Lists the accounts that have given a repository a star, up to %d", maxPages*pageSize),
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("stargazer", sdk.Map("Each account: username and url", sdk.String(""))),
		sdk.Out("stargazers", sdk.List("All accounts", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in inRepository, out sdk.Emitter) error {
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		// The library's method asks for the times of the stars too, in another form of the answer.
		stargazers, err := pages(ctx, func(options github.ListOptions) ([]*github.User, *github.Response, error) {
			path := fmt.Sprintf("repos/%s/stargazers?per_page=%d", r, options.PerPage)
			if options.Page > 0 {
				path += fmt.Sprintf("&page=%d", options.Page)
			}
			request, err := c.NewRequest(http.MethodGet, path, nil)
			if err != nil {
				return nil, nil, err
			}
			var users []*github.User
			response, err := c.Do(ctx, request, &users)
			return users, response, err
		})
		if err != nil {
			return c.explain(err, "the stargazers of %s", r)
		}
		return emitList(out, "stargazers", "stargazer", convert(stargazers, newAccount))
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine"}`,
		Output: `{"stargazers": [[{"username": "charles", "url": "https://github.com/charles"}]],
			"stargazer": [{"username": "charles", "url": "https://github.com/charles"}]}`,
	}},
}

type listDiscussionsInput struct {
	inRepository
	Number int `json:"num_discussions" default:"5" doc:"How many, up to 1000"`
}

var listDiscussions = sdk.Block[listDiscussionsInput]{
	ID:          "3ef1a419-3d76-4e07-b761-de9dad4d51d7",
	Name:        "Github List Discussions",
	Description: "Lists the discussions of a repository, the latest first",
	Categories:  developerTools,
	Outputs: sdk.Outputs{
		sdk.Out("discussion", sdk.Map("Each discussion: title and url", sdk.String(""))),
		sdk.Out("discussions", sdk.List("All discussions", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in listDiscussionsInput, out sdk.Emitter) error {
		if in.Number < 1 || in.Number > 1000 {
			return sdk.InvalidInput("pin %q: %d is not from 1 to 1000", "num_discussions", in.Number)
		}
		c, r, err := in.open(ctx)
		if err != nil {
			return err
		}
		discussions := []titled{}
		variables := map[string]any{"owner": r.owner, "name": r.name}
		for len(discussions) < in.Number {
			var found struct {
				Repository struct {
					Discussions struct {
						Nodes    []titled `json:"nodes"`
						PageInfo pageInfo `json:"pageInfo"`
					} `json:"discussions"`
				} `json:"repository"`
			}
			variables["first"] = min(in.Number-len(discussions), pageSize)
			if err := c.graphQL(ctx, discussionsQuery, variables, &found); err != nil {
				return c.explain(err, "the discussions of %s", r)
			}
			page := found.Repository.Discussions
			discussions = append(discussions, page.Nodes...)
			if !page.PageInfo.more(variables) || len(page.Nodes) == 0 {
				break
			}
		}
		return emitList(out, "discussions", "discussion", discussions[:min(in.Number, len(discussions))])
	},
	Examples: []sdk.Example{{
		Input: `{"repo_url": "https://github.com/ada/engine", "num_discussions": 2}`,
		Output: `{"discussions": [[{"title": "Which oil?", "url": "https://github.com/ada/engine/discussions/5"}]],
			"discussion": [{"title": "Which oil?", "url": "https://github.com/ada/engine/discussions/5"}]}`,
	}},
}

const discussionsQuery = `query($owner: String!, $name: String!, $first: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    discussions(first: $first, after: $after, orderBy: {field: CREATED_AT, direction: DESC}) {
      nodes { title url }
      pageInfo { hasNextPage endCursor }
    }
  }
}`
