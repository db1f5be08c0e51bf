// Package store is the marketplace: what authors submit, what administrators make of it, what everybody finds, how it
// is rated and how often others run it. It decides which graph versions of others a user may see and add; what a graph
// is, it does not know. It must never show more of a graph than its author wrote for the store.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
)

// Errors that callers decide by.
var (
	ErrNotFound = errors.New("not found in the store")
	ErrConflict = errors.New("conflict")
	// ErrOwn is a rating of an agent of one's own.
	ErrOwn = errors.New("authors do not rate their own agents")
)

// Invalid says which fields are wrong.
type Invalid struct {
	Fields map[string]string
}

// Error is the summary.
func (e *Invalid) Error() string { return "the store does not take these texts" }

// Graphs knows the graphs that are submitted.
type Graphs interface {
	// Get is a version of a graph of the user's own, or graph.ErrNotFound.
	Get(ctx context.Context, user, id string, version int) (*graph.Graph, error)
	// Publish keeps a version for other people.
	Publish(ctx context.Context, user, id string, version int) error
}

// Runs knows the executions of graphs by others than their authors.
type Runs interface {
	// Any says whether there are some that nobody has taken.
	Any(ctx context.Context) (bool, error)
	// Take counts those of each graph; when tx commits they are forgotten.
	Take(ctx context.Context, tx bun.Tx) (map[string]int, error)
}

// Follower is told within the transaction by which another version of a graph is shown.
type Follower interface {
	GraphPublished(ctx context.Context, tx bun.Tx, graphID string, latest int) error
}

// Config is what a Service needs.
type Config struct {
	DB          *bun.DB
	Logger      hclog.Logger
	Graphs      Graphs
	Runs        Runs
	Follower    Follower
	AutoApprove bool // submissions appear at once
}

// Service is the store.
type Service struct {
	Config
	log      hclog.Logger
	trigrams bool // the database finds typing errors
}

// New opens the store.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{Config: c, log: c.Logger.Named("store")}
	if err := c.DB.QueryRowContext(ctx, `SELECT to_regprocedure('word_similarity(text,text)') IS NOT NULL`).Scan(&s.trigrams); err != nil {
		return nil, fmt.Errorf("look for pg_trgm: %w", err)
	}
	if !s.trigrams {
		s.log.Info("the database has no pg_trgm: searches of the store forgive no typing errors")
	}
	return s, nil
}

// Status is what has become of a submission.
type Status string

// The states of a submission.
const (
	Pending  Status = "PENDING"
	Approved Status = "APPROVED"
	Rejected Status = "REJECTED"
)

// Agent is a listing as everybody sees it.
type Agent struct {
	ID            string
	SubmissionID  string // the one that is shown
	Slug          string
	Name          string
	SubHeading    string
	Description   string
	ImageURL      string
	Categories    []string
	Creator       string // the author's name in the store
	CreatorAvatar string
	Featured      bool
	Runs          int
	Rating        float64
	Reviews       int
	GraphID       string
	GraphVersion  int
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Details are all that there is to know of a listing.
type Details struct {
	Agent
	ImageURLs     []string
	VideoURL      string
	OutputDemoURL string
	Instructions  string
	ScheduleCron  string
	Versions      []Version // approved ones, newest first
}

// Version is an approved version of a listing.
type Version struct {
	ID             string
	Version        int
	GraphVersion   int
	ChangesSummary string
	ApprovedAt     time.Time
}

// Draft is what an author writes for the store.
type Draft struct {
	GraphID        string
	GraphVersion   int
	Name           string
	Slug           string // made of the name when empty
	SubHeading     string
	Description    string
	Instructions   string
	Categories     []string
	ImageURLs      []string
	VideoURL       string
	OutputDemoURL  string
	ChangesSummary string
	ScheduleCron   string
}

// Submission is a draft that was submitted, and what became of it.
type Submission struct {
	Draft
	ID               string
	ListingID        string
	Version          int
	UserID           string
	Status           Status
	SubmittedAt      time.Time
	ReviewedAt       *time.Time
	ReviewerID       string
	Comments         string
	InternalComments string // between administrators
	Runs             int
	Reviews          int
	Rating           float64
}

// Review is what a user thinks of an agent.
type Review struct {
	Score     int
	Comments  string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Creator is an author as everybody sees him.
type Creator struct {
	Username      string
	Name          string
	Description   string
	Links         []string
	AvatarURL     string
	Featured      bool // has a featured agent
	Agents        int
	Runs          int
	Rating        float64
	TopCategories []string
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return id.String(), nil
}

// isID accepts UUIDs in their usual form only; everything else names nothing.
func isID(id string) bool {
	_, err := uuid.Parse(id)
	return err == nil && len(id) == 36
}
