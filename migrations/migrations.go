// Package migrations holds the numbered SQL that alone defines the tables.
package migrations

import "embed"

// Files are the migrations in goose's format, applied in the order of their numbers.
//
//go:embed *.sql
var Files embed.FS
