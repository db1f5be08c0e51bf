package hostservice

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Limits of keys.
const (
	maxKey          = 512     // characters
	maxValue        = 1 << 20 // bytes
	maxPending      = 1000    // writes of an attempt that are not handed over
	maxPendingBytes = 4 << 20 // of them
	maxSetBytes     = 16 << 20
	maxUserKeys     = 10_000
	maxUserBytes    = 64 << 20
)

// queryTime bounds a query for a block.
const queryTime = 10 * time.Second

// usage is how many keys there are and what they weigh.
type usage struct{ keys, bytes int64 }

// keyID is the digest of scope, plugin, graph, node and key.
type keyID [sha256.Size]byte

// overlay is what an attempt has set. It sees that itself, before and after it is committed.
type overlay struct {
	set     map[keyID]json.RawMessage // nil: deleted
	bytes   int                       // in set
	pending []pendingWrite            // not handed over, oldest first
	weight  int                       // of pending
	ready   []Write                   // for the output that was emitted
}

// pendingWrite is a write with the number of its call and what it reserves of the user's limit.
type pendingWrite struct {
	Write
	call     uint64
	reserves usage
}

func (a *Attempt) getKey(ctx context.Context, from *block.Block, c *proto.GetKey) (*proto.Reply, error) {
	w, err := a.place(from, c.GetScope(), c.GetKey())
	if err != nil {
		return nil, err
	}
	if c.GetHold() {
		if err := a.hold(ctx, w); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	value, found := a.keys.set[w.id]
	a.mu.Unlock()
	if !found {
		value, err = postgres.Lasting(ctx, func() (json.RawMessage, error) { return a.s.storedKey(ctx, w.User, w.id) })
		if err != nil {
			return nil, err
		}
	}
	return &proto.Reply{Result: &proto.Reply_KeyValue{KeyValue: &proto.KeyValue{Found: value != nil, Value: value}}}, nil
}

func (a *Attempt) setKey(ctx context.Context, from *block.Block, call uint64, c *proto.SetKey) error {
	w, err := a.place(from, c.GetScope(), c.GetKey())
	switch {
	case err != nil:
		return err
	case len(c.GetValue()) > maxValue:
		return refuse("the value has %d bytes; a key takes at most %d", len(c.GetValue()), maxValue)
	case !utf8.Valid(c.GetValue()) || !json.Valid(c.GetValue()):
		return refuse("the value is not valid JSON")
	}
	w.Value = c.GetValue()
	stored, size, err := a.s.usage(ctx, w.User, w.id)
	if err != nil {
		return err
	}
	needs := usage{bytes: max(0, int64(w.size())-size)}
	if size == 0 {
		needs.keys = 1
	}
	return a.put(pendingWrite{w, call, needs}, stored)
}

func (a *Attempt) deleteKey(from *block.Block, call uint64, c *proto.DeleteKey) error {
	w, err := a.place(from, c.GetScope(), c.GetKey())
	if err != nil {
		return err
	}
	return a.put(pendingWrite{Write: w, call: call}, usage{})
}

// place says where a key of a run lies.
func (a *Attempt) place(from *block.Block, scope proto.KeyScope, key string) (Write, error) {
	w := Write{User: a.run.GetUserId(), Plugin: from.Plugin.Name, Graph: a.run.GetGraphId(), Node: a.run.GetNodeId(), Key: key}
	switch scope {
	case proto.KeyScope_KEY_SCOPE_NODE:
	case proto.KeyScope_KEY_SCOPE_AGENT:
		w.Node = ""
	case proto.KeyScope_KEY_SCOPE_USER:
		w.Graph, w.Node = "", ""
	default:
		return w, refuse("a key has the scope of its node, agent or user")
	}
	if n := utf8.RuneCountInString(key); n == 0 || n > maxKey {
		return w, refuse("a key has 1 to %d characters, not %d", maxKey, n)
	}
	if strings.ContainsRune(key+w.Node, 0) { // which Postgres keeps no text with
		return w, refuse("a key holds no NUL")
	}
	sum := sha256.New()
	sum.Write([]byte{byte(scope)})
	for _, part := range []string{w.Plugin, w.Graph, w.Node, w.Key} {
		sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		sum.Write([]byte(part))
	}
	sum.Sum(w.id[:0])
	return w, nil
}

// put takes a write, if there is room for it beside what is stored. Writes of a block that does not stream commit
// together, so that the last one of a key is enough.
func (a *Attempt) put(w pendingWrite, stored usage) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := &a.keys
	before := -1
	for i := range k.pending {
		if !a.streaming && k.pending[i].id == w.id {
			before = i
		}
	}
	var frees usage
	weight, writes := k.weight+w.size(), len(k.pending)+1
	if before >= 0 {
		frees = k.pending[before].reserves
		weight, writes = weight-k.pending[before].size(), writes-1
	}
	bytes := k.bytes + len(w.Value) - len(k.set[w.id])
	switch {
	case writes > maxPending || weight > maxPendingBytes:
		return refuse("a run sets at most %d keys and %d bytes that are not committed", maxPending, maxPendingBytes)
	case bytes > maxSetBytes:
		return refuse("a run sets at most %d bytes", maxSetBytes)
	}
	if err := a.s.reserve(w.User, frees, w.reserves, stored); err != nil {
		return err
	}
	if before >= 0 {
		k.pending = append(k.pending[:before], k.pending[before+1:]...)
	}
	k.pending = append(k.pending, w)
	k.weight, k.bytes = weight, bytes
	if k.set == nil {
		k.set = map[keyID]json.RawMessage{}
	}
	k.set[w.id] = w.Value
	return nil
}

// Emitted makes the writes of the calls up to one ready for the output that follows, if the block streams.
func (a *Attempt) Emitted(lastCall uint64) {
	if !a.streaming {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys.ready = append(a.keys.ready, a.due(func(call uint64) bool { return call <= lastCall })...)
}

// Ready hands over the writes that belong to the output that was emitted.
func (a *Attempt) Ready() []Write {
	a.mu.Lock()
	defer a.mu.Unlock()
	writes := a.keys.ready
	a.keys.ready = nil
	return writes
}

// due takes pending writes away. What they reserved is free: they will be stored in a moment. The lock is held.
func (a *Attempt) due(is func(call uint64) bool) (writes []Write) {
	if len(a.keys.pending) == 0 {
		return nil
	}
	var rest []pendingWrite
	var frees usage
	for _, w := range a.keys.pending {
		if !is(w.call) {
			rest = append(rest, w)
			continue
		}
		writes = append(writes, w.Write)
		frees.keys += w.reserves.keys
		frees.bytes += w.reserves.bytes
		a.keys.weight -= w.size()
	}
	a.keys.pending = rest
	a.s.release(a.run.GetUserId(), frees)
	return writes
}

// reserve takes of a user's limit what a write needs, beside what is stored and what other attempts reserve.
func (s *Service) reserve(user string, frees, needs, stored usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reserved[user]
	r.keys += needs.keys - frees.keys
	r.bytes += needs.bytes - frees.bytes
	switch {
	case needs.keys > 0 && stored.keys+r.keys > maxUserKeys:
		return refuse("your agents keep %d keys, and may keep no more; delete some", stored.keys)
	case needs.bytes > 0 && stored.bytes+r.bytes > maxUserBytes:
		return refuse("what your agents keep by key may have %d MiB together; delete some", maxUserBytes>>20)
	}
	s.reserved[user] = r
	return nil
}

func (s *Service) release(user string, frees usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reserved[user]
	r.keys -= frees.keys
	r.bytes -= frees.bytes
	if r == (usage{}) {
		delete(s.reserved, user)
		return
	}
	s.reserved[user] = r
}

// ForgetAgent drops what a user's agent keeps by key, its nodes too. It reads the user's part of the primary key.
func ForgetAgent(ctx context.Context, tx bun.Tx, user, graph string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM stored_key WHERE user_id = ? AND graph_id = ?`, user, graph); err != nil {
		return fmt.Errorf("drop the keys of an agent: %w", err)
	}
	return nil
}

// storedKey is a committed value, nil where there is none. It uses the primary key.
func (s *Service) storedKey(ctx context.Context, user string, id keyID) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var value string
	err := s.DB.QueryRowContext(ctx, `SELECT value FROM stored_key WHERE user_id = ? AND id = ?`, user, id[:]).Scan(&value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read a key: %w", err)
	}
	return json.RawMessage(value), nil
}

// usage is what a user keeps, and the size of one key, 0 where it is not there. It reads the user's part of the primary
// key's index, which the limit bounds.
func (s *Service) usage(ctx context.Context, user string, id keyID) (all usage, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	err = s.DB.QueryRowContext(ctx, `
		SELECT count(*), coalesce(sum(size), 0)::bigint, coalesce(max(size) FILTER (WHERE id = ?1), 0)::bigint FROM stored_key WHERE user_id = ?0`,
		user, id[:]).Scan(&all.keys, &all.bytes, &size)
	if err != nil {
		return usage{}, 0, fmt.Errorf("read what a user keeps by key: %w", err)
	}
	return all, size, nil
}
