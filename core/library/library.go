// Package library keeps users' libraries: which agents a user has at hand, with favourites and an archive. An entry
// points at a graph and repeats of it what lists show, sort and search by; it follows the active version of the user's
// own graphs. It must never change a graph, and never let a user at a version that is neither the user's own nor
// published.
package library

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
)

// ErrNotFound is an entry or a graph version that the user does not have.
var ErrNotFound = errors.New("library agent not found")

// Agent is an entry of a library.
type Agent struct {
	ID            string
	GraphID       string
	Version       int
	LatestVersion int  // of those that the user can have
	IsOwner       bool // the graph is the user's
	Name          string
	Description   string
	IsFavorite    bool
	IsArchived    bool
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Runs          execution.Tally // the user's executions of the graph, all versions
}

// Order of a list.
type Order string

// The orders: last changed first, newest first, names from A to Z whatever their case, last executed first.
const (
	ByUpdate   Order = "updated_at"
	ByCreation Order = "created_at"
	ByName     Order = "name"
	ByLastRun  Order = "last_run_at"
)

// Filter selects entries of a list.
type Filter struct {
	Search        string // plain text in name or description, whatever its case
	Archived      bool   // the archive in place of the rest
	Favorite      *bool
	Order         Order // empty: ByUpdate
	Offset, Limit int
}

// Change is what a user changes of an entry; nil leaves it.
type Change struct {
	Favorite, Archived *bool
}

// Config is what a Service needs.
type Config struct {
	DB         *bun.DB
	Graphs     Graphs
	Executions Executions
	Published  Published // nil: users have their own graphs alone
}

// Graphs knows the user's own graphs.
type Graphs interface {
	// Hold keeps a graph as it is until tx ends, described by a version, for version 0 by the active one.
	Hold(ctx context.Context, tx bun.Tx, user, graphID string, version int) (*graph.Head, error)
	Fork(ctx context.Context, user, id string, version int) (*graph.Graph, []graph.Missing, error)
}

// Executions knows how executions went.
type Executions interface {
	Tallies(ctx context.Context, user string, graphIDs []string) (map[string]execution.Tally, error)
	// LastRuns is a query: the graphs that the user has executed, each with the time of its last execution.
	LastRuns(user string) (query string, args []any)
}

// Published finds graph versions of others that a user may add to the library and run: described as they were
// published, Latest being the newest one of these; for version 0 that one. What is not published is ErrNotFound. It asks
// within tx.
type Published func(ctx context.Context, tx bun.Tx, user, graphID string, version int) (*graph.Head, error)

// Service is what users do with their libraries. Every query is bounded by the user.
type Service struct{ Config }

// New returns a service.
func New(c Config) *Service { return &Service{c} }
