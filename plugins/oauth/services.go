package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/patchbay-io/patchbay/sdk"
)

var discord = sdk.Provider{
	Name: "discord", DisplayName: "Discord", APIKey: true,
	OAuth: &sdk.OAuth{
		AuthorizeURL:  "https://discord.com/oauth2/authorize",
		TokenURL:      "https://discord.com/api/oauth2/token",
		ClientAuth:    sdk.InBasic,
		Account:       sdk.Account{URL: "https://discord.com/api/oauth2/@me", ID: "user.id", Username: "user.username"},
		Revocation:    sdk.Revocation{URL: "https://discord.com/api/oauth2/token/revoke", ClientAuth: sdk.InBasic},
		DefaultScopes: []string{"identify"},
		PKCE:          true,
	},
}

var linear = sdk.Provider{
	Name: "linear", DisplayName: "Linear", APIKey: true,
	OAuth: &sdk.OAuth{
		AuthorizeURL:   "https://linear.app/oauth/authorize",
		TokenURL:       "https://api.linear.app/oauth/token",
		Account:        sdk.Account{URL: "https://api.linear.app/graphql", Query: "{ viewer { id name } }", ID: "data.viewer.id", Username: "data.viewer.name"},
		Revocation:     sdk.Revocation{URL: "https://api.linear.app/oauth/revoke", ClientAuth: sdk.Bearer},
		DefaultScopes:  []string{"read"},
		ScopeSeparator: ",",
	},
}

var linkedin = sdk.Provider{
	Name: "linkedin", DisplayName: "LinkedIn",
	OAuth: &sdk.OAuth{
		AuthorizeURL:  "https://www.linkedin.com/oauth/v2/authorization",
		TokenURL:      "https://www.linkedin.com/oauth/v2/accessToken",
		Account:       sdk.Account{URL: "https://api.linkedin.com/v2/userinfo", ID: "sub", Username: "email name"},
		DefaultScopes: []string{"openid", "profile", "email", "w_member_social"},
	},
}

var microsoft = sdk.Provider{
	Name: "microsoft", DisplayName: "Microsoft",
	OAuth: &sdk.OAuth{
		AuthorizeURL: "{login_url}/{tenant}/oauth2/v2.0/authorize",
		TokenURL:     "{login_url}/{tenant}/oauth2/v2.0/token",
		Account:      sdk.Account{URL: "https://graph.microsoft.com/v1.0/me", ID: "id", Username: "userPrincipalName mail", Title: "displayName"},
		Settings: []sdk.PluginSetting{
			{Name: "login_url", Default: "https://login.microsoftonline.com", Description: "Where users log in"},
			{Name: "tenant", Default: "common", Description: "Whose accounts are accepted: common, organizations, consumers or a tenant"},
		},
		DefaultScopes: []string{"User.Read"},
		AlwaysScopes:  []string{"offline_access"}, // it gives no refresh token without
		PKCE:          true,
	},
}

var notion = sdk.Provider{
	Name: "notion", DisplayName: "Notion", APIKey: true,
	OAuth: &sdk.OAuth{
		AuthorizeURL:    "https://api.notion.com/v1/oauth/authorize",
		AuthorizeParams: map[string]string{"owner": "user"},
		TokenURL:        "https://api.notion.com/v1/oauth/token",
		ClientAuth:      sdk.InJSON,
		// A token is one of a workspace, and its answer says of which.
		Account: sdk.Account{ID: "bot_id", Username: "owner.user.person.email owner.person.email owner.user.name", Title: "workspace_name"},
	},
}

var reddit = sdk.Provider{
	Name: "reddit", DisplayName: "Reddit",
	OAuth: &sdk.OAuth{
		AuthorizeURL:    "https://www.reddit.com/api/v1/authorize",
		AuthorizeParams: map[string]string{"duration": "permanent"},
		TokenURL:        "https://www.reddit.com/api/v1/access_token",
		ClientAuth:      sdk.InBasic,
		Account:         sdk.Account{URL: "https://oauth.reddit.com/api/v1/me", ID: "id", Username: "name"},
		Revocation:      sdk.Revocation{URL: "https://www.reddit.com/api/v1/revoke_token", ClientAuth: sdk.InBasic},
		DefaultScopes:   []string{"identity", "read", "submit", "edit", "history", "privatemessages", "flair"},
		AllScopes:       "*",
		Headers:         map[string]string{"User-Agent": "server:patchbay:1.0.0"}, // one that names nobody is turned away
	},
}

var slack = sdk.Provider{
	Name: "slack", DisplayName: "Slack", APIKey: true,
	OAuth: &sdk.OAuth{
		AuthorizeURL:   "https://slack.com/oauth/v2/authorize",
		TokenURL:       "https://slack.com/api/oauth.v2.access",
		Account:        sdk.Account{URL: "https://slack.com/api/auth.test", ID: "bot_id user_id", Username: "user", Title: "team"},
		Revocation:     sdk.Revocation{URL: "https://slack.com/api/auth.revoke", ClientAuth: sdk.Bearer},
		DefaultScopes:  []string{"chat:write", "users:read"},
		ScopeSeparator: ",",
		Finish:         slackToken,
	},
}

// slackToken takes the user's token where the app has no bot, and an account that differs between workspaces.
func slackToken(_ context.Context, _ sdk.Service, reply []byte, t *sdk.Token) error {
	var said struct {
		BotUserID string `json:"bot_user_id"`
		Team      struct {
			ID, Name string
		}
		AuthedUser struct {
			ID           string
			AccessToken  string `json:"access_token"`
			RefreshToken string `json:"refresh_token"`
		} `json:"authed_user"`
	}
	if err := json.Unmarshal(reply, &said); err != nil {
		return fmt.Errorf("in a form that nobody knows: %w", err)
	}
	account := said.BotUserID
	if t.AccessToken == "" {
		t.AccessToken, t.RefreshToken, account = said.AuthedUser.AccessToken, said.AuthedUser.RefreshToken, said.AuthedUser.ID
	}
	if said.Team.ID != "" && account != "" {
		t.AccountID, t.Title = said.Team.ID+"/"+account, said.Team.Name
	}
	return nil
}

var todoist = sdk.Provider{
	Name: "todoist", DisplayName: "Todoist", APIKey: true,
	OAuth: &sdk.OAuth{
		AuthorizeURL:   "https://todoist.com/oauth/authorize",
		TokenURL:       "https://todoist.com/oauth/access_token",
		DefaultScopes:  []string{"task:add", "data:read", "data:read_write", "data:delete", "project:delete"},
		ScopeSeparator: ",",
	},
}

var twitter = sdk.Provider{
	Name: "twitter", DisplayName: "X (Twitter)",
	OAuth: &sdk.OAuth{
		AuthorizeURL: "https://twitter.com/i/oauth2/authorize",
		TokenURL:     "https://api.x.com/2/oauth2/token",
		ClientAuth:   sdk.InBasic,
		Account:      sdk.Account{URL: "https://api.x.com/2/users/me", ID: "data.id", Username: "data.username"},
		Revocation:   sdk.Revocation{URL: "https://api.x.com/2/oauth2/revoke", ClientAuth: sdk.InBasic},
		DefaultScopes: []string{
			"tweet.read", "tweet.write", "tweet.moderate.write", "users.read", "follows.read", "follows.write", "space.read",
			"mute.read", "mute.write", "like.read", "like.write", "list.read", "list.write", "block.read", "block.write",
			"bookmark.read", "bookmark.write",
		},
		AlwaysScopes: []string{"offline.access"}, // without it there is no refresh token
		PKCE:         true,
	},
}
