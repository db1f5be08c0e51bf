package credential

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

const testBatch = 20

func openVault(t *testing.T, db *bun.DB, keys *Keyring) *Vault {
	t.Helper()
	v, err := New(t.Context(), db, keys, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	v.batch = testBatch
	return v
}

func newVault(t *testing.T) (*Vault, *bun.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption-keys")
	db := postgrestest.DB(t)
	keys, err := NewFileKeys(t.Context(), db, path)
	if err != nil {
		t.Fatal(err)
	}
	return openVault(t, db, keys), db, path
}

func mustCreate(t *testing.T, v *Vault, user string, d Draft) *Credential {
	t.Helper()
	c, err := v.Create(t.Context(), user, d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func key(provider, secret string) Draft {
	return Draft{Provider: provider, Type: APIKey, APIKey: secret}
}

func TestTheVaultKeepsEachType(t *testing.T) {
	t.Parallel()
	v, db, _ := newVault(t)
	const canary = "canary-91b2"
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for _, d := range []Draft{
		{Provider: "openai", Type: APIKey, Title: " Work ", APIKey: " " + canary + "\n", ExpiresAt: &later},
		{Provider: "smtp", Type: UserPassword, Username: "ann", Password: canary},
		{Provider: "http", Type: HostScoped, Host: "*.Example.com:8443", Headers: map[string]string{"X-Key": canary}},
	} {
		c := mustCreate(t, v, "ann", d)
		known, s, err := v.Open(t.Context(), "ann", c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s.APIKey+s.Password+s.Headers["X-Key"] != canary || known.ID != c.ID || known.Type != d.Type || known.Provider != d.Provider {
			t.Errorf("%+v", known)
		}
		switch c.Type {
		case APIKey:
			if c.Title != "Work" || !c.ExpiresAt.Equal(later) {
				t.Errorf("%+v", c)
			}
		case UserPassword:
			if c.Title != "smtp" || c.Username != "ann" || s.Username != "ann" {
				t.Errorf("%+v", c)
			}
		case HostScoped:
			if c.Host != "*.example.com:8443" {
				t.Errorf("%+v", c)
			}
		}
		if missing, ok := c.Covers([]string{"repo"}); !ok {
			t.Errorf("%s lacks the scopes %v", c.Type, missing)
		}
	}
	var dump string
	if err := db.QueryRowContext(t.Context(), `SELECT string_agg(credential::text || encode(sealed, 'escape'), ' ') FROM credential`).Scan(&dump); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(dump, canary) || !strings.Contains(dump, "openai") {
		t.Errorf("the database holds %s", dump)
	}
}

func TestScopesOfAToken(t *testing.T) {
	t.Parallel()
	c := &Credential{Type: OAuth2, Scopes: []string{"repo", "user"}}
	if missing, ok := c.Covers([]string{"user", "admin", "gist"}); ok || !slices.Equal(missing, []string{"admin", "gist"}) {
		t.Errorf("%v %v", missing, ok)
	}
	if _, ok := c.Covers([]string{"repo"}); !ok {
		t.Error("it covers what it has")
	}
}

func TestCredentialsAreTheirUsersAlone(t *testing.T) {
	t.Parallel()
	v, _, _ := newVault(t)
	ctx := t.Context()
	c := mustCreate(t, v, "ann", key("openai", "sk"))
	yes := true
	for name, attempt := range map[string]func(user, id string) error{
		"find":   func(user, id string) error { _, err := v.Find(ctx, user, id); return err },
		"open":   func(user, id string) error { _, _, err := v.Open(ctx, user, id); return err },
		"update": func(user, id string) error { _, err := v.Update(ctx, user, id, Change{Default: &yes}); return err },
		"replace": func(user, id string) error {
			_, err := v.Replace(ctx, v.db, &Credential{ID: id, UserID: user}, &Secret{})
			return err
		},
		"delete": func(user, id string) error { _, err := v.Delete(ctx, user, id); return err },
	} {
		for _, id := range []string{c.ID, "01920000-0000-7000-8000-000000000000"} {
			if err := attempt("bob", id); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s of %s: %v", name, id, err)
			}
		}
		if name != "replace" {
			for _, id := range []string{"", "x", strings.ToUpper(c.ID) + "0", "{" + c.ID + "}", "urn:uuid:" + c.ID} {
				if err := attempt("ann", id); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s of %q: %v", name, id, err)
				}
			}
		}
	}
	if list, total, err := v.List(ctx, "bob", "\x00", 0, 0); err != nil || total != 0 || len(list) != 0 {
		t.Errorf("of no provider: %v %d %v", list, total, err)
	}
	if list, total, err := v.List(ctx, "bob", "", 0, 0); err != nil || total != 0 || len(list) != 0 {
		t.Errorf("bob has %v %v", list, err)
	}
	if got, err := v.Find(ctx, "ann", c.ID); err != nil || got.Default || !got.UpdatedAt.Equal(c.UpdatedAt) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestRowsCannotBeSwapped(t *testing.T) {
	t.Parallel()
	v, db, _ := newVault(t)
	ann, bob := mustCreate(t, v, "ann", key("openai", "sk-ann")), mustCreate(t, v, "bob", key("openai", "sk-bob"))
	mine := mustCreate(t, v, "bob", key("openai", "sk-bob-2"))
	for name, statement := range map[string]string{
		"somebody else's secret": fmt.Sprintf(`UPDATE credential SET sealed = (SELECT sealed FROM credential WHERE id = '%s') WHERE id = '%s'`, ann.ID, bob.ID),
		"one's own other secret": fmt.Sprintf(`UPDATE credential SET sealed = (SELECT sealed FROM credential WHERE id = '%s') WHERE id = '%s'`, mine.ID, bob.ID),
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if _, s, err := v.Open(t.Context(), "bob", bob.ID); !isDamaged(err) || s != nil || strings.Contains(err.Error(), "sk-") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE credential SET user_id = 'bob' WHERE id = ?`, ann.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Open(t.Context(), "bob", ann.ID); !isDamaged(err) {
		t.Errorf("a row that was given to another user: %v", err)
	}
	if _, err := v.Delete(t.Context(), "bob", ann.ID); err != nil {
		t.Errorf("it cannot be deleted: %v", err)
	}
}

func TestDamagedCredentialsAreToldFromFaults(t *testing.T) {
	t.Parallel()
	v, db, _ := newVault(t)
	for name, statement := range map[string]string{
		"cut off":          `UPDATE credential SET sealed = substring(sealed, 1, 10) WHERE id = ?`,
		"empty":            `UPDATE credential SET sealed = '' WHERE id = ?`,
		"of a lost key":    `UPDATE credential SET key_id = '00000000' WHERE id = ?`,
		"a bit is another": `UPDATE credential SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1) WHERE id = ?`,
	} {
		c := mustCreate(t, v, "ann", key("openai", "sk-ann"))
		if _, err := db.ExecContext(t.Context(), statement, c.ID); err != nil {
			t.Fatal(err)
		}
		_, _, err := v.Open(t.Context(), "ann", c.ID)
		if !isDamaged(err) || !strings.Contains(err.Error(), c.ID) || !strings.Contains(err.Error(), c.Title) || strings.Contains(err.Error(), "00000000") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := v.Delete(t.Context(), "ann", c.ID); err != nil {
			t.Errorf("%s: it cannot be deleted: %v", name, err)
		}
	}
}

// Whoever can write rows, and cannot decrypt, must not have a secret sent to somebody else.
func TestASecretIsForWhatItWasStoredFor(t *testing.T) {
	t.Parallel()
	v, db, _ := newVault(t)
	ctx := t.Context()
	site := mustCreate(t, v, "ann", Draft{Provider: "http", Type: HostScoped, Host: "api.example.com", Headers: map[string]string{"X-Key": "v"}})
	account, err := v.Connect(ctx, Credential{UserID: "ann", Provider: "github", Title: "t"}, "42", &Secret{AccessToken: "at"})
	if err != nil {
		t.Fatal(err)
	}
	for change, c := range map[string]*Credential{"host = 'evil.example'": site, "provider = 'openai'": site, "type = 'api_key'": site, "provider = 'evil'": account} {
		back := fmt.Sprintf(`UPDATE credential SET host = '%s', provider = '%s', type = '%s' WHERE id = '%s'`, c.Host, c.Provider, c.Type, c.ID)
		for _, statement := range []string{`UPDATE credential SET ` + change + ` WHERE id = '` + c.ID + `'`, back} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
			if _, s, err := v.Open(ctx, "ann", c.ID); isDamaged(err) != (statement != back) || (s == nil) != (statement != back) {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	// Other secrets of the same credential, and other keys, change nothing in that.
	if _, err := v.Replace(ctx, db, account, &Secret{AccessToken: "at-2"}); err != nil {
		t.Fatal(err)
	}
	rotate(t, v)
	if _, s, err := v.Open(ctx, "ann", account.ID); err != nil || s.AccessToken != "at-2" {
		t.Error(err)
	}
	if _, err := db.ExecContext(ctx, `UPDATE credential SET host = 'evil.example' WHERE id = ?`, site.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Open(ctx, "ann", site.ID); !isDamaged(err) {
		t.Errorf("after a rotation: %v", err)
	}
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*Damaged](err)
	return ok
}

func TestListIsNewestFirst(t *testing.T) {
	t.Parallel()
	v, _, _ := newVault(t)
	var want []string
	for i := range 5 {
		want = append([]string{mustCreate(t, v, "ann", key([]string{"openai", "github"}[i%2], "k")).ID}, want...)
	}
	ids := func(provider string, offset, limit, total int) []string {
		t.Helper()
		list, n, err := v.List(t.Context(), "ann", provider, offset, limit)
		if err != nil || n != total {
			t.Fatalf("%d of %v, %v", n, list, err)
		}
		ids := []string{}
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		return ids
	}
	if got := ids("", 0, 0, 5); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := ids("", 1, 2, 5); !slices.Equal(got, want[1:3]) {
		t.Errorf("%v", got)
	}
	if got := ids("github", 0, 0, 2); !slices.Equal(got, []string{want[1], want[3]}) {
		t.Errorf("%v", got)
	}
}

func TestOneDefaultAProvider(t *testing.T) {
	t.Parallel()
	v, _, _ := newVault(t)
	yes, no, title := true, false, " New "
	a, b := mustCreate(t, v, "ann", key("openai", "a")), mustCreate(t, v, "ann", key("openai", "b"))
	other := mustCreate(t, v, "ann", Draft{Provider: "github", Type: APIKey, APIKey: "k", Default: true})
	if !other.Default {
		t.Error("it was made the default")
	}
	for _, id := range []string{a.ID, b.ID, b.ID} {
		if c, err := v.Update(t.Context(), "ann", id, Change{Default: &yes}); err != nil || !c.Default || c.Title != "openai" {
			t.Fatalf("%+v %v", c, err)
		}
	}
	list, _, err := v.List(t.Context(), "ann", "", 0, 0)
	if err != nil || !list[0].Default || !list[1].Default || list[2].Default {
		t.Errorf("%+v %v", list, err)
	}
	if c, err := v.Update(t.Context(), "ann", b.ID, Change{Default: &no, Title: &title}); err != nil || c.Default || c.Title != "New" {
		t.Errorf("%+v %v", c, err)
	}
	empty := " "
	var invalid *Invalid
	if _, err := v.Update(t.Context(), "ann", b.ID, Change{Title: &empty}); !errors.As(err, &invalid) {
		t.Errorf("%v", err)
	}
}

func TestReplacingTheSecretOfAnAccount(t *testing.T) {
	t.Parallel()
	v, db, _ := newVault(t)
	c, err := v.Add(t.Context(), Credential{UserID: "ann", Provider: "github", Type: OAuth2, Title: "GitHub", Scopes: []string{"user", "repo"}},
		&Secret{AccessToken: "a1", RefreshToken: "r1"})
	if err != nil || !slices.Equal(c.Scopes, []string{"repo", "user"}) {
		t.Fatalf("%+v %v", c, err)
	}
	if err := v.Reauthorize(t.Context(), db, "ann", c.ID, "the provider refused to refresh"); err != nil {
		t.Fatal(err)
	}
	if c, err = v.Find(t.Context(), "ann", c.ID); err != nil || c.Reauthorize == "" {
		t.Fatalf("%+v %v", c, err)
	}
	c.Reauthorize, c.Scopes, c.Username = "", []string{"repo"}, "ann-at-github"
	if c, err = v.Replace(t.Context(), db, c, &Secret{AccessToken: "a2", RefreshToken: "r2"}); err != nil || c.Username != "ann-at-github" || c.Title != "GitHub" {
		t.Fatalf("%+v %v", c, err)
	}
	if _, s, err := v.Open(t.Context(), "ann", c.ID); err != nil || s.AccessToken != "a2" || s.RefreshToken != "r2" {
		t.Error(err)
	}
	v.Used(t.Context(), c)
	if c, err = v.Find(t.Context(), "ann", c.ID); err != nil || c.LastUsedAt == nil {
		t.Errorf("%+v %v", c, err)
	}
}

type revoker func(c *Credential, s *Secret) (bool, error)

func (r revoker) Revoke(_ context.Context, c *Credential, s *Secret) (bool, error) { return r(c, s) }

func TestDeletingTellsTheProviderAndDeletesAnyway(t *testing.T) {
	t.Parallel()
	v, _, _ := newVault(t)
	var told []string
	v.RevokeWith(revoker(func(c *Credential, s *Secret) (bool, error) {
		told = append(told, s.AccessToken)
		if s.AccessToken == "bad" {
			return false, errors.New("the provider is down")
		}
		return true, nil
	}))
	for token, want := range map[string]bool{"good": true, "bad": false} {
		c, err := v.Add(t.Context(), Credential{UserID: "ann", Provider: "github", Type: OAuth2, Title: "t"}, &Secret{AccessToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if revoked, err := v.Delete(t.Context(), "ann", c.ID); err != nil || revoked != want {
			t.Errorf("%s: %v %v", token, revoked, err)
		}
		if _, err := v.Find(t.Context(), "ann", c.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", token, err)
		}
	}
	k := mustCreate(t, v, "ann", key("openai", "k"))
	if revoked, err := v.Delete(t.Context(), "ann", k.ID); err != nil || revoked || len(told) != 2 {
		t.Errorf("%v %v %v", revoked, err, told)
	}
}

func TestAServerThatLacksAKeyRefusesToStart(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	first, second := newKey(), newKey()
	fixed := func(text string) *Keyring {
		keys, err := FixedKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	openVault(t, db, fixed(second)) // an empty vault fits any key
	v := openVault(t, db, fixed(first))
	c := mustCreate(t, v, "ann", key("openai", "k"))
	_, err := New(t.Context(), db, fixed(second), hclog.NewNullLogger())
	var lost *LostKeyError
	if !errors.As(err, &lost) || lost.IDs[0] != v.keys.keys.Primary() || !strings.Contains(err.Error(), string(lost.IDs[0])) {
		t.Errorf("%v", err)
	}
	both := openVault(t, db, fixed(second+","+first))
	if _, s, err := both.Open(t.Context(), "ann", c.ID); err != nil || s.APIKey != "k" {
		t.Error(err)
	}
	mustCreate(t, both, "ann", key("openai", "k2"))
	// The first server would lock the other's users out, and itself is locked out of what they store.
	if _, err := v.Create(t.Context(), "ann", key("openai", "k3")); !errors.As(err, &lost) {
		t.Errorf("%v", err)
	}
}

func rotate(t *testing.T, v *Vault) (*Rotation, int) {
	t.Helper()
	r, err := v.Rotate(t.Context(), "")
	steps := 1
	for ; err == nil && r.After != ""; steps++ {
		r, err = v.Rotate(t.Context(), r.After)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, steps
}

func TestRotatingWhileAServerRuns(t *testing.T) {
	t.Parallel()
	v, db, path := newVault(t)
	const many = 2*testBatch + 30
	for i := range many {
		mustCreate(t, v, fmt.Sprint("user", i%7), key("openai", fmt.Sprint("k", i)))
	}
	keys, err := FileKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	other := openVault(t, db, keys) // another process
	stop := make(chan struct{})
	var users sync.WaitGroup
	for n := range 2 { // who goes on all the time, on both
		users.Go(func() {
			at := []*Vault{v, other}[n]
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c, err := at.Create(t.Context(), fmt.Sprint("busy", n), key("openai", fmt.Sprint("b", i)))
				if err != nil {
					t.Error(err)
					return
				}
				if c, err = at.Replace(t.Context(), db, c, &Secret{APIKey: fmt.Sprint("c", i)}); err != nil {
					t.Error(err)
				}
				if _, s, err := []*Vault{other, v}[n].Open(t.Context(), c.UserID, c.ID); err != nil || s.APIKey != fmt.Sprint("c", i) {
					t.Error(i, err)
				}
				if _, err := at.Delete(t.Context(), c.UserID, c.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	before := v.keys.keys.Primary()
	r, steps := rotate(t, other)
	close(stop)
	users.Wait()
	if r.Key == before || r.Left != 0 || r.Failed != 0 || steps < 3 {
		t.Errorf("%+v after %d steps", r, steps)
	}
	for i := range 7 {
		list, _, err := v.List(t.Context(), fmt.Sprint("user", i), "", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if _, s, err := v.Open(t.Context(), c.UserID, c.ID); err != nil || s.APIKey[0] != 'k' {
				t.Fatal(err)
			}
		}
	}
	// What is stored now is under the new key alone.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only, err := FixedKeys(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	openVault(t, db, only)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var lost *LostKeyError
	if _, err := NewFileKeys(t.Context(), db, path); !errors.As(err, &lost) {
		t.Errorf("a lost key is made anew: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("and kept")
	}
}

func TestARotationThatWasBrokenOffGoesOn(t *testing.T) {
	t.Parallel()
	v, db, _ := newVault(t)
	for i := range testBatch + 5 {
		mustCreate(t, v, "ann", key("openai", fmt.Sprint("k", i)))
	}
	first, err := v.Rotate(t.Context(), "")
	if err != nil || first.Left != 5 || first.After == "" || first.Total != testBatch+5 {
		t.Fatalf("%+v %v", first, err)
	}
	if r, _ := rotate(t, v); r.Key != first.Key || r.Left != 0 {
		t.Errorf("%+v", r)
	}
	if r, _ := rotate(t, v); r.Key == first.Key || r.Left != 0 {
		t.Errorf("all was done, and yet there is no new key: %+v", r)
	}
	// A damaged one is left, and told of.
	if _, err := db.ExecContext(t.Context(), `UPDATE credential SET sealed = 'junk' WHERE id = (SELECT id FROM credential ORDER BY id LIMIT 1)`); err != nil {
		t.Fatal(err)
	}
	r, err := v.Rotate(t.Context(), "")
	if err != nil || r.Failed != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestRotatingToKeysThatAreSet(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	old, young := newKey(), newKey()
	keys, err := FixedKeys(old)
	if err != nil {
		t.Fatal(err)
	}
	v := openVault(t, db, keys)
	mustCreate(t, v, "ann", key("openai", "k"))
	if _, err := v.Rotate(t.Context(), ""); !errors.Is(err, ErrFixedKeys) {
		t.Errorf("%v", err)
	}
	if keys, err = FixedKeys(young + "," + old); err != nil {
		t.Fatal(err)
	}
	if r, _ := rotate(t, openVault(t, db, keys)); r.Left != 0 || r.Key != mustKeys(t, young).Primary() {
		t.Errorf("%+v", r)
	}
}
