package sdk

import (
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
