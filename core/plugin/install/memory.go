package install

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Remember keeps what a plugin described, whether it is installed or the server's own, for the next host of the data
// folder.
func (s *Store) Remember(name string, what []byte) error {
	path := filepath.Join(s.memory, name)
	err := cmp.Or(
		os.MkdirAll(s.memory, 0o700),
		ownAs(s.memory, filepath.Dir(s.memory)),
		renameio.WriteFile(path, what, 0o600, renameio.WithTempDir(s.memory)),
		ownAs(path, s.memory),
	)
	if err != nil {
		return fmt.Errorf("remember what plugin %s describes: %w", name, err)
	}
	return nil
}

// Recall is what was last remembered of a plugin; nil: nothing was.
func (s *Store) Recall(name string) ([]byte, error) {
	what, err := os.ReadFile(filepath.Join(s.memory, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recall what plugin %s describes: %w", name, err)
	}
	return what, nil
}

func (s *Store) forget(name string) error {
	err := os.Remove(filepath.Join(s.memory, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
