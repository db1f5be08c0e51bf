package cli

import (
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
)

func TestUpgradesSayWhatIsNewInThem(t *testing.T) {
	t.Parallel()
	asked := install.Asked{Name: "acme", Version: "1.9.0", Permissions: plugin.Permissions{
		Network: true, Environment: []string{"OLD", "NEW"}, Memory: 512, Files: []plugin.FileAccess{{Path: "/srv", Write: true}},
	}}
	key := "sha256:0123"
	current := &pluginView{Version: "1.10.0", SignedBy: &key, Permissions: &plugin.Permissions{
		Environment: []string{"OLD"}, Memory: 1024, Files: []plugin.FileAccess{{Path: "/srv"}},
	}}
	var b strings.Builder
	showAsked(&b, asked, current, "warn")
	for _, want := range []string{"1.10.0, which is newer", "is signed by sha256:0123, and this one by nobody", "proxy (new)", "OLD\n", "NEW (new)", "/srv (read and write) (new)", "512 MiB\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not said in\n%s", want, b.String())
		}
	}
	b.Reset()
	showAsked(&b, asked, nil, "warn")
	if strings.Contains(b.String(), "(new)") {
		t.Errorf("all is new in a first installation:\n%s", b.String())
	}
	if got := newIn(asked.Permissions, current.Permissions); strings.Join(got, "; ") != "network: connections to public addresses, by the server's proxy; files: /srv (read and write); environment: NEW" {
		t.Errorf("%q", got)
	}
}
