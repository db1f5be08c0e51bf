// Package credential is the vault: it keeps what users sign in to other services with, each secret encrypted for its
// row, and gives it out to whoever acts for that user at the moment of use. A secret must leave it by Open alone, and
// must never be in what it logs, returns as an error, or shows of a credential.
package credential

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Errors of this package by which callers decide.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	// ErrFixedKeys says that the keys are set where this server cannot add one.
	ErrFixedKeys = errors.New("all credentials are encrypted under the first of the keys that are set (PATCHBAY_ENCRYPTION_KEYS); " +
		"put a new one before it, such as the output of: openssl rand -base64 32, restart the servers, and rotate again")
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

// Type is what kind of secret a credential has.
type Type string

// The types of the reference platform.
const (
	OAuth2       Type = "oauth2"
	APIKey       Type = "api_key"
	UserPassword Type = "user_password"
	HostScoped   Type = "host_scoped"
)

// Credential is what is known of a credential without its secret.
type Credential struct {
	ID       string
	UserID   string
	Provider string
	Type     Type
	Title    string
	Username string   // of the account: of a password, or of an OAuth account where the provider tells
	Host     string   // a pattern, of host-scoped ones
	Scopes   []string // granted, of OAuth ones
	// ExpiresAt is when the key or the access token ends; nil: not known, or never.
	ExpiresAt *time.Time
	// Reauthorize says why the user has to sign in again; empty: there is no need.
	Reauthorize string
	// Default is taken where a node names none and several would do. Of a user's for one provider one is, at most.
	Default    bool
	CreatedAt  time.Time
	UpdatedAt  time.Time
	LastUsedAt *time.Time
}

// Covers says whether the scopes that an access token has are all of those. Credentials of other types have no scopes,
// and cover any.
func (c *Credential) Covers(scopes []string) (missing []string, ok bool) {
	if c.Type != OAuth2 {
		return nil, true
	}
	for _, scope := range scopes {
		if !slices.Contains(c.Scopes, scope) {
			missing = append(missing, scope)
		}
	}
	return missing, len(missing) == 0
}

// Unknown is what is said of credentials that their user does not have. Clients know its words.
func Unknown(id string) string { return "Unknown credentials #" + id }

// NeedsReauthorization is why a credential cannot be used although it is there.
type NeedsReauthorization struct {
	ID, Provider, Title, Reason string
}

func (e *NeedsReauthorization) Error() string {
	return fmt.Sprintf("the credentials %q (#%s) for %s need to be authorised again: %s", e.Title, e.ID, e.Provider, e.Reason)
}

// Damaged is a credential whose secret can no longer be decrypted: its row was changed, or is of a key that this server
// lacks.
type Damaged struct {
	ID, Provider, Title string
	cause               error
}

// Error is for its user, who can only store it again.
func (e *Damaged) Error() string {
	return fmt.Sprintf("the credentials %q (#%s) for %s are damaged and can no longer be read; delete them, and store or connect them again", e.Title, e.ID, e.Provider)
}

// Unwrap gives the cause, which is for the operator.
func (e *Damaged) Unwrap() error { return e.cause }
