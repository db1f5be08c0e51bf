package hostservice

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Limits of what a node execution remembers.
const (
	maxRemembered      = 256
	maxRememberedBytes = 64 << 10
)

// Remembered is the table of remembered values, whose rows go with their execution.
const Remembered = "remembered"

// remember records a value, unless an earlier attempt has recorded one. It is committed before it is answered.
func (a *Attempt) remember(ctx context.Context, c *proto.Remember) (*proto.Reply, error) {
	switch {
	case c.GetNth() == 0 || c.GetNth() > maxRemembered:
		return nil, refuse("a node execution remembers %d values, numbered from 1", maxRemembered)
	case len(c.GetValue()) > maxRememberedBytes:
		return nil, refuse("the value has %d bytes; at most %d are remembered", len(c.GetValue()), maxRememberedBytes)
	case !utf8.Valid(c.GetValue()) || !json.Valid(c.GetValue()):
		return nil, refuse("the value is not valid JSON")
	}
	if a.alone {
		return &proto.Reply{Result: &proto.Reply_Remembered{Remembered: &proto.Remembered{Value: a.recall(c)}}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	execution, place := a.run.GetExecutionId(), a.run.GetNodeExecutionId()
	var value string
	// An execution that has ended, and may be gone, remembers nothing more.
	err := a.s.DB.QueryRowContext(ctx, `
		INSERT INTO remembered (execution_id, node_execution_id, nth, value)
		SELECT id, ?1, ?2, ?3 FROM execution WHERE id = ?0 AND ended_at IS NULL
		ON CONFLICT DO NOTHING RETURNING value`, execution, place, c.GetNth(), string(c.GetValue())).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = a.s.DB.QueryRowContext(ctx, `SELECT value FROM remembered WHERE execution_id = ? AND node_execution_id = ? AND nth = ?`,
			execution, place, c.GetNth()).Scan(&value)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, refuse("the execution has ended")
	case err != nil:
		return nil, fmt.Errorf("remember a value: %w", err)
	}
	return &proto.Reply{Result: &proto.Reply_Remembered{Remembered: &proto.Remembered{Value: []byte(value)}}}, nil
}

// recall remembers a value as long as the run has its services.
func (a *Attempt) recall(c *proto.Remember) json.RawMessage {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.recalls[c.GetNth()]; ok {
		return known
	}
	if a.recalls == nil {
		a.recalls = map[uint32]json.RawMessage{}
	}
	a.recalls[c.GetNth()] = c.GetValue()
	return c.GetValue()
}
