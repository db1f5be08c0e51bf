package postgrestest

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, IgnoreServer()...) }

func TestEachDatabaseIsMigratedAndItsOwn(t *testing.T) {
	t.Parallel()
	for range 3 {
		db := DB(t)
		var tables int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM graph").Scan(&tables); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE mine (n int)"); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkDSN(b *testing.B) {
	for b.Loop() {
		DSN(b)
	}
}
