package postgres

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNormaliseReadsURLsAsLibpqDoes(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]struct {
		dsn           string
		opportunistic bool
	}{
		"postgres://u:p@db/name":                       {"postgres://u:p@db/name", true},
		"postgres://u:p@db/name?sslmode=prefer":        {"postgres://u:p@db/name", true},
		"postgres://u:p@db/name?sslmode=disable":       {"postgres://u:p@db/name?sslmode=disable", false},
		"postgres://u:p@db/name?sslmode=verify-full":   {"postgres://u:p@db/name?sslmode=verify-full", false},
		"postgres://u@/name?host=/run/pg":              {"postgres://u@/name?host=%2Frun%2Fpg%2F.s.PGSQL.5432", true},
		"postgres://u@/name?host=/run/pg/&port=6000":   {"postgres://u@/name?host=%2Frun%2Fpg%2F.s.PGSQL.6000", true},
		"postgres://u@/name?host=/run/pg/.s.PGSQL.1":   {"postgres://u@/name?host=%2Frun%2Fpg%2F.s.PGSQL.1", true},
		"postgres://db/name?search_path=x&sslmode=":    {"postgres://db/name?search_path=x", true},
		"postgres://db/name?sslmode=&sslrootcert=ca.x": {"postgres://db/name?sslrootcert=ca.x", false},
	} {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if got := normalise(u); got != want.opportunistic || u.String() != want.dsn {
			t.Errorf("%s became %s, %v", dsn, u, got)
		}
	}
}

func TestOpenNeverShowsThePassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://u:hidden@%zz/db", "mysql://u:hidden@h/db", "postgres://u:hidden@h/db?sslmode=odd"} {
		_, err := Open(dsn, 1)
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	s := start(t, room(t))
	defer s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	// Servers that start at once: one migrates, all succeed.
	var starting sync.WaitGroup
	for range 3 {
		starting.Go(func() {
			if _, err := MigrateUp(ctx, s.DSN()); err != nil {
				t.Errorf("migrate at once: %v", err)
			}
		})
	}
	starting.Wait()
	all, err := Migrations(ctx, s.DSN())
	if err != nil || len(all) == 0 {
		t.Fatalf("%d migrations: %v", len(all), err)
	}
	for _, m := range all {
		if !m.Applied || m.At.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}

	for range all {
		if _, err := MigrateDown(ctx, s.DSN()); err != nil {
			t.Fatal(err)
		}
	}
	if undone, err := MigrateDown(ctx, s.DSN()); err == nil {
		t.Errorf("took back %q when nothing was left", undone)
	}
	if n, err := MigrateUp(ctx, s.DSN()); err != nil || n != len(all) {
		t.Errorf("applied %d of %d again: %v", n, len(all), err)
	}

	db := open(t, s.DSN())
	if _, err := db.ExecContext(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (90000, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := MigrateUp(ctx, s.DSN()); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("a newer schema: %v", err)
	}
}
