package server

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/postgres"
)

// WithDatabase gives what a server on these settings would use as its database, without a server: the private
// Postgres is started for it and stopped behind it. A running server's data folder is refused.
func WithDatabase(ctx context.Context, s *config.Settings, log hclog.Logger, use func(dsn string) error) error {
	if s.DatabaseURL != "" {
		return use(s.DatabaseDirectURL)
	}
	data, err := openDataDir(ctx, s.DataDir, aCommand, log)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer data.close()
	pg, err := postgres.Start(ctx, postgres.Config{Dir: data.part("postgres"), Logger: log.Named("postgres")})
	if err != nil {
		return err
	}
	defer pg.Stop()
	return use(pg.DSN())
}
