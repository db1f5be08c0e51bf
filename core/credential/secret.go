package credential

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Secret is what the vault encrypts: of each type its own fields. However it is printed or encoded, it does not show.
type Secret struct {
	APIKey   string
	Username string // of a password: it may be all that an attacker lacks
	Password string
	Headers  map[string]string

	AccessToken string
	TokenType   string
	// RefreshToken gets new access tokens. It never leaves the server.
	RefreshToken     string
	RefreshExpiresAt int64 // unix seconds; 0: not known, or never
	// RefreshedAt is when the access token came for a refresh token, in unix seconds; 0: it came for a code.
	RefreshedAt int64
	// Metadata is what the provider says of the account beside that.
	Metadata map[string]json.RawMessage

	// For is what the credential is for, by its row when the secret was sealed: a row that says something else has been
	// changed. Empty: it was sealed before there was this, or is none of a row.
	For string
}

const hidden = "***"

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// Format hides the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON hides the secret.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// sealed is Secret as it is encrypted. A field that a later version adds is nothing to an earlier one.
type sealed struct {
	APIKey           string                     `json:"api_key,omitempty"`
	Username         string                     `json:"username,omitempty"`
	Password         string                     `json:"password,omitempty"`
	Headers          map[string]string          `json:"headers,omitempty"`
	AccessToken      string                     `json:"access_token,omitempty"`
	TokenType        string                     `json:"token_type,omitempty"`
	RefreshToken     string                     `json:"refresh_token,omitempty"`
	RefreshExpiresAt int64                      `json:"refresh_expires_at,omitempty"`
	RefreshedAt      int64                      `json:"refreshed_at,omitempty"`
	Metadata         map[string]json.RawMessage `json:"metadata,omitempty"`
	For              string                     `json:"for,omitempty"`
}
