package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// KeyScope is who shares a key.
type KeyScope int32

// The scopes of keys. A plugin's keys are its own, and a user's are too.
const (
	NodeKeys  = KeyScope(proto.KeyScope_KEY_SCOPE_NODE)  // of this node of the agent, in all its executions
	AgentKeys = KeyScope(proto.KeyScope_KEY_SCOPE_AGENT) // of the agent
	UserKeys  = KeyScope(proto.KeyScope_KEY_SCOPE_USER)  // of all agents of the user
)

// KeyStore holds JSON values by key (1 to 512 characters), beyond the end of an execution.
//
// What a run sets it sees itself at once; everybody else sees it when the run has ended, well or with an error, or, of
// a Streaming block, with its next output. A run that is cut off has set nothing.
type KeyStore struct{ scope KeyScope }

// Keys gives the store of a scope.
func Keys(scope KeyScope) KeyStore { return KeyStore{scope} }

// Get gives the value of a key, and whether there is one.
func (k KeyStore) Get(ctx context.Context, key string) (value json.RawMessage, found bool, err error) {
	return k.get(ctx, key, false)
}

// Hold is Get for a run that will set the key by what it finds: no other run that holds the key finds anything before
// that is committed. A run holds one key at most, and waits 5 minutes at most.
func (k KeyStore) Hold(ctx context.Context, key string) (value json.RawMessage, found bool, err error) {
	return k.get(ctx, key, true)
}

func (k KeyStore) get(ctx context.Context, key string, hold bool) (value json.RawMessage, found bool, err error) {
	reply, err := call(ctx, &proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: k.proto(), Key: validText(key), Hold: hold}}})
	if err != nil {
		return nil, false, fmt.Errorf("get key %q: %w", key, err)
	}
	return reply.GetKeyValue().GetValue(), reply.GetKeyValue().GetFound(), nil
}

// Set gives a key a value: json.RawMessage byte for byte, others encoded.
func (k KeyStore) Set(ctx context.Context, key string, value any) error {
	raw, err := encode(value)
	if err == nil {
		_, err = call(ctx, &proto.Call{Service: &proto.Call_SetKey{SetKey: &proto.SetKey{Scope: k.proto(), Key: validText(key), Value: raw}}})
	}
	if err != nil {
		return fmt.Errorf("set key %q: %w", key, err)
	}
	return nil
}

// Delete removes a key; that there is none is no error.
func (k KeyStore) Delete(ctx context.Context, key string) error {
	_, err := call(ctx, &proto.Call{Service: &proto.Call_DeleteKey{DeleteKey: &proto.DeleteKey{Scope: k.proto(), Key: validText(key)}}})
	if err != nil {
		return fmt.Errorf("delete key %q: %w", key, err)
	}
	return nil
}

func (k KeyStore) proto() proto.KeyScope { return proto.KeyScope(k.scope) }

// Remember records a value for this node execution and gives what stands recorded: the value, or the one that an
// earlier attempt recorded in the same place. It is recorded for good when Remember returns. The place is the number
// of the call in its run, so a block must remember in the same order in every attempt.
func Remember(ctx context.Context, value any) (json.RawMessage, error) {
	raw, err := encode(value)
	if err != nil {
		return nil, fmt.Errorf("remember: %w", err)
	}
	s := scopeOf(ctx)
	if s.host == nil {
		return nil, fmt.Errorf("remember: %w", ErrNoHost)
	}
	reply, err := call(ctx, &proto.Call{Service: &proto.Call_Remember{Remember: &proto.Remember{Nth: s.nth.remembered.Add(1), Value: raw}}})
	if err != nil {
		return nil, fmt.Errorf("remember: %w", err)
	}
	return reply.GetRemembered().GetValue(), nil
}

// Deadline is the time after a duration, counted from the first attempt: later ones get the same, so that a wait ends
// when it would have without an interruption. It remembers, so what Remember says of order holds for it too.
func Deadline(ctx context.Context, after time.Duration) (time.Time, error) {
	raw, err := Remember(ctx, time.Now().Add(after))
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	if err := json.Unmarshal(raw, &at); err != nil {
		return time.Time{}, fmt.Errorf("what was remembered is no deadline: %w", err)
	}
	return at, nil
}
