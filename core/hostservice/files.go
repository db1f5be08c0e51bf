package hostservice

import (
	"context"
	"io"

	"github.com/google/uuid"
)

// Files keeps users' files.
type Files interface {
	// Create begins a file. It is there when Commit has returned; a file that has its id already, from an earlier
	// attempt, is replaced then. ctx ends when the writer is no longer used.
	Create(ctx context.Context, f NewFile) (FileWriter, error)
	// Open opens a file of the user's. ctx ends when the file is no longer read.
	Open(ctx context.Context, userID string, id uuid.UUID) (*File, error)
}

// NewFile says what a file is and whose.
type NewFile struct {
	ID          uuid.UUID
	UserID      string
	ExecutionID string
	Name        string // as the block gave it: not trusted
	MediaType   string // the same; may be empty
}

// FileWriter takes a file's bytes. Either Commit or Abort ends it.
type FileWriter interface {
	io.Writer
	Commit() error
	Abort()
}

// File is one that is read.
type File struct {
	Name      string
	MediaType string
	Size      int64
	Body      io.ReadCloser
}
