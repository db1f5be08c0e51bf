// Github is the plugin for GitHub, and for GitHub Enterprise by the settings base_url and api_url. The vendor's library
// makes the requests, through the server; nothing of a run, and no token, outlives the run here.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name: "github", Version: "0.1.0", Description: "GitHub: accounts by OAuth or by token, and blocks for what is there.",
	Blocks:    blocks,
	Providers: []sdk.Provider{provider},
}

var developerTools = []string{"DEVELOPER_TOOLS"}

var blocks = sdk.Blocks(
	listIssues, readIssue, makeIssue, comment, listComments, updateComment, addLabel, removeLabel, assignIssue, unassignIssue,
	listPulls, readPull, makePull, listReviewers, assignReviewer, unassignReviewer,
	createRepository, listBranches, makeBranch, deleteBranch, listTags, listReleases, listStargazers, listDiscussions,
	readFile, readFolder, createFile, updateFile,
	createCheckRun, updateCheckRun, createStatus, ciResults,
	commentObject, createReview, submitReview, listReviews, reviewComments, resolveDiscussion,
)

func main() { sdk.Serve(plugin) }
