package credential

import (
	"context"
	"fmt"

	"github.com/uptrace/bun/dialect/pgdialect"
)

// Rotation tells how far the encryption under a new key has come.
type Rotation struct {
	Key    KeyID // that encrypts
	Total  int   // credentials
	Left   int   // that are encrypted under another key
	Failed int   // of the last step: they are damaged, and stay what they are
	// After is where the next step goes on; empty: there is none.
	After string
}

// rotationBatch is how many credentials a step encrypts again.
const rotationBatch = 1000

// Rotate encrypts some more credentials under the first key. A rotation begins with an empty after: with a new key,
// unless there is one already under which not everything is encrypted yet, so that one which was broken off goes on. It
// takes nothing from who uses credentials meanwhile.
func (v *Vault) Rotate(ctx context.Context, after string) (*Rotation, error) {
	keys, err := v.fitting(ctx) // what is under another key would be left behind
	if err != nil {
		return nil, err
	}
	r, err := v.progress(ctx, keys)
	if err != nil {
		return nil, err
	}
	if after == "" && r.Left == 0 {
		if err := v.keys.renew(keys.Primary()); err != nil {
			return nil, err
		}
		if keys, err = v.keys.current(); err != nil {
			return nil, err
		}
	}
	failed, last, err := v.rotateBatch(ctx, keys, after)
	if err != nil {
		return nil, fmt.Errorf("encrypt credentials again: %w", err)
	}
	if r, err = v.progress(ctx, keys); err != nil {
		return nil, err
	}
	r.Failed, r.After = failed, last
	return r, nil
}

func (v *Vault) progress(ctx context.Context, keys *Keys) (*Rotation, error) {
	r := &Rotation{Key: keys.Primary()}
	err := v.db.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE key_id <> ?) FROM credential`, r.Key).Scan(&r.Total, &r.Left) // credential_by_key
	if err != nil {
		return nil, fmt.Errorf("count credentials: %w", err)
	}
	return r, nil
}

type encrypted struct {
	id, user string
	key      KeyID
	cipher   []byte
}

// rotateBatch gives the id after which it goes on.
func (v *Vault) rotateBatch(ctx context.Context, keys *Keys, after string) (failed int, last string, err error) {
	if _, ok := parseID(after); !ok {
		after = "00000000-0000-0000-0000-000000000000"
	}
	batch, err := v.old(ctx, keys, after)
	if err != nil {
		return 0, "", err
	}
	for _, e := range batch {
		c := &Credential{ID: e.id, UserID: e.user}
		s, err := v.decrypt(c, e.key, e.cipher)
		if err != nil {
			v.log.Error("a credential stays under its old key", "credential", e.id, "error", causeOf(err))
			failed++
			continue
		}
		cipher, err := keys.seal(e.user, e.id, s)
		if err != nil {
			return failed, "", err
		}
		// What has been replaced meanwhile is under the first key already.
		_, err = v.db.ExecContext(ctx, `UPDATE credential SET key_id = ?, sealed = ? WHERE id = ? AND sealed = ?`, keys.Primary(), cipher, e.id, e.cipher)
		if err != nil {
			return failed, "", err
		}
	}
	if len(batch) == v.batch {
		last = batch[len(batch)-1].id
	}
	return failed, last, nil
}

// old are credentials under other keys than the first, in the order of their ids.
func (v *Vault) old(ctx context.Context, keys *Keys, after string) ([]encrypted, error) {
	rows, err := v.db.QueryContext(ctx, `
		SELECT id, user_id, key_id, sealed FROM credential WHERE key_id = ANY(?) AND id > ? ORDER BY id LIMIT ?`,
		pgdialect.Array(keys.ids[1:]), after, v.batch) // credential_by_key
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var batch []encrypted
	for rows.Next() {
		var e encrypted
		if err := rows.Scan(&e.id, &e.user, &e.key, &e.cipher); err != nil {
			return nil, err
		}
		batch = append(batch, e)
	}
	return batch, rows.Err()
}
