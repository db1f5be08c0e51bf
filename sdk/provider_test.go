package sdk_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
)

func provider() sdk.Provider {
	return sdk.Provider{Name: "forge", DisplayName: "Forge", OAuth: &sdk.OAuth{
		AuthorizeURL: "{base_url}/authorize", TokenURL: "https://forge.example/token", Settings: []sdk.PluginSetting{{Name: "base_url", Default: "https://x", Required: true}},
		AlwaysScopes: []string{"id"}, DefaultScopes: []string{"read", "id"},
		Revocation: sdk.Revocation{URL: "https://forge.example/clients/{client_id}/token"},
	}}
}

func TestProvidersBringTheirSettings(t *testing.T) {
	t.Parallel()
	for plugin, prefix := range map[string]string{"forge": "", "many": "forge_"} {
		d, err := sdk.Plugin{Name: plugin, Version: "1.0.0", Providers: []sdk.Provider{provider()}}.Describe()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range d.GetSettings() {
			names = append(names, strings.TrimPrefix(s.GetName(), prefix))
			if s.GetRequired() || !strings.HasPrefix(s.GetName(), prefix) || s.GetSecret() != strings.HasSuffix(s.GetName(), "secret") {
				t.Errorf("%s: setting %v", plugin, s)
			}
		}
		if want := []string{"client_id", "client_secret", "base_url", "token_url", "revoke_url"}; !slices.Equal(names, want) {
			t.Errorf("%s has the settings %v, want %v", plugin, names, want)
		}
		o := d.GetProviders()[0].GetOauth()
		if want := []string{prefix + "client_id", prefix + "client_secret", prefix + "base_url"}; !slices.Equal(o.GetRequiredSettings(), want) {
			t.Errorf("%s requires %v, want %v", plugin, o.GetRequiredSettings(), want)
		}
		if !slices.Equal(o.GetDefaultScopes(), []string{"id", "read"}) || !o.GetRevokes() || o.GetPkce() {
			t.Errorf("described as %v", o)
		}
	}
}

func TestProvidersThatAreNotRightAreSaidToBe(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*sdk.Provider){
		"a name takes":    func(p *sdk.Provider) { p.Name = "For ge" },
		"no DisplayName":  func(p *sdk.Provider) { p.DisplayName = "" },
		"no kind of":      func(p *sdk.Provider) { p.OAuth = nil },
		"AuthorizeURL":    func(p *sdk.Provider) { p.OAuth.TokenURL = "" },
		"{host} is none":  func(p *sdk.Provider) { p.OAuth.TokenURL = "https://{host}/token" },
		"is no URL":       func(p *sdk.Provider) { p.OAuth.TokenURL = "/token" },
		"setting \"A\"":   func(p *sdk.Provider) { p.OAuth.Settings[0].Name = "A" },
		"there twice":     func(p *sdk.Provider) { p.OAuth.Settings = append(p.OAuth.Settings, p.OAuth.Settings[0]) },
		"forge.example:x": func(p *sdk.Provider) { p.OAuth.TokenURL = "https://forge.example:x/token" },
	} {
		p := provider()
		change(&p)
		_, err := sdk.Plugin{Name: "many", Version: "1.0.0", Providers: []sdk.Provider{p}}.Describe()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("the error is %v, want one that says %q", err, says)
		}
	}
	twice := sdk.Plugin{Name: "many", Version: "1.0.0", Providers: []sdk.Provider{provider(), provider()}}
	if _, err := twice.Describe(); err == nil || !strings.Contains(err.Error(), `provider "forge" is there twice`) {
		t.Errorf("the error is %v", err)
	}
}
