package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/oauth"
	"github.com/patchbay-io/patchbay/core/postgres"
)

// openVault opens the vault of a database with the keys that are set, or with those of the data folder, which are made
// at the first start.
func openVault(ctx context.Context, s *config.Settings, db *bun.DB, log hclog.Logger) (*credential.Vault, error) {
	kept := filepath.Join(s.DataDir, "server", keysFile)
	keys, err := encryptionKeys(ctx, s, db, kept)
	var vault *credential.Vault
	if err == nil {
		vault, err = credential.New(ctx, db, keys, log.Named("credential"))
	}
	if _, lost := errors.AsType[*credential.LostKeyError](err); lost {
		err = fmt.Errorf("%w; put that key behind the first one of PATCHBAY_ENCRYPTION_KEYS, or restore %s from a backup", err, kept)
	}
	return vault, err
}

func encryptionKeys(ctx context.Context, s *config.Settings, db *bun.DB, kept string) (*credential.Keyring, error) {
	switch {
	case s.EncryptionKeysFile != "": // the file may change, so that what was read of it is not enough
		return credential.FileKeys(s.EncryptionKeysFile)
	case s.EncryptionKeys != "":
		keys, err := credential.FixedKeys(s.EncryptionKeys)
		if err != nil {
			return nil, fmt.Errorf("PATCHBAY_ENCRYPTION_KEYS: %w", err)
		}
		return keys, nil
	}
	return credential.NewFileKeys(ctx, db, kept)
}

// freshCredentials are those of the vault, with tokens that do not end while a block uses them.
type freshCredentials struct {
	*credential.Vault
	tokens *oauth.Service
}

// Open is the vault's, after a refresh where one is due.
func (f freshCredentials) Open(ctx context.Context, user, id string) (*credential.Credential, *credential.Secret, error) {
	return f.tokens.Open(ctx, user, id)
}

// WithVault gives the vault that a server on these settings would use, without a server. A running server's data folder
// is refused, unless the database is one of the user's.
func WithVault(ctx context.Context, s *config.Settings, log hclog.Logger, use func(*credential.Vault) error) error {
	return WithDatabase(ctx, s, log, func(dsn string) error {
		db, err := postgres.Open(dsn, 2)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		vault, err := openVault(ctx, s, db, log)
		if err != nil {
			return err
		}
		defer vault.Close()
		return use(vault)
	})
}
