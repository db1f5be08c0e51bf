package credential

import "testing"

func TestHostScopedCredentialsReachTheirHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host, address string
		want          bool
	}{
		{"api.example.com", "https://API.example.com./x", true},
		{"api.example.com", "http://api.example.com:80", true},
		{"api.example.com", "http://api.example.com:8080", false},
		{"api.example.com", "https://api.example.com.evil.test", false},
		{"*.example.com", "https://a.b.example.com", true},
		{"*.example.com", "https://example.com", false},
		{"api.example.com:8443", "https://api.example.com:8443", true},
		{"api.example.com:443", "https://api.example.com", true},
		{"api.example.com:443", "http://api.example.com", false},
		{"[::1]:9000", "http://[::1]:9000", true},
		{"api.example.com", "not an address", false},
		{"api.example.com", "%", false},
	} {
		credential := Credential{Type: HostScoped, Host: c.host}
		if got := credential.Reaches(c.address); got != c.want {
			t.Errorf("%s, %s: %v", c.host, c.address, got)
		}
	}
	if key := (&Credential{Type: APIKey}); !key.Reaches("x") {
		t.Error("a key is for any address")
	}
}
