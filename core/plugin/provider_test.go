package plugin

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func authorize(provider string) ProviderCall {
	return ProviderCall{Call: &proto.ProviderCall{Provider: provider, Operation: &proto.ProviderCall_AuthorizationUrl{
		AuthorizationUrl: &proto.AuthorizationUrl{RedirectUri: "https://here/callback", State: "st", CodeChallenge: "ch"},
	}}}
}

func TestProvidersComeFromPluginsAndFromBlocks(t *testing.T) {
	t.Parallel()
	h := startWith(t, map[string]string{"client_id": "id", "client_secret": "s3cret", "odd_client_id": "id"}, "idp", "good")
	var names []string
	for _, p := range h.Providers() {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); !strings.HasPrefix(got, "idp odd ") || !slices.Contains(names, "keys") || !slices.Contains(names, "vendor") {
		t.Errorf("the providers are %s", got)
	}
	idp, _ := h.Provider("idp")
	if o := idp.OAuth; idp.DisplayName != "An IdP" || !o.Configured() || !o.PKCE || !slices.Equal(o.DefaultScopes, []string{"a", "b"}) {
		t.Errorf("%+v %+v", idp, o)
	}
	odd, _ := h.Provider("odd")
	if o := odd.OAuth; o.Configured() || !slices.Equal(o.Missing, []string{"odd_client_secret"}) || o.Plugin != "idp" {
		t.Errorf("%+v", o)
	}
	if keys, _ := h.Provider("keys"); keys.OAuth != nil || !keys.APIKey || !keys.Serialised {
		t.Errorf("%+v", keys)
	}
	if vendor, ok := h.Provider("vendor"); !ok || vendor.DisplayName != "Vendor" || vendor.OAuth != nil || !vendor.APIKey {
		t.Errorf("a provider that only blocks name: %+v", vendor)
	}
}

func TestProvidersDoTheirOperationsInTheirPlugin(t *testing.T) {
	t.Parallel()
	h := startWith(t, map[string]string{"client_id": "id", "client_secret": "s3cret"}, "idp")
	result, err := h.Provide(t.Context(), authorize("idp"))
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(result.GetAuthorizationUrl())
	if err != nil {
		t.Fatal(err)
	}
	if q := address.Query(); address.Host != "idp.example" || q.Get("state") != "st" || q.Get("scope") != "a b" || q.Get("code_challenge") != "ch" || q.Get("client_id") != "id" {
		t.Errorf("the authorization URL is %s", address)
	}
	for provider, kind := range map[string]proto.ErrorKind{
		"keys": proto.ErrorKind_ERROR_KIND_PERMANENT, "nobody": proto.ErrorKind_ERROR_KIND_PERMANENT, "odd": proto.ErrorKind_ERROR_KIND_TEMPORARY,
	} {
		_, err := h.Provide(t.Context(), authorize(provider))
		if failed, ok := errors.AsType[*ProviderError](err); !ok || failed.Kind != kind || strings.Contains(failed.Message, "s3cret") {
			t.Errorf("%s: %v", provider, err)
		}
	}
	// Without services no request is made.
	_, err = h.Provide(t.Context(), ProviderCall{Call: &proto.ProviderCall{Provider: "idp", Operation: &proto.ProviderCall_RefreshToken{
		RefreshToken: &proto.RefreshToken{RefreshToken: "r"},
	}}})
	if failed, ok := errors.AsType[*ProviderError](err); !ok || !strings.Contains(failed.Message, "no services") {
		t.Errorf("%v", err)
	}
}

func TestTwoPluginsCannotBeTheSameProvider(t *testing.T) {
	t.Parallel()
	h := startWith(t, nil, "idp", "idptwin")
	for _, s := range h.Plugins() {
		switch {
		case s.Name == "idp" && s.State != Ready, s.Name == "idptwin" && (s.State != Failed || !strings.Contains(s.Error, `provider "odd" of plugin idptwin is described by plugin idp`)):
			t.Errorf("%s is %s: %s", s.Name, s.State, s.Error)
		}
	}
}

func TestDescriptionsOfProvidersAreChecked(t *testing.T) {
	t.Parallel()
	good := func() *proto.ProviderDescription {
		return &proto.ProviderDescription{Name: "p", DisplayName: "P", Oauth: &proto.OAuthDescription{RequiredSettings: []string{"id"}}}
	}
	describe := func(all ...*proto.ProviderDescription) error {
		_, err := check(Manifest{Name: "x", Version: "1.0.0"}, &proto.DescribeResponse{
			Name: "x", Version: "1.0.0", ProtocolVersion: 1, Settings: []*proto.SettingDescription{{Name: "id"}}, Providers: all,
		})
		return err
	}
	if err := describe(good()); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*proto.ProviderDescription){
		"of the form":    func(p *proto.ProviderDescription) { p.Name = "P q" },
		"display name":   func(p *proto.ProviderDescription) { p.DisplayName = "" },
		"not declared":   func(p *proto.ProviderDescription) { p.Oauth.RequiredSettings = []string{"key"} },
		"default scopes": func(p *proto.ProviderDescription) { p.Oauth.DefaultScopes = []string{strings.Repeat("s", 2000)} },
	} {
		p := good()
		change(p)
		if err := describe(p); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if err := describe(good(), good()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two of a name: %v", err)
	}
}

// startWith starts plugins of which each has these settings.
func startWith(t *testing.T, settings map[string]string, names ...string) *testHost {
	t.Helper()
	return startHost(t, Config{Dirs: []string{install(t, names...)}, Settings: func(string) (map[string]string, error) { return settings, nil }}, testPace())
}
