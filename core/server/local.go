package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/patchbay-io/patchbay/core/config"
)

// Secret is the secret that tokens of this machine's server are signed with: the one that is set, or the one that the
// server made for itself.
func Secret(s *config.Settings) (string, error) {
	if s.JWTSecret != "" {
		return s.JWTSecret, nil
	}
	path := filepath.Join(s.DataDir, "server", secretFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no secret is set (PATCHBAY_JWT_SECRET), and no server has made one in the data folder %s; "+
			"start the server once, or name its data folder with PATCHBAY_DATA_DIR (--data-dir)", s.DataDir)
	}
	if err != nil {
		return "", fmt.Errorf("read the server's secret: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// URL is where the REST API of this machine's server is found.
func URL(s *config.Settings) string {
	raw, err := os.ReadFile(filepath.Join(s.DataDir, "server", addressFile))
	if err != nil {
		return "http://" + s.Addr.Reachable()
	}
	return "http://" + strings.TrimSpace(string(raw))
}
