// Forge is a provider and the block that uses its tokens, as somebody else's plugin would have them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/patchbay-io/patchbay/sdk"
)

type input struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"forge" scopes:"read"`
	Text        string     `json:"text"`
}

var whose = sdk.Block[input]{
	ID: "5f0a1c52-6c0e-4d38-9d8f-6f2b7a0c1e01", Name: "Whose Token", Categories: []string{"TEXT"},
	Outputs: sdk.Outputs{sdk.Out("login", sdk.String("Whose the token is"))},
	Run: func(ctx context.Context, in input, out sdk.Emitter) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, sdk.Setting(ctx, "base_url")+"/user", nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+in.Credentials.AccessToken())
		response, err := sdk.HTTPClient(ctx).Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("forge answered %s to the token %s", response.Status, in.Credentials.AccessToken())
		}
		var user struct{ Login string }
		if err := json.NewDecoder(response.Body).Decode(&user); err != nil {
			return err
		}
		return out.Emit("login", user.Login)
	},
}

func main() {
	sdk.Serve(sdk.Plugin{
		Name: "forge", Version: "1.0.0", Blocks: sdk.Blocks(whose),
		Providers: []sdk.Provider{{
			Name: "forge", DisplayName: "Forge", Serialised: true,
			OAuth: &sdk.OAuth{
				AuthorizeURL: "{base_url}/authorize", TokenURL: "{base_url}/token", DefaultScopes: []string{"read"},
				Account:  sdk.Account{URL: "{base_url}/user", ID: "id", Username: "login"},
				Settings: []sdk.PluginSetting{{Name: "base_url", Required: true}},
			},
		}},
	})
}
