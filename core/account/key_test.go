package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

func newService(t *testing.T, db *bun.DB) *Service {
	t.Helper()
	s := New(db, "UTC", hclog.NewNullLogger())
	t.Cleanup(s.Close)
	return s
}

func named(name string, permissions ...Permission) Draft {
	return Draft{Name: &name, Permissions: permissions}
}

func mustCreate(t *testing.T, s *Service, user string, d Draft) (*Key, string) {
	t.Helper()
	k, text, err := s.CreateKey(t.Context(), user, d)
	if err != nil {
		t.Fatal(err)
	}
	return k, text
}

func TestKeyIsShownOnceAndStoredAsDigest(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	s := newService(t, db)
	if err := s.Seen(t.Context(), "ann", "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	k, text := mustCreate(t, s, "ann", named(" CI ", ReadGraph, ExecuteGraph, ReadGraph))
	if len(text) != len("pb_")+43 || !strings.HasPrefix(text, "pb_") || k.Name != "CI" || len(k.Permissions) != 2 || k.Status != Active {
		t.Errorf("made %q, %+v", text, k)
	}
	var whole string
	if err := db.QueryRowContext(t.Context(), `SELECT api_key::text FROM api_key`).Scan(&whole); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(whole, text) || strings.Contains(whole, text[headLength:]) {
		t.Errorf("the key is stored: %s", whole)
	}
	got, err := s.VerifyKey(t.Context(), text)
	if err != nil || got.ID != k.ID || got.UserID != "ann" || got.Email() != "ann@example.com" {
		t.Errorf("verifies as %+v, %v", got, err)
	}
	for name, other := range map[string]string{
		"unknown": newKey(), "empty": "", "prefix": "pb_", "digest": fmt.Sprintf("pb_%x", k.digest), "longer": text + "A", "shorter": text[:len(text)-1],
		"id": k.ID, "other case": strings.ToUpper(text),
	} {
		if k, err := s.VerifyKey(t.Context(), other); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}

// What happens to a key counts from the next request on, although verified keys are remembered.
func TestChangesOfKeysTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t, postgrestest.DB(t))
	ctx := t.Context()
	k, text := mustCreate(t, s, "ann", named("k", ReadGraph))
	var told []string
	s.WhenChanged(func(user string) { told = append(told, user) })
	works := func(want bool) {
		t.Helper()
		if _, err := s.VerifyKey(ctx, text); want != (err == nil) || !want && !errors.Is(err, ErrRefused) {
			t.Fatalf("works: %v", err)
		}
	}
	works(true)
	if k, err := s.SuspendKey(ctx, "ann", k.ID); err != nil || k.Status != Suspended {
		t.Fatal(k, err)
	}
	works(false)
	if k, err := s.ActivateKey(ctx, "ann", k.ID); err != nil || k.Status != Active {
		t.Fatal(k, err)
	}
	works(true)
	if _, err := s.UpdateKey(ctx, "ann", k.ID, Draft{Permissions: []Permission{WriteGraph}}); err != nil {
		t.Fatal(err)
	}
	if k, err := s.VerifyKey(ctx, text); err != nil || len(k.Permissions) != 1 || k.Permissions[0] != WriteGraph {
		t.Fatal(k, err)
	}
	soon := time.Now().Add(30 * time.Millisecond)
	if k, err := s.UpdateKey(ctx, "ann", k.ID, Draft{ExpiresAt: &soon}); err != nil || k.Name != "k" || k.Permissions[0] != WriteGraph {
		t.Fatal(k, err)
	}
	works(true)
	eventually(t, "the key expires", func() bool { _, err := s.VerifyKey(ctx, text); return errors.Is(err, ErrRefused) })
	if _, err := s.UpdateKey(ctx, "ann", k.ID, Draft{Endless: true}); err != nil {
		t.Fatal(err)
	}
	works(true)
	if err := s.RevokeKey(ctx, "ann", k.ID); err != nil {
		t.Fatal(err)
	}
	works(false)
	if err := s.RevokeKey(ctx, "ann", k.ID); err != nil {
		t.Errorf("once more: %v", err)
	}
	if k, err := s.Key(ctx, "ann", k.ID); err != nil || k.Status != Revoked || k.RevokedAt == nil {
		t.Errorf("revoked: %+v, %v", k, err)
	}
	if _, err := s.ActivateKey(ctx, "ann", k.ID); !errors.Is(err, ErrConflict) {
		t.Errorf("a revoked key is activated: %v", err)
	}
	if _, err := s.UpdateKey(ctx, "ann", k.ID, named("x")); !errors.Is(err, ErrConflict) {
		t.Errorf("a revoked key is changed: %v", err)
	}
	if len(told) < 6 || slices.ContainsFunc(told, func(user string) bool { return user != "ann" }) {
		t.Errorf("who lets users in was told of %q", told)
	}
}

// Another server that has the key in its memory knows after the time of trust.
func TestRevocationReachesOtherServers(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	here, there := newService(t, db), newService(t, db)
	k, text := mustCreate(t, here, "ann", named("k", ReadGraph))
	if _, err := there.VerifyKey(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if err := here.RevokeKey(t.Context(), "ann", k.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other server refuses the key", func() bool {
		_, err := there.VerifyKey(t.Context(), text)
		return errors.Is(err, ErrRefused)
	})
}

func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.NewTimer(4 * trust)
	defer deadline.Stop()
	for tick := time.Tick(20 * time.Millisecond); !happened(); {
		select {
		case <-tick:
		case <-deadline.C:
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func TestForeignKeysAreNotThere(t *testing.T) {
	t.Parallel()
	s := newService(t, postgrestest.DB(t))
	ctx := t.Context()
	k, text := mustCreate(t, s, "ann", named("k", ReadGraph))
	for _, id := range []string{k.ID, "00000000-0000-4000-8000-000000000000", "x", "", strings.ToUpper(k.ID) + "0"} {
		_, byID := s.Key(ctx, "bob", id)
		_, update := s.UpdateKey(ctx, "bob", id, named("mine", WriteGraph))
		_, suspend := s.SuspendKey(ctx, "bob", id)
		_, activate := s.ActivateKey(ctx, "bob", id)
		for _, err := range []error{byID, update, suspend, activate, s.RevokeKey(ctx, "bob", id)} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if list, total, err := s.Keys(ctx, "bob", 0, 10); err != nil || total != 0 || len(list) != 0 {
		t.Errorf("bob has %v, %d, %v", list, total, err)
	}
	if got, err := s.VerifyKey(ctx, text); err != nil || got.Name != "k" || got.Permissions[0] != ReadGraph {
		t.Errorf("ann's key is %+v, %v", got, err)
	}
}

func TestDraftsAreChecked(t *testing.T) {
	t.Parallel()
	s := newService(t, postgrestest.DB(t))
	past := time.Now().Add(-time.Second)
	long, nul := strings.Repeat("x", maxDescription+1), "a\x00b"
	for field, d := range map[string]Draft{
		"name":        named("a\nb"),
		"permissions": named("k", "ROOT"),
		"expires_at":  {Name: &field0, ExpiresAt: &past},
		"description": {Name: &field0, Description: &nul},
	} {
		_, _, err := s.CreateKey(t.Context(), "ann", d)
		invalid, ok := errors.AsType[*Invalid](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[field] == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, d := range []Draft{{}, named("  "), named(strings.Repeat("x", maxName+1)), {Name: &field0, Description: &long}} {
		if _, _, err := s.CreateKey(t.Context(), "ann", d); err == nil {
			t.Errorf("%+v is taken", d)
		}
	}
	if _, total, err := s.Keys(t.Context(), "ann", 0, 10); err != nil || total != 0 {
		t.Errorf("%d keys were made, %v", total, err)
	}
}

var field0 = "k"

func TestKeysAreBoundedAndPaged(t *testing.T) {
	t.Parallel()
	s := newService(t, postgrestest.DB(t))
	var last *Key
	for i := range maxKeys {
		last, _ = mustCreate(t, s, "ann", named(fmt.Sprint(i)))
	}
	if _, _, err := s.CreateKey(t.Context(), "ann", named("one more")); !errors.Is(err, ErrConflict) {
		t.Errorf("one more key: %v", err)
	}
	if _, _, err := s.CreateKey(t.Context(), "bob", named("his")); err != nil {
		t.Errorf("another user: %v", err)
	}
	if err := s.RevokeKey(t.Context(), "ann", last.ID); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, "ann", named("one more"))
	list, total, err := s.Keys(t.Context(), "ann", 1, 2)
	if err != nil || total != maxKeys+1 || len(list) != 2 || list[0].Name != "99" || list[1].Name != "98" {
		t.Errorf("%d: %+v, %v", total, list, err)
	}
}

// Uses are written in one statement, later; until then they are shown from memory.
func TestLastUseIsWrittenLazily(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	s := New(db, "UTC", hclog.NewNullLogger())
	used, text := mustCreate(t, s, "ann", named("used"))
	_, other := mustCreate(t, s, "ann", named("other"))
	unused, _ := mustCreate(t, s, "ann", named("unused"))
	for range 3 {
		for _, key := range []string{text, other} {
			if _, err := s.VerifyKey(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if k, err := s.Key(t.Context(), "ann", used.ID); err != nil || k.LastUsedAt == nil || time.Since(*k.LastUsedAt) > time.Minute {
		t.Errorf("shown before it is written: %+v, %v", k, err)
	}
	written := func() (n int) {
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM api_key WHERE last_used_at > now() - interval '1 minute'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := written(); n != 0 {
		t.Errorf("%d uses were written with the request", n)
	}
	s.Close()
	if n := written(); n != 2 {
		t.Errorf("%d uses are written at the end", n)
	}
	if k, err := newService(t, db).Key(t.Context(), "ann", unused.ID); err != nil || k.LastUsedAt != nil {
		t.Errorf("unused: %+v, %v", k, err)
	}
}

// Uses that could not be written are written later.
func TestLastUseSurvivesAFailedWriting(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	s := newService(t, db)
	_, text := mustCreate(t, s, "ann", named("k"))
	if _, err := s.VerifyKey(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE api_key RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	if err := s.writeUses(t.Context()); err == nil {
		t.Fatal("written into nothing")
	}
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE away RENAME TO api_key`); err != nil {
		t.Fatal(err)
	}
	if err := s.writeUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM api_key WHERE last_used_at IS NOT NULL`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestUsersAreNotedOnceAndTheirEmailKept(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	s := newService(t, db)
	email := func() (text string) {
		if err := db.QueryRowContext(t.Context(), `SELECT email FROM account WHERE id = 'ann'`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct{ given, want string }{{"", ""}, {"a@x", "a@x"}, {"", "a@x"}, {"b@x", "b@x"}, {"b@x", "b@x"}} {
		if err := s.Seen(t.Context(), "ann", c.given); err != nil {
			t.Fatal(err)
		}
		if got := email(); got != c.want {
			t.Errorf("%q after %q", got, c.given)
		}
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM account`); err != nil {
		t.Fatal(err)
	}
	if err := s.Seen(t.Context(), "ann", "b@x"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM account`).Scan(&n); err != nil || n != 0 {
		t.Errorf("a known user was written once more: %d, %v", n, err)
	}
	if err := newService(t, db).Seen(t.Context(), "ann", ""); err != nil {
		t.Fatal(err)
	}
	if got := email(); got != "" {
		t.Errorf("%q of a user without email", got)
	}
}
