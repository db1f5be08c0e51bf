package execution

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// keyClaim is the hold of an idempotency key by a request whose execution is not accepted yet. The key's row names the
// server and the epoch of the lease under which the execution is to be committed. When that epoch is over and there is
// no execution, there never will be one, and whoever comes with the key again may have it.
type keyClaim struct {
	g         *generation
	user, key string
	execution uuid.UUID
	// failed is when it became uncertain whether the key was taken; zero: it was. The statement may go on in the database,
	// which has not noticed that nobody waits for it any more.
	failed time.Time
	due    time.Time // not to be given back before
}

// keyClaims are those of a generation.
type keyClaims struct {
	mu       sync.Mutex
	inFlight map[uuid.UUID]struct{} // executions that may still be committed
	left     []*keyClaim            // to be given back, since nobody else did
}

func (c *keyClaims) begin(execution uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == nil {
		c.inFlight = map[uuid.UUID]struct{}{}
	}
	c.inFlight[execution] = struct{}{}
}

func (c *keyClaims) end(execution uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inFlight, execution)
}

func (c *keyClaims) has(execution uuid.UUID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.inFlight[execution]
	return ok
}

// claimKey reserves an idempotency key for an execution that is about to be accepted, or finds the one it stands for.
func (g *generation) claimKey(ctx context.Context, r Request, id uuid.UUID) (*keyClaim, string, error) {
	c := &keyClaim{g: g, user: r.UserID, key: r.IdempotencyKey, execution: id}
	g.keys.begin(id)
	known, err := c.take(ctx, sha256.Sum256(append([]byte(r.GraphID+"\n"), r.Body...)))
	switch {
	case err != nil && !errors.Is(err, ErrConflict): // it may be there all the same
		c.failed = time.Now()
		c.refused(ctx)
		return nil, "", err
	case err != nil || known != "":
		g.keys.end(id)
		return nil, known, err
	default:
		return c, "", nil
	}
}

func (c *keyClaim) take(ctx context.Context, request [sha256.Size]byte) (string, error) {
	for range 3 {
		if taken, err := c.insert(ctx, request); err != nil || taken {
			return "", err
		}
		h, err := c.holder(ctx)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return "", fmt.Errorf("read idempotency key: %w", err)
		}
		alive := h.leased
		if h.server.UUID == c.g.config.ServerID && h.epoch.Int64 == c.g.writer.epoch {
			alive = c.g.keys.has(h.execution)
		}
		switch {
		case (h.accepted || alive) && string(h.request) != string(request[:]):
			return "", fmt.Errorf("%w: the idempotency key was used with another request", ErrConflict)
		case h.accepted:
			return h.execution.String(), nil
		case alive:
			return "", fmt.Errorf("%w: a request with this idempotency key is in flight", ErrConflict)
		}
		if taken, err := c.takeOver(ctx, h, request); err != nil || taken {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: the idempotency key is contended", ErrConflict)
}

// insert takes a key that nobody has.
func (c *keyClaim) insert(ctx context.Context, request [sha256.Size]byte) (bool, error) {
	res, err := c.g.db.ExecContext(ctx, `
		INSERT INTO idempotency_key (user_id, key, request, execution_id, server_id, epoch) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (user_id, key) DO UPDATE SET request = excluded.request, execution_id = excluded.execution_id,
			server_id = excluded.server_id, epoch = excluded.epoch, created_at = now()
		WHERE idempotency_key.created_at < now() - interval '24 hours'`,
		c.user, c.key, request[:], c.execution, c.g.config.ServerID, c.g.writer.epoch)
	if err != nil {
		return false, fmt.Errorf("claim idempotency key: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// keyHolder is who has a key.
type keyHolder struct {
	request   []byte
	execution uuid.UUID
	accepted  bool // there is the execution
	server    uuid.NullUUID
	epoch     sql.NullInt64
	leased    bool // the holder's epoch goes on
}

// holder reads who has the key. Servers of the version before say nothing of themselves; theirs may be in flight for a
// minute.
func (c *keyClaim) holder(ctx context.Context) (*keyHolder, error) {
	var h keyHolder
	err := c.g.db.QueryRowContext(ctx, `
		SELECT k.request, k.execution_id, EXISTS (SELECT FROM execution e WHERE e.id = k.execution_id), k.server_id, k.epoch,
			coalesce(l.epoch = k.epoch AND NOT `+leaseOver+`, k.server_id IS NULL AND k.created_at > now() - interval '1 minute')
		FROM idempotency_key k LEFT JOIN lease l ON l.server_id = k.server_id WHERE k.user_id = ? AND k.key = ?`, c.user, c.key).
		Scan(&h.request, &h.execution, &h.accepted, &h.server, &h.epoch, &h.leased)
	return &h, err
}

// takeOver takes the key from a holder that accepts nothing any more: a request here that failed, or another life of a
// server. One whose lease merely ran out might come back: its epoch is ended first, so that it cannot commit.
func (c *keyClaim) takeOver(ctx context.Context, h *keyHolder, request [sha256.Size]byte) (bool, error) {
	if _, err := c.g.db.ExecContext(ctx, `UPDATE lease SET epoch = epoch + 1 WHERE server_id = ? AND epoch = ? AND `+leaseOver, h.server, h.epoch); err != nil {
		return false, fmt.Errorf("end the lease of a dead server: %w", err)
	}
	res, err := c.g.db.ExecContext(ctx, `
		UPDATE idempotency_key k SET request = ?, execution_id = ?, server_id = ?, epoch = ?, created_at = now()
		WHERE user_id = ? AND key = ? AND execution_id = ? AND NOT EXISTS (SELECT FROM execution e WHERE e.id = k.execution_id)
			AND (server_id = ? AND epoch = ? OR NOT EXISTS (SELECT FROM lease l WHERE l.server_id = k.server_id AND l.epoch = k.epoch)) -- which came back just now`,
		request[:], c.execution, c.g.config.ServerID, c.g.writer.epoch, c.user, c.key, h.execution, c.g.config.ServerID, c.g.writer.epoch)
	if err != nil {
		return false, fmt.Errorf("take over idempotency key: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// settled says what became of the execution. Where that is uncertain the claim ends with its epoch.
func (c *keyClaim) settled(err error) {
	switch {
	case c == nil || uncertain(err):
	case err == nil:
		c.g.keys.end(c.execution)
	default: // if the request that waits for it has gone, nobody else gives it back
		c.g.keys.leave(c)
	}
}

// refused gives the key back, for another request to use.
func (c *keyClaim) refused(ctx context.Context) {
	if c == nil {
		return
	}
	c.g.keys.leave(c)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.g.giveBackKeys(ctx); err != nil {
		c.g.log.Warn("could not give an idempotency key back, trying again", "error", err)
	}
}

// leave puts a claim among those to be given back. On this server the key is free at once.
func (c *keyClaims) leave(k *keyClaim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.inFlight[k.execution]; ok {
		delete(c.inFlight, k.execution)
		c.left = append(c.left, k)
	}
}

// unsureFor is how long a statement of which nothing was heard may still be executed.
const unsureFor = time.Minute

// giveBackKeys deletes the rows of what was left. Where it is uncertain whether there is one, it is looked for again,
// ever more rarely.
func (g *generation) giveBackKeys(ctx context.Context) error {
	g.keys.mu.Lock()
	left := g.keys.left
	g.keys.left = nil
	g.keys.mu.Unlock()
	var later []*keyClaim
	defer func() {
		g.keys.mu.Lock()
		defer g.keys.mu.Unlock()
		g.keys.left = append(g.keys.left, later...)
	}()
	for i, c := range left {
		now := time.Now()
		if now.Before(c.due) {
			later = append(later, c)
			continue
		}
		res, err := g.db.ExecContext(ctx, `DELETE FROM idempotency_key WHERE user_id = ? AND key = ? AND execution_id = ?`, c.user, c.key, c.execution)
		if err != nil {
			later = append(later, left[i:]...)
			return fmt.Errorf("give an idempotency key back: %w", err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 && now.Sub(c.failed) < unsureFor {
			c.due = now.Add(max(time.Second, now.Sub(c.failed)))
			later = append(later, c)
		}
	}
	return nil
}
