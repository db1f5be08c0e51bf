// Package file keeps the files of users in Postgres, so that every server has them and none needs a disk for them. A
// file is written piece by piece, is there when it is complete, and goes by itself when its time is over. The package
// must never hold a whole file in memory, and never show a file to another user than its own.
package file

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Errors that callers decide by.
var (
	ErrNotFound = errors.New("file not found")
	ErrTooLarge = errors.New("the file is too large")
	ErrFull     = errors.New("there is no room for the file")
)

// How long files are kept.
const (
	// UploadLifetime is that of uploads for which nothing else is asked.
	UploadLifetime = 24 * time.Hour
	// RunLifetime is that of files which the blocks of an execution store.
	RunLifetime = 30 * 24 * time.Hour
)

// Limits bound what users keep.
type Limits struct {
	File int64 // bytes of one file
	User int64 // bytes of all files of a user
	// Files is how many files a user has.
	Files int64
}

// DefaultLimits are those of a server.
var DefaultLimits = Limits{File: 100 << 20, User: 1 << 30, Files: 100_000}

// Info describes a file.
type Info struct {
	ID          uuid.UUID
	ExecutionID uuid.UUID // that stored it; zero: it was uploaded
	Name        string
	MediaType   string
	Size        int64
	SHA256      []byte
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// scheme begins the URIs under which files are known to agents.
const scheme = "workspace://"

// URI is how agents name the file.
func (i *Info) URI() string { return scheme + i.ID.String() }

// ParseURI reads what URI wrote. A fragment, which AutoGPT's agents add to tell the media type, counts for nothing.
func ParseURI(uri string) (uuid.UUID, error) {
	text, ok := strings.CutPrefix(uri, scheme)
	text, _, _ = strings.Cut(text, "#")
	if id, found := parseID(text); ok && found {
		return id, nil
	}
	return uuid.UUID{}, fmt.Errorf("%w: a file's URI is %s followed by its id", ErrNotFound, scheme)
}

// parseID accepts UUIDs in their usual form only; everything else names nothing.
func parseID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == 36
}
