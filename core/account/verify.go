package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun/dialect/pgdialect"
)

// A key is its prefix and 32 random bytes in URL-safe base64. So much of its ends may be shown.
const (
	KeyPrefix  = "pb_"
	secretSize = 32
	keyLength  = len(KeyPrefix) + 43
	headLength = len(KeyPrefix) + 5
	tailLength = 4
)

// Digest is the SHA-256 of a secret. The secrets have 256 random bits, so that no slower hash would help.
type Digest [sha256.Size]byte

func digestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

func (d Digest) bytes() []byte { return d[:] }

func newKey() string { return KeyPrefix + newSecret() }

func newSecret() string {
	var secret [secretSize]byte
	rand.Read(secret[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(secret[:])
}

// VerifyKey finds the key that somebody presents. The error is ErrRefused unless the database cannot be asked.
func (s *Service) VerifyKey(ctx context.Context, text string) (*Key, error) {
	secret, ok := strings.CutPrefix(text, KeyPrefix)
	if raw, err := base64.RawURLEncoding.DecodeString(secret); !ok || err != nil || len(raw) != secretSize || len(text) != keyLength {
		return nil, ErrRefused
	}
	return s.VerifyDigest(ctx, digestOf(text))
}

// VerifyDigest says whether a key that was presented before is still good, and what it may do now.
func (s *Service) VerifyDigest(ctx context.Context, digest Digest) (*Key, error) {
	k, ok := s.keys.get(digest)
	if !ok {
		var err error
		if k, err = s.findKey(ctx, digest); err != nil {
			return nil, err
		}
	}
	now := time.Now().Truncate(time.Microsecond) // as the database keeps it
	if k.Status != Active || k.ExpiresAt != nil && !k.ExpiresAt.After(now) {
		return nil, ErrRefused
	}
	s.mu.Lock()
	s.uses[k.ID] = now
	s.mu.Unlock()
	return k, nil
}

func (s *Service) findKey(ctx context.Context, digest Digest) (*Key, error) {
	mark := s.keys.mark()
	var email string
	k, err := scanKey(s.db.QueryRowContext(ctx, `
		SELECT `+keyColumns+`, coalesce((SELECT email FROM account WHERE account.id = api_key.user_id), '')
		FROM api_key WHERE digest = ? AND NOT EXISTS (SELECT FROM login WHERE login.user_id = api_key.user_id AND is_disabled)`,
		digest.bytes()), &email) // api_key_digest_key
	if errors.Is(err, ErrNotFound) {
		return nil, ErrRefused
	}
	if err != nil {
		return nil, fmt.Errorf("find API key: %w", err)
	}
	if subtle.ConstantTimeCompare(k.digest[:], digest[:]) != 1 {
		return nil, ErrRefused
	}
	k.email = email
	s.keys.put(mark, digest, k)
	return k, nil
}

// withUse shows a use that is not written yet.
func (s *Service) withUse(k *Key) *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.uses[k.ID]; ok && (k.LastUsedAt == nil || at.After(*k.LastUsedAt)) {
		k.LastUsedAt = &at
	}
	return k
}

// writeUses writes when keys were used last, all of them in one statement.
func (s *Service) writeUses(ctx context.Context) error {
	s.mu.Lock()
	uses := s.uses
	s.uses = map[string]time.Time{}
	s.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(uses)) // in one order, so that servers do not wait for each other crosswise
	times := make([]time.Time, len(ids))
	for i, id := range ids {
		times[i] = uses[id]
	}
	_, err := s.db.ExecContext(ctx, `
		UPDATE api_key SET last_used_at = greatest(last_used_at, used.at)
		FROM unnest(?::uuid[], ?::timestamptz[]) AS used (id, at) WHERE api_key.id = used.id`,
		pgdialect.Array(ids), pgdialect.Array(times))
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, at := range uses {
			if _, newer := s.uses[id]; !newer {
				s.uses[id] = at
			}
		}
	}
	return err
}
