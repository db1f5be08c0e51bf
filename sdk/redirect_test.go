package sdk

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	seen := map[string]http.Header{}
	var away, home *httptest.Server
	away = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen["away"+r.URL.Path] = r.Header.Clone()
		http.Redirect(w, r, home.URL+"/again", http.StatusFound)
	}))
	defer away.Close()
	home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen["home"+r.URL.Path] = r.Header.Clone()
		switch r.URL.Path {
		case "/out":
			http.Redirect(w, r, "/step", http.StatusFound)
		case "/step":
			http.Redirect(w, r, away.URL+"/back", http.StatusFound)
		}
	}))
	defer home.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, home.URL+"/out?secret=e", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer a"}, "X-Api-Key": {"b"}, "Cookie": {"c=d"}, "Accept": {"text/plain"}}
	response, err := (&http.Client{CheckRedirect: checkRedirect}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	for where, kept := range map[string]bool{"home/out": true, "home/step": true, "away/back": false, "home/again": false} {
		h := seen[where]
		for _, name := range []string{"Authorization", "X-Api-Key", "Cookie"} {
			if (h.Get(name) != "") != kept {
				t.Errorf("%s: %s is %q", where, name, h.Get(name))
			}
		}
		if !kept && h.Get("Referer") != "" || h.Get("Accept") != "text/plain" {
			t.Errorf("%s: headers %v", where, h)
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	hits := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/", http.StatusFound)
	}))
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{CheckRedirect: checkRedirect}).Do(r)
	if err == nil || !strings.Contains(err.Error(), "more than 10 redirects") || hits != maxRedirects+1 {
		t.Errorf("%d requests, %v", hits, err)
	}
	if response != nil {
		_ = response.Body.Close()
	}
}
