package credential

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDraftsThatAreRefused(t *testing.T) {
	t.Parallel()
	v := &Vault{}
	past := time.Now().Add(-time.Minute)
	header := func(name, value string) Draft {
		return Draft{Provider: "http", Type: HostScoped, Host: "a.example", Headers: map[string]string{name: value}}
	}
	for name, c := range map[string]struct {
		draft Draft
		want  []string // fields
	}{
		"nothing":                {Draft{}, []string{"provider", "title", "type"}},
		"a provider with space":  {key("open ai", "k"), []string{"provider"}},
		"a long provider":        {key(strings.Repeat("a", 65), "k"), []string{"provider"}},
		"no key":                 {key("openai", "  "), []string{"api_key"}},
		"a key with NUL":         {key("openai", "a\x00b"), []string{"api_key"}},
		"a key of two lines":     {key("openai", "a\nX-Other: b"), []string{"api_key"}},
		"a key with CR":          {key("openai", "a\rb"), []string{"api_key"}},
		"a user of two lines":    {Draft{Provider: "smtp", Type: UserPassword, Username: "u\r\nv", Password: "p"}, []string{"username"}},
		"a password of two":      {Draft{Provider: "smtp", Type: UserPassword, Username: "u", Password: "p\nq"}, []string{"password"}},
		"a password with NUL":    {Draft{Provider: "smtp", Type: UserPassword, Username: "u", Password: "p\x00"}, []string{"password"}},
		"a header with NUL":      {header("X", "a\x00"), []string{"headers"}},
		"all of com":             {Draft{Provider: "http", Type: HostScoped, Host: "*.com", Headers: map[string]string{"X": "y"}}, []string{"host"}},
		"a huge key":             {key("openai", strings.Repeat("k", maxSecret+1)), []string{"api_key"}},
		"a key that has expired": {Draft{Provider: "openai", Type: APIKey, APIKey: "k", ExpiresAt: &past}, []string{"expires_at"}},
		"a title of two lines":   {Draft{Provider: "openai", Type: APIKey, APIKey: "k", Title: "a\nb"}, []string{"title"}},
		"oauth2 by hand":         {Draft{Provider: "github", Type: OAuth2}, []string{"type"}},
		"an unknown type":        {Draft{Provider: "github", Type: "magic"}, []string{"type"}},
		"no password":            {Draft{Provider: "smtp", Type: UserPassword, Username: "u"}, []string{"password"}},
		"no user":                {Draft{Provider: "smtp", Type: UserPassword, Password: "p"}, []string{"username"}},
		"what is of other types": {Draft{Provider: "smtp", Type: UserPassword, Username: "u", Password: "p", APIKey: "k", Host: "h", Headers: map[string]string{}}, []string{"api_key", "headers", "host"}},
		"no host":                {Draft{Provider: "http", Type: HostScoped, Headers: map[string]string{"X": "y"}}, []string{"host"}},
		"no header":              {Draft{Provider: "http", Type: HostScoped, Host: "a.example"}, []string{"headers"}},
		"a bad header name":      {header("X Y", "z"), []string{"headers"}},
		"a header of two lines":  {header("X", "a\r\nY: b"), []string{"headers"}},
		"a header of the client": {header("Transfer-Encoding", "chunked"), []string{"headers"}},
		"an empty header":        {header("X", ""), []string{"headers"}},
	} {
		_, err := v.Create(t.Context(), "ann", c.draft)
		var invalid *Invalid
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := slices.Sorted(maps.Keys(invalid.Fields)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"api.example.com": "api.example.com", " API.Example.com ": "api.example.com", "example.com.": "example.com",
		"*.example.com": "*.example.com", "*.example.com:8443": "*.example.com:8443", "localhost:11434": "localhost:11434",
		"127.0.0.1": "127.0.0.1", "127.0.0.1:80": "127.0.0.1:80", "[::1]": "[::1]", "[::1]:80": "[::1]:80", "[0:0::1]": "[::1]",
		"my_host": "my_host", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"*.example.co.uk": "*.example.co.uk", "*.mine.github.io": "*.mine.github.io", "*.internal": "*.internal", "*.svc.cluster.local": "*.svc.cluster.local",
		"*.com": "", "*.COM:443": "", "*.com.": "", "*.co.uk": "", "*.github.io": "", "*.xn--p1ai": "", "com": "com", "github.io": "github.io",
		"": "", "*": "", "*.": "", "*.*.example.com": "", "a.*.example.com": "", "https://example.com": "", "example.com/": "", "example.com/x": "",
		"user@example.com": "", "example.com:": "", "example.com:0": "", "example.com:65536": "", "example.com:+1": "", "example.com:080": "",
		"::1": "", "[::1": "", "[127.0.0.1]": "", "[fe80::1%eth0]": "", "exa mple.com": "", ".example.com": "", "a..example.com": "",
		"-a.example.com": "", "bücher.example": "", "*.127.0.0.1": "", "example.com?x": "", "example.com#x": "", "a\nb": "",
		strings.Repeat("a", 64) + ".example.com": "",
	} {
		got, problem := parseHost(text)
		if got != want || (problem == "") != (want != "") {
			t.Errorf("%q: %q %s", text, got, problem)
		}
	}
}

func FuzzHosts(f *testing.F) {
	for _, text := range []string{"a.example.com:80", "*.example.com", "[::1]:1", "https://x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pattern, problem := parseHost(text)
		if problem != "" {
			return
		}
		if again, problem := parseHost(pattern); again != pattern || problem != "" {
			t.Errorf("%q becomes %q, which becomes %q %s", text, pattern, again, problem)
		}
		if strings.ContainsAny(pattern, "/@?# \n\t\\") {
			t.Errorf("%q becomes %q", text, pattern)
		}
	})
}
