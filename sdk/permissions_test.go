package sdk

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

func TestPermissionsAreWrittenIntoTheManifest(t *testing.T) {
	t.Parallel()
	p := Plugin{Name: "a", Version: "1.0.0"}
	if raw, err := json.Marshal(p.manifest()); err != nil || strings.Contains(string(raw), "permissions") {
		t.Errorf("without permissions: %s %v", raw, err)
	}
	p.Permissions = Permissions{Network: true, Files: []FileAccess{{Path: "/srv", Write: true}}, Environment: []string{"A"}, Memory: 64, Processes: 20}
	if _, err := p.Describe(); err != nil {
		t.Error(err)
	}
	raw, err := json.Marshal(p.manifest())
	want := `"permissions":{"network":true,"files":[{"path":"/srv","write":true}],"environment":["A"],"memory":64,"processes":20}`
	if err != nil || !strings.Contains(string(raw), want) {
		t.Errorf("with permissions: %s %v", raw, err)
	}
}

func TestImpossiblePermissionsAreTheAuthorsError(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Permissions{
		"relative path": {Files: []FileAccess{{Path: "srv"}}},
		"all files":     {Files: []FileAccess{{Path: "/"}}},
		"processes":     {Files: []FileAccess{{Path: "/proc/1"}}},
		"many files":    {Files: make([]FileAccess, 65)},
		"secret":        {Environment: []string{"PATCHBAY_JWT_SECRET"}},
		"memory":        {Memory: 5},
		"no processes":  {Processes: -1},
	} {
		if _, err := (Plugin{Name: "a", Version: "1.0.0", Permissions: p}).Describe(); err == nil || !strings.Contains(err.Error(), "permissions") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManifestTellsOfSettingsAndCredentials(t *testing.T) {
	t.Parallel()
	type input struct {
		Key  Credential `json:"key_credentials" providers:"vendor,other" types:"api_key"`
		User Credential `json:"user_credentials" providers:"vendor" types:"oauth2" scopes:"read" optional:"true"`
	}
	p := Plugin{Name: "a", Version: "1.0.0", Settings: []PluginSetting{{Name: "url", Description: "Where it is", Default: "x"}, {Name: "token", Required: true, Secret: true}}, Blocks: Blocks(Block[input]{
		ID: "11111111-1111-4111-8111-111111111111", Name: "B", Outputs: Outputs{Out("output", Any(""))},
		Run: func(context.Context, input, Emitter) error { return nil },
	})}
	if _, err := p.Describe(); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(p.manifest())
	want := `"settings":[{"name":"url","description":"Where it is"},{"name":"token","required":true,"secret":true}],` +
		`"credentials":[{"provider":"vendor","types":["api_key","oauth2"],"scopes":["read"]},{"provider":"other","types":["api_key"]}]`
	if err != nil || !strings.Contains(string(raw), want) {
		t.Errorf("%s %v\nwant %s", raw, err, want)
	}
}
