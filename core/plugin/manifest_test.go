package plugin

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestManifestsSayWhatIsWrongInThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"version":"1","protocol":1}`:            "name is missing",
		`{"name":"p","version":"1"}`:              "protocol is missing; this server speaks 1",
		`{"name":"p","version":"1","protocol":2}`: "protocol 2; this server speaks 1",
		`{"permissions":{"network":"yes"}}`:       "permissions.network is a JSON string, where true or false is wanted",
		`{"permissions":{"files":[{"path":1}]}}`:  "permissions.files.path is a JSON number, where a string is wanted",
		`{"permissions":{"memory":1.5}}`:          "permissions.memory is a JSON number 1.5, where a whole number is wanted",
		`{"permissions":[]}`:                      "permissions is a JSON array, where an object is wanted",
		`[]`:                                      "the whole is a JSON array, where an object is wanted",
		"{\n\"name\": \"p\",\n}":                  "line 3, column 1: invalid character '}'",
		"":                                        "line 1, column 1: unexpected end",
		`{"name":"p","name":"q","version":"1","protocol":1}`:               `the key "name" is there twice`,
		`{"name":"p","permissions":{"network":false,"Network":true}}`:      `the key "permissions.Network" is there twice`,
		`{"settings":[{"name":"a","name":"b"}]}`:                           `the key "settings.name" is there twice`,
		`{"name":"p","version":"1","protocol":1,"platform":"linux-amd64"}`: `platform "linux-amd64" is not of the form ` + runtime.GOOS + "/",
		`{"name":"p","version":"1","protocol":1,"platform":"plan9/mips"}`:  "plugin p is for plan9/mips; this machine is",
	} {
		m, err := decodeManifest([]byte(text))
		if err == nil {
			err = m.check("")
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestKeysThatManifestsDoNotHaveAreTold(t *testing.T) {
	t.Parallel()
	m, err := decodeManifest([]byte(`{"name":"p","licence":"MIT","Version":"1","protocol":1,
		"permissions":{"network":true,"netwrk":true,"files":[{"path":"/a","rite":true},{"path":"/b","rite":true}]},
		"settings":[{"name":"a","unit":"s"}],"credentials":[]}`))
	want := []string{"licence", "permissions.files.rite", "permissions.netwrk", "settings.unit"}
	if err != nil || !slices.Equal(m.Unknown, want) {
		t.Errorf("%q, want %q; %v", m.Unknown, want, err)
	}
	if got := m.Ignored(); !strings.Contains(got, `unknown keys "licence", "permissions.files.rite"`) {
		t.Error(got)
	}
	m.Unknown = make([]string, 1000)
	if got := m.Ignored(); !strings.Contains(got, "990 more") || len(got) > 2000 {
		t.Error(got)
	}
}
