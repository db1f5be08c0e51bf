package cli

import (
	"context"
	"fmt"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/server"
)

type migrateCommand struct {
	Up     migrateUp     `cmd:"" help:"Apply what is missing."`
	Down   migrateDown   `cmd:"" help:"Take the newest migration back, with the data in its tables."`
	Status migrateStatus `cmd:"" help:"Show which migrations the database has."`
}

type (
	migrateUp     struct{}
	migrateDown   struct{}
	migrateStatus struct{}
)

// Run is patchbay migrate up.
func (migrateUp) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return server.WithDatabase(ctx, settings, newLogger(settings, t.err), func(dsn string) error {
		applied, err := postgres.MigrateUp(ctx, dsn)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "applied %d migrations\n", applied)
		return err
	})
}

// Run is patchbay migrate down.
func (migrateDown) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return server.WithDatabase(ctx, settings, newLogger(settings, t.err), func(dsn string) error {
		undone, err := postgres.MigrateDown(ctx, dsn)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "took back %s\n", undone)
		return err
	})
}

// Run is patchbay migrate status.
func (migrateStatus) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return server.WithDatabase(ctx, settings, newLogger(settings, t.err), func(dsn string) error {
		all, err := postgres.Migrations(ctx, dsn)
		if err != nil {
			return err
		}
		for _, m := range all {
			state := "pending"
			if m.Applied {
				state = "applied " + m.At.UTC().Format("2006-01-02 15:04:05 MST")
			}
			if _, err := fmt.Fprintf(t.out, "%-40s %s\n", m.Name, state); err != nil {
				return err
			}
		}
		return nil
	})
}
