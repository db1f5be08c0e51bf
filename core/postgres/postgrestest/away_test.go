package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/patchbay-io/patchbay/core/postgres"
)

func TestAwayTellsAMissingDatabaseFromARefusal(t *testing.T) {
	t.Parallel()
	db := DB(t)
	_, refused := db.ExecContext(t.Context(), "SELECT 1/0")
	_, ended := db.ExecContext(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	nowhere, err := postgres.Open("postgres://u:p@127.0.0.1:1/x", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	_, unreachable := nowhere.ExecContext(t.Context(), "SELECT 1")
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"a refused statement", refused, false},
		{"an ended connection", fmt.Errorf("read: %w", ended), true},
		{"nobody listens", unreachable, true},
		{"no rows", sql.ErrNoRows, false},
		{"cancelled", context.Canceled, false},
		{"nothing", errors.New("x"), false},
	} {
		if got := postgres.Away(c.err); got != c.want {
			t.Errorf("%s: %v is %t", c.name, c.err, got)
		}
	}
}

// A full disk and too many connections pass as an outage does; what is wrong with a statement stays.
func TestAwayCountsWhatTheDatabaseLacks(t *testing.T) {
	t.Parallel()
	db := DB(t)
	for code, away := range map[string]bool{"53100": true, "53300": true, "57P03": true, "08006": true, "23505": false, "57014": false} {
		_, err := db.ExecContext(t.Context(), `DO $$ BEGIN RAISE EXCEPTION 'as of a test' USING ERRCODE = '`+code+`'; END $$`)
		if err == nil || postgres.Away(err) != away {
			t.Errorf("%s: %v is an outage: %t", code, err, !away)
		}
	}
}
