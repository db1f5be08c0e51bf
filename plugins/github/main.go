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
	listIssues, readIssue, makeIssue, comment,
	listPulls, readPull, makePull,
	createRepository, listBranches, readFile, readFolder, createFile, updateFile,
)

func main() { sdk.Serve(plugin) }
