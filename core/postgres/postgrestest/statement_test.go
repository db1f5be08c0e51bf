package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/patchbay-io/patchbay/core/postgres"
)

func TestStatement(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := DB(t)
	db.SetMaxOpenConns(1)
	s := postgres.NewStatement(db, `SELECT n, $2::text FROM unnest($1::integer[]) AS n WHERE n > 1`)
	defer s.Close()
	row := func(list, text string) (int, string, error) {
		var n int
		var back string
		err := s.Row(ctx, []any{list, text}, &n, &back)
		return n, back, err
	}
	wants := func(when string) {
		t.Helper()
		if n, text, err := row("{1,2}", `it's \ "so"`); err != nil || n != 2 || text != `it's \ "so"` {
			t.Errorf("%s: %d, %q, %v", when, n, text, err)
		}
		if _, _, err := row("{1}", ""); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("%s, without a row: %v", when, err)
		}
	}
	prepared := func() (n int) {
		t.Helper()
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_prepared_statements`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	wants("prepared")
	if n := prepared(); n != 1 {
		t.Errorf("%d statements are prepared", n)
	}
	// What a pooler does that gives each transaction another connection.
	if _, err := db.ExecContext(ctx, `DEALLOCATE ALL`); err != nil {
		t.Fatal(err)
	}
	wants("behind a pooler")
	if n := prepared(); n != 0 {
		t.Errorf("%d statements are prepared behind a pooler", n)
	}
	if _, _, err := row("{x}", ""); err == nil {
		t.Error("an argument of the wrong form is taken")
	}
}
