package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/patchbay-io/patchbay/migrations"
)

// migrationTimeout bounds one statement of a migration.
const migrationTimeout = 30 * time.Minute

// ErrNewerSchema says that a newer Patchbay has migrated the database.
var ErrNewerSchema = errors.New("the database has a newer schema than this version of Patchbay knows")

// Migration is one step of the schema and whether the database has it.
type Migration struct {
	Version int64
	Name    string
	Applied bool
	At      time.Time
}

// MigrateUp applies what is missing and returns how many migrations that were. Of several servers that start at once
// one does it while the others wait. dsn must not lead through a pooler: the lock belongs to a session.
func MigrateUp(ctx context.Context, dsn string) (applied int, err error) {
	err = withMigrations(dsn, func(p *goose.Provider) error {
		if err := refuseNewer(ctx, p); err != nil {
			return err
		}
		results, err := p.Up(ctx)
		applied = len(results)
		if err != nil {
			return fmt.Errorf("apply migrations: %w", err)
		}
		return nil
	})
	return applied, err
}

// MigrateDown takes the newest migration back, with what was stored in its tables.
func MigrateDown(ctx context.Context, dsn string) (undone string, err error) {
	err = withMigrations(dsn, func(p *goose.Provider) error {
		if err := refuseNewer(ctx, p); err != nil {
			return err
		}
		result, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return errors.New("there is no migration to take back")
		}
		if err != nil {
			return fmt.Errorf("take a migration back: %w", err)
		}
		undone = result.Source.Path
		return nil
	})
	return undone, err
}

// Migrations lists the known migrations in their order.
func Migrations(ctx context.Context, dsn string) (all []Migration, err error) {
	err = withMigrations(dsn, func(p *goose.Provider) error {
		status, err := p.Status(ctx)
		if err != nil {
			return fmt.Errorf("read the state of the migrations: %w", err)
		}
		for _, m := range status {
			all = append(all, Migration{
				Version: m.Source.Version, Name: m.Source.Path,
				Applied: m.State == goose.StateApplied, At: m.AppliedAt,
			})
		}
		return nil
	})
	return all, err
}

func withMigrations(dsn string, do func(*goose.Provider) error) error {
	pool, err := openPool(dsn, migrationTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
	if err != nil {
		return fmt.Errorf("make the lock of the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, pool, migrations.Files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return do(provider)
}

func refuseNewer(ctx context.Context, p *goose.Provider) error {
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: it is at version %d, the newest known one is %d; run the version that made it, or a newer one",
			ErrNewerSchema, current, target)
	}
	return nil
}
