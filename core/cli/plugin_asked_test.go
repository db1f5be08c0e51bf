package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestPeopleAreToldWhoHasSigned(t *testing.T) {
	t.Parallel()
	const workflow = "https://token.example https://git.example/acme/p/.github/workflows/release.yml@refs/tags/v"
	before := workflow + "1"
	current := &pluginView{Version: "1.0.0", SignedBy: &before, Permissions: &plugin.Permissions{}}
	for by, beware := range map[string]bool{workflow + "2": false, "https://token.example eve": true, "sha256:0123": true, "": true} {
		var b strings.Builder
		showAsked(&b, install.Asked{Name: "acme", Version: "1.1.0", SignedBy: by}, current, "warn")
		if by != "" && !strings.Contains(b.String(), "signed by    "+by+"\n") || strings.Contains(b.String(), "beware") != beware {
			t.Errorf("%q:\n%s", by, b.String())
		}
	}
	for by, want := range map[string]string{"": "", "sha256:0123456789abcdef": "sha256:0123456789ab", "https://id.example ada@acme.example": "ada@acme.example"} {
		if got := shortSigner(by); got != want {
			t.Errorf("%q is shown as %q, want %q", by, got, want)
		}
	}
}

func TestTextsOfPluginsCannotDeceive(t *testing.T) {
	t.Parallel()
	asked := install.Asked{
		Name: "acme", Version: "1.0.0", Description: "harmless\u202e\u200b\x1b[2J\r\n" + strings.Repeat("é", 5000), Source: "a\u2066b",
		Permissions: plugin.Permissions{Environment: []string{"KEY"}},
		Settings:    []plugin.ManifestSetting{{Name: "token", Description: "x\u200d" + strings.Repeat("y", 5000)}},
	}
	var b strings.Builder
	showAsked(&b, asked, nil, "warn")
	name, failure := "a\u202eb", "it \x1b[31m failed\u200e"
	if err := showPlugins(&b, []pluginView{{Name: "acme", Version: name, Source: &name, Error: &failure}}); err != nil {
		t.Fatal(err)
	}
	b.WriteString(printableLines("one\x07\ntwo\u202e"))
	if strings.ContainsFunc(strings.ReplaceAll(b.String(), "\n", ""), plugin.Unseen) || len(b.String()) > 3000 {
		t.Errorf("%q", b.String())
	}
	for _, want := range []string{`harmless\u202e\u200b\u001b[2J\u000d é`, "é… (10", "KEY", `a\u2066b`, `a\u202eb`, `it \u001b[31m failed\u200e`, "one\\u0007\ntwo\\u202e"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestListTellsOfPluginsThatKeepDying(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	var b strings.Builder
	err := showPlugins(&b, []pluginView{
		{Name: "frail", State: "ready", Restarts: 12, Deaths: 9, LastDeath: &plugin.Death{At: at, Cause: "exit status 3\nout of luck"}},
		{Name: "once", State: "ready", Restarts: 1, Deaths: 1, LastDeath: &plugin.Death{At: at, Cause: "exit status 3"}},
	})
	const want = `frail: it died 9 times in the last hour and was started again 12 times; at last at 2026-11-24T10:00:00Z: exit status 3`
	if err != nil || !strings.Contains(b.String(), want) || strings.Contains(b.String(), "once: ") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestListShowsDigestsAndWhatWasGranted(t *testing.T) {
	t.Parallel()
	digest, source := "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", "/tmp/acme.tar.gz"
	var b strings.Builder
	err := showPlugins(&b, []pluginView{
		{Name: "acme", Version: "1.0.0", State: "ready", Blocks: 2, Source: &source, Digest: &digest, Permissions: &plugin.Permissions{
			Network: true, Files: []plugin.FileAccess{{Path: "/srv/a"}}, Environment: []string{"REGION"}, Memory: 2048, Processes: 1024,
		}},
		{Name: "modest", Version: "1.0.0", State: "ready", Source: &source, Digest: &digest, Permissions: &plugin.Permissions{}},
		{Name: "text", Version: "0.1.0", State: "ready", Own: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"PLUGIN", "VERSION", "STATE", "BLOCKS", "BEFORE", "DIGEST", "SIGNED", "GRANTED", "FROM"},
		{"acme", "1.0.0", "ready", "2", "-", "sha256:5f70bf18a086", "unsigned", "network, /srv/a (read), $REGION, 2048 MiB, 1024 processes", source},
		{"modest", "1.0.0", "ready", "0", "-", "sha256:5f70bf18a086", "unsigned", "-", source},
		{"text", "0.1.0", "ready", "0", "-", "-", "-", "-", "the server"},
	}
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if got := regexp.MustCompile("  +").Split(line, -1); !slices.Equal(got, want[i]) {
			t.Errorf("%q, want %q", got, want[i])
		}
	}
}
