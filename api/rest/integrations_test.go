package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// newVaultFixture is the API with a vault, and the audit log.
func newVaultFixture(t *testing.T, changes ...func(*Config)) (*fixture, *bytes.Buffer) {
	t.Helper()
	db := postgrestest.DB(t)
	keys, err := credential.NewFileKeys(t.Context(), db, filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	vault, err := credential.New(t.Context(), db, keys, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vault.Close)
	return newKeyFixture(t, append(changes, func(c *Config) { c.Integrations = vault })...)
}

func (f *fixture) integrate(token, body string) string {
	f.t.Helper()
	w := f.as(token, "POST", "/api/v2/integrations", body)
	expect(f.t, w, 201)
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		f.t.Fatal(err)
	}
	return made.ID
}

func TestIntegrationsFromCreationToDeletion(t *testing.T) {
	t.Parallel()
	f, _ := newVaultFixture(t)
	ann := tokenOf(t, "ann")
	expect(t, f.as(ann, "GET", "/api/v2/integrations", ""), 200, `"integrations":[]`, `"total":0`)
	const canary = "canary-3e6d"
	expect(t, f.as(ann, "POST", "/api/v2/integrations", `{"provider":"openai","type":"api_key","title":"Work","api_key":"`+canary+`","expires_at":"2099-01-02T03:04:05Z"}`), 201,
		`"provider":"openai"`, `"type":"api_key"`, `"title":"Work"`, `"scopes":[]`, `"username":null`, `"expires_at":"2099-01-02T03:04:05Z"`, `"needs_reauthorization":false`)
	expect(t, f.as(ann, "POST", "/api/v2/integrations", `{"provider":"smtp","type":"user_password","username":"u","password":"`+canary+`"}`), 201,
		`"title":"smtp"`, `"username":"u"`)
	id := f.integrate(ann, `{"provider":"http","type":"host_scoped","host":"*.Example.com","headers":{"X-Key":"`+canary+`"}}`)
	path := "/api/v2/integrations/" + id
	expect(t, f.as(ann, "GET", path, ""), 200, id, `"host":"*.example.com"`, `"last_used_at":null`, `"is_default":false`)
	expect(t, f.as(ann, "PATCH", path, `{"title":"Mine","is_default":true}`), 200, `"title":"Mine"`, `"is_default":true`)
	for query, want := range map[string][]string{
		"":                    {`"total":3`, `"page_size":3`, `"total_pages":1`},
		"?provider=openai":    {`"total":1`, `"openai"`},
		"?page=2&page_size=2": {`"total":3`, `"page":2`, `"page_size":2`, `"total_pages":2`, `"openai"`},
		"?page=9":             {`"integrations":[]`, `"total":3`, `"page_size":20`},
	} {
		if body := expect(t, f.as(ann, "GET", "/api/v2/integrations"+query, ""), 200, want...); strings.Contains(body, canary) {
			t.Errorf("a secret is shown: %s", body)
		}
	}
	w := f.as(ann, "DELETE", path, "")
	expect(t, w, 204)
	if got := w.Header().Get("X-Token-Revoked"); got != "false" {
		t.Errorf("X-Token-Revoked: %q", got)
	}
	expect(t, f.as(ann, "DELETE", path, ""), 404, `"NOT_FOUND"`)
	expect(t, f.as(ann, "GET", path, ""), 404)
}

func TestIntegrationsThatAreRefused(t *testing.T) {
	t.Parallel()
	f, _ := newVaultFixture(t)
	ann := tokenOf(t, "ann")
	const canary = "canary-5c02"
	for body, want := range map[string]string{
		`{`:                                      "VALIDATION_ERROR",
		`null`:                                   "VALIDATION_ERROR",
		`{"provider":"openai"}`:                  `"type"`,
		`{"provider":"openai","type":"oauth2"}`:  `"type"`,
		`{"provider":"openai","type":"api_key"}`: `"api_key":"must not be empty"`,
		`{"provider":"Open AI","type":"api_key","api_key":"` + canary + `"}`:                                                    `"provider"`,
		`{"provider":"openai","type":"api_key","api_key":["` + canary + `"]}`:                                                   `"api_key"`,
		`{"provider":"http","type":"host_scoped","host":"https://example.com/` + canary + `","headers":{"X":"` + canary + `"}}`: `"host"`,
		`{"provider":"http","type":"host_scoped","host":"example.com","headers":{"X":"` + canary + `\r\nY: z"}}`:                `"headers"`,
		`{"provider":"http","type":"host_scoped","host":"example.com","headers":{"X":{"` + canary + `":1}}}`:                    `"headers`,
		`{"provider":"smtp","type":"user_password","username":"u","password":"` + canary + `","api_key":"` + canary + `"}`:      `"api_key"`,
		`{"provider":"openai","type":"api_key","api_key":"` + canary + `","title":"` + strings.Repeat("t", 101) + `"}`:          `"title"`,
		`{"provider":"openai","type":"api_key","api_key":"` + canary + strings.Repeat("k", 17<<10) + `"}`:                       `"api_key"`,
		`{"provider":"openai","type":"api_key","api_key":"` + canary + `","expires_at":"yesterday"}`:                            `"expires_at"`,
	} {
		if answer := expect(t, f.as(ann, "POST", "/api/v2/integrations", body), 422, want, "VALIDATION_ERROR"); strings.Contains(answer, canary) {
			t.Errorf("the answer to %s shows a secret: %s", body, answer)
		}
	}
	expect(t, f.as(ann, "GET", "/api/v2/integrations", ""), 200, `"total":0`)
	id := f.integrate(ann, `{"provider":"openai","type":"api_key","api_key":"k"}`)
	expect(t, f.as(ann, "PATCH", "/api/v2/integrations/"+id, `{"title":" "}`), 422, `"title"`)
	expect(t, f.as(ann, "PATCH", "/api/v2/integrations/"+id, `{"is_default":"yes"}`), 422, `"is_default"`)
	expect(t, f.as(ann, "GET", "/api/v2/integrations?page=0", ""), 422, `"page"`)
}

func TestIntegrationsAreTheirUsersAlone(t *testing.T) {
	t.Parallel()
	f, _ := newVaultFixture(t)
	id := f.integrate(tokenOf(t, "ann"), `{"provider":"openai","type":"api_key","api_key":"k"}`)
	for _, other := range []string{tokenOf(t, "bob"), tokenOf(t, "root", "role", "admin")} {
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			for _, path := range []string{id, "01920000-0000-7000-8000-000000000000", "x", "%2e%2e"} {
				body := ""
				if method == "PATCH" {
					body = `{"title":"mine"}`
				}
				expect(t, f.as(other, method, "/api/v2/integrations/"+path, body), 404, `"NOT_FOUND"`)
			}
		}
		expect(t, f.as(other, "GET", "/api/v2/integrations", ""), 200, `"total":0`)
	}
	expect(t, f.as(tokenOf(t, "ann"), "GET", "/api/v2/integrations/"+id, ""), 200, `"title":"openai"`)
}

func TestKeysNeedPermissionsForIntegrations(t *testing.T) {
	t.Parallel()
	f, log := newVaultFixture(t)
	ann := tokenOf(t, "ann")
	keys := map[string]newKey{}
	for _, p := range []string{"READ_INTEGRATIONS", "MANAGE_INTEGRATIONS", "DELETE_INTEGRATIONS"} {
		keys[p] = f.newKey(ann, p)
	}
	id := f.integrate(ann, `{"provider":"openai","type":"api_key","api_key":"canary-8d1f"}`)
	for _, c := range []struct{ method, path, body, needs string }{
		{"GET", "", "", "READ_INTEGRATIONS"},
		{"GET", "/" + id, "", "READ_INTEGRATIONS"},
		{"POST", "", `{"provider":"openai","type":"api_key","api_key":"canary-8d1f"}`, "MANAGE_INTEGRATIONS"},
		{"PATCH", "/" + id, `{"title":"t"}`, "MANAGE_INTEGRATIONS"},
		{"DELETE", "/" + id, "", "DELETE_INTEGRATIONS"},
	} {
		for p, k := range keys {
			w := f.as(k.Key, c.method, "/api/v2/integrations"+c.path, c.body)
			if p == c.needs {
				if w.Code >= 300 {
					t.Errorf("%s with %s: %d %s", c.method, p, w.Code, w.Body)
				}
				continue
			}
			expect(t, w, 403, fmt.Sprintf(`"missing_permissions":[%q]`, c.needs))
		}
	}
	for _, line := range []string{`"@message":"integration.create"`, `"@message":"integration.update"`, `"@message":"integration.delete"`, `"about":"` + id} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the audit log lacks %s:\n%s", line, log)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the audit log shows a secret:\n%s", log)
	}
}

func TestAdministratorsRotateEncryptionKeys(t *testing.T) {
	t.Parallel()
	f, _ := newVaultFixture(t)
	ann, admin := tokenOf(t, "ann"), tokenOf(t, "root", "role", "admin")
	f.integrate(ann, `{"provider":"openai","type":"api_key","api_key":"k"}`)
	const path = "/api/v2/admin/encryption-keys/rotate"
	expect(t, f.as(ann, "POST", path, "{}"), 403)
	for _, body := range []string{"", "{}", `{"after":""}`} {
		expect(t, f.as(admin, "POST", path, body), 200, `"total":1`, `"left":0`, `"failed":0`, `"after":null`)
	}
}

func TestIntegrationsOfTheEarlierVersion(t *testing.T) {
	t.Parallel()
	f, log := newVaultFixture(t)
	ann, bob := tokenOf(t, "ann"), tokenOf(t, "bob")
	const path, canary = "/api/v1/integrations/openai/credentials", "canary-1c77"
	expect(t, f.as(ann, "GET", path, ""), 200, `[]`)
	w := f.as(ann, "POST", path, `{"type":"api_key","title":"Work","api_key":"`+canary+`","expires_at":4000000000,"provider":"github"}`)
	expect(t, w, 201, `"provider":"openai"`, `"type":"api_key"`, `"title":"Work"`, `"scopes":[]`, `"username":null`, `"host":null`, `"expires_at":"2096-10-02T07:06:40Z"`)
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	if w.Header().Get("Deprecation") != "true" || !strings.Contains(w.Header().Get("Link"), "/api/v2/integrations>") {
		t.Errorf("headers %v", w.Header())
	}
	f.integrate(ann, `{"provider":"http","type":"host_scoped","host":"example.com","headers":{"X-Key":"`+canary+`"}}`)
	for where, want := range map[string][]string{
		path: {made.ID}, path + "/" + made.ID: {made.ID}, "/api/v1/integrations/credentials": {made.ID, `"host":"example.com"`}, "/api/v1/integrations/http/credentials": {`"host":"example.com"`},
	} {
		if body := expect(t, f.as(ann, "GET", where, ""), 200, want...); strings.Contains(body, canary) {
			t.Errorf("%s shows a secret: %s", where, body)
		}
	}
	for _, c := range [][2]string{{bob, path + "/" + made.ID}, {ann, "/api/v1/integrations/http/credentials/" + made.ID}} {
		expect(t, f.as(c[0], "GET", c[1], ""), 404, `"NOT_FOUND"`)
		expect(t, f.as(c[0], "DELETE", c[1], ""), 404, `"NOT_FOUND"`)
	}
	expect(t, f.as(bob, "GET", "/api/v1/integrations/credentials", ""), 200, `[]`)
	expect(t, f.as(ann, "POST", path, `{"type":"api_key","api_key":"k","expires_at":1}`), 422, `"expires_at"`)
	expect(t, f.as(ann, "POST", path, `{"type":"oauth2"}`), 422, `"type"`)
	expect(t, f.as(f.newKey(ann, "READ_INTEGRATIONS").Key, "DELETE", path+"/"+made.ID, ""), 403)
	expect(t, f.as(ann, "DELETE", path+"/"+made.ID, ""), 200, `{"deleted":true,"revoked":null}`)
	expect(t, f.as(ann, "DELETE", path+"/"+made.ID, ""), 404)
	if strings.Contains(log.String(), canary) || !strings.Contains(log.String(), `"about":"`+made.ID) {
		t.Errorf("the audit log: %s", log)
	}
}

// The external API keeps credentials with keys, as it did.
func TestIntegrationsOfTheExternalAPI(t *testing.T) {
	t.Parallel()
	f, log := newVaultFixture(t, func(c *Config) { c.Connections = &connections{} })
	ann := tokenOf(t, "ann")
	reads, stores, deletes := f.newKey(ann, "READ_INTEGRATIONS").Key, f.newKey(ann, "MANAGE_INTEGRATIONS").Key, f.newKey(ann, "DELETE_INTEGRATIONS").Key
	const base, canary = "/external-api/v1/integrations", "canary-5e21"
	expect(t, f.as(reads, "GET", base+"/providers", ""), 200, `"name":"github"`, `"supports_oauth":true`, `"supports_api_key":true`)
	body := `{"type":"api_key","title":"Work","api_key":"` + canary + `"}`
	expect(t, f.as(reads, "POST", base+"/openai/credentials", body), 403, `"missing_permissions":["MANAGE_INTEGRATIONS"]`)
	var made Integration
	if err := json.Unmarshal([]byte(expect(t, f.as(stores, "POST", base+"/openai/credentials", body), 201)), &made); err != nil {
		t.Fatal(err)
	}
	if made.Provider != "openai" || made.Title != "Work" {
		t.Errorf("made %+v", made)
	}
	expect(t, f.as(stores, "GET", base+"/credentials", ""), 403)
	if list := expect(t, f.as(reads, "GET", base+"/credentials", ""), 200, made.Id); strings.Contains(list, canary) {
		t.Errorf("the list shows a secret: %s", list)
	}
	path := base + "/openai/credentials/" + made.Id
	expect(t, f.as(stores, "DELETE", path, ""), 403)
	expect(t, f.as(deletes, "DELETE", base+"/github/credentials/"+made.Id, ""), 404)
	expect(t, f.as(deletes, "DELETE", path, ""), 200, `{"deleted":true,"revoked":null}`)
	expect(t, f.as(deletes, "DELETE", path, ""), 404)
	if strings.Contains(log.String(), canary) || !strings.Contains(log.String(), `"about":"`+made.Id) {
		t.Errorf("the audit log: %s", log)
	}
}
