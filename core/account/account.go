// Package account knows who uses the server: everybody whom a token named, their API keys, and the server's own
// accounts with their passwords and sessions. It decides whether a key or a session is good, and never what its owner
// may see. Keys, passwords and refresh tokens must leave it once at the most: it stores digests, and logs neither.
package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/uptrace/bun"
)

// Errors of this package by which callers decide.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	// ErrRefused is a key or a session that is not good, for whatever reason.
	ErrRefused = errors.New("the credential is invalid or has expired")
)

// Invalid says what is wrong with each field.
type Invalid struct{ Fields map[string]string }

func (e *Invalid) Error() string {
	names := slices.Sorted(maps.Keys(e.Fields))
	for i, name := range names {
		names[i] = name + ": " + e.Fields[name]
	}
	return strings.Join(names, "; ")
}

const (
	// trust is how long a credential that was found good is taken for good without asking again. What this server
	// changes it knows at once; what another one changes, when this time has passed.
	trust = 3 * time.Second
	// lazily is the pause between writings of what may be late.
	lazily = time.Minute
	// asking bounds the statements of Close and of the background.
	asking = 10 * time.Second
	// remembered bounds each of the lists in memory.
	remembered = 16384
)

// Service keeps accounts. Close it.
type Service struct {
	db       *bun.DB
	log      hclog.Logger
	seen     *lru.Cache[string, string] // emails by user
	keys     *recent[Digest, *Key]
	sessions *recent[string, struct{}]
	zones    *recent[string, string] // time zones by user
	timezone string                  // of users who set none
	changed  func(user string)       // nil: nobody wants to know
	mu       sync.Mutex
	uses     map[string]time.Time // last uses by key that are not written yet
	stop     context.CancelFunc
	finished chan struct{}
}

// New starts keeping accounts. timezone is the IANA name of that of users who set none.
func New(db *bun.DB, timezone string, log hclog.Logger) *Service {
	ctx, stop := context.WithCancel(context.Background())
	s := &Service{
		db: db, log: log, keys: newRecent[Digest, *Key](), sessions: newRecent[string, struct{}](), zones: newRecent[string, string](), timezone: timezone,
		uses: map[string]time.Time{}, stop: stop, finished: make(chan struct{}),
	}
	s.seen, _ = lru.New[string, string](remembered) // fails for sizes below one only
	go s.run(ctx)
	return s
}

// WhenChanged has a function called with the user of a key or session that was changed or ended on this server. It must not
// block, and is set before anybody is served.
func (s *Service) WhenChanged(f func(user string)) { s.changed = f }

func (s *Service) tellChanged(user string) {
	if s.changed != nil {
		s.changed(user)
	}
}

// Close writes what is not written yet.
func (s *Service) Close() {
	s.stop()
	<-s.finished
}

// run writes down what may be late, and removes what nobody needs.
func (s *Service) run(ctx context.Context) {
	defer close(s.finished)
	tick := time.NewTicker(lazily)
	defer tick.Stop()
	for {
		closing := false
		select {
		case <-ctx.Done():
			closing = true
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), asking)
		if err := s.writeUses(limited); err != nil {
			s.log.Warn("last uses of API keys could not be written", "error", err)
		}
		if !closing {
			if err := s.tidy(limited); err != nil {
				s.log.Warn("old keys and sessions could not be removed", "error", err)
			}
		}
		cancel()
		if closing {
			return
		}
	}
}

// tidy removes what is over: keys that were revoked long ago, which would only make lists longer, sessions that nobody
// refreshed, and counts of attempts.
func (s *Service) tidy(ctx context.Context) error {
	for _, statement := range []string{
		`DELETE FROM api_key WHERE revoked_at < now() - interval '90 days'`, // api_key_revoked
		`DELETE FROM session WHERE expires_at < now()`,                      // session_by_expiry
		`DELETE FROM login_attempt WHERE until < now()`,                     // login_attempt_by_end
	} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Seen notes that there is such a user, and the email where the token names one. It writes only what is news to it.
func (s *Service) Seen(ctx context.Context, user, email string) error {
	if known, ok := s.seen.Get(user); ok && (known == email || email == "") {
		return nil
	}
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO account (id, email) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET email = excluded.email, updated_at = now()
		WHERE account.email <> excluded.email AND excluded.email <> ''`, user, email)
	if err != nil {
		return fmt.Errorf("note user: %w", err)
	}
	s.seen.Add(user, email)
	return nil
}
