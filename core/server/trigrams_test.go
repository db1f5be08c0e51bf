package server_test

import (
	"net/url"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
	"github.com/patchbay-io/patchbay/core/store"
)

// A role that may not create extensions migrates all the same, and the store does without.
func TestStoreDoesWithoutTrigrams(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	admin, err := postgres.Open(dsn, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	for _, statement := range []string{
		"CREATE ROLE plain LOGIN PASSWORD 'plain'",
		"CREATE DATABASE without TEMPLATE template0",
	} {
		if _, err := admin.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, statement := range []string{"DROP DATABASE without WITH (FORCE)", "DROP ROLE plain"} {
			if _, err := admin.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	}()
	as := func(user *url.Userinfo) string {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.User, u.Path = user, "/without"
		return u.String()
	}
	there, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := postgres.Open(as(there.User), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Exec("GRANT ALL ON SCHEMA public TO plain"); err != nil {
		t.Fatal(err)
	}
	_ = owner.Close()
	plain := as(url.UserPassword("plain", "plain"))
	if _, err := postgres.MigrateUp(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(plain, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var made bool
	if err := db.QueryRow(`SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')`).Scan(&made); err != nil || made {
		t.Errorf("the role made the extension, so that the test shows nothing: %t %v", made, err)
	}
	s, err := store.New(t.Context(), store.Config{DB: db, Logger: hclog.NewNullLogger(), Runs: execution.ByOthers{DB: db}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.List(t.Context(), store.Filter{Search: "anything", Limit: 5}); err != nil {
		t.Error(err)
	}
}
