package server_test

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/api"
	"github.com/patchbay-io/patchbay/api/apitest"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// withoutIndex are tables that may be read whole, since they stay small.
var withoutIndex = map[string]string{
	"lease":               "a row a server",
	"execution_by_other":  "executions of the last moment, which housekeeping takes out of it",
	"execution_delta":     "what housekeeping folds into the counts every second",
	"file_draft":          "files that are being written",
	"execution_retention": "whether any is set is asked once an hour, which begins after a minute",
	"oauth_refresh":       "refreshes that go on",
	"exclusive_use":       "what runs have to themselves at the moment",
}

// No operation of the API, and nothing that the server does beside, reads a whole table: where an index can serve a
// query, Postgres is told to use it.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(dsn, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(`ALTER DATABASE ? SET enable_seqscan = off`, bun.Ident(strings.Trim(address.Path, "/"))); err != nil {
		t.Fatal(err)
	}
	checker, err := apitest.New(api.Document)
	if err != nil {
		t.Fatal(err)
	}
	_, i := withGitHub(t, "PATCHBAY_DATABASE_URL="+dsn, "PATCHBAY_LOCAL_ACCOUNTS=true", "PATCHBAY_ADMIN_USERS="+alice, "PATCHBAY_STORE_PUBLIC=true")
	if _, err := db.Exec(`SELECT pg_stat_reset()`); err != nil { // migrations read what they change
		t.Fatal(err)
	}
	f := &fuzzer{
		instance: i, checker: checker, answered: map[string]map[int]int{},
		values: &values{Rand: rand.New(rand.NewPCG(1, 0)), known: map[string][]string{}},
	}
	operations := f.operations()
	slices.SortStableFunc(operations, func(a, b operation) int { return strings.Compare(b.method, a.method) }) // DELETE last
	for _, good := range []bool{true, false, false} {
		f.restock()
		f.good = good
		for _, o := range operations {
			f.ask(o)
		}
	}
	i.terminate() // a connection that ends tells the statistics all that it did
	var read []struct {
		Table   string `bun:"relname"`
		SeqScan int    `bun:"seq_scan"`
		IdxScan int    `bun:"idx_scan"`
	}
	if err := db.NewRaw(`SELECT relname, seq_scan, coalesce(idx_scan, 0) AS idx_scan FROM pg_stat_user_tables`).Scan(t.Context(), &read); err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, r := range read {
		used += r.IdxScan
		if r.SeqScan > 0 && withoutIndex[r.Table] == "" && r.Table != "goose_db_version" {
			t.Errorf("%s was read whole %d times", r.Table, r.SeqScan)
		}
	}
	if used == 0 {
		t.Error("no index was used at all: the statistics are empty")
	}
}
