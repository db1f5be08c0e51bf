package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/patchbay-io/patchbay/sdk"
)

type gateIn struct {
	In   json.RawMessage `json:"in" required:"true"`
	Free bool            `json:"free" doc:"Report the call, and do not wait"`
}

// gate has an effect: it reports its call to the tests, which hold it back as long as they like, or let it fail.
func gate(ctx context.Context, in gateIn, out sdk.Emitter) error {
	if err := report(ctx, "", !in.Free); err != nil {
		return err
	}
	return out.Emit("out", in.In)
}

type emitIn struct {
	Script [][2]json.RawMessage `json:"script" required:"true"`
	T      json.RawMessage      `json:"t"`
}

// emit yields the script. The pin "@" is a place at which the tests hold it back.
func emit(ctx context.Context, in emitIn, out sdk.Emitter) error {
	return play(ctx, in.Script, out)
}

// fickle changes its mind when it is repeated.
func fickle(ctx context.Context, in emitIn, out sdk.Emitter) error {
	if sdk.RunFrom(ctx).Attempt > 1 {
		return out.Emit("p", "another")
	}
	return play(ctx, in.Script, out)
}

// resume goes on after what earlier attempts left; its repetition is not recorded twice either.
func resume(ctx context.Context, in emitIn, out sdk.Emitter) error {
	if n := len(sdk.RunFrom(ctx).Recorded); n > 0 {
		for _, v := range sdk.RunFrom(ctx).Recorded {
			if err := out.Emit(v.Pin, v.Value); err != nil {
				return err
			}
		}
		return out.Emit("q", n)
	}
	return play(ctx, in.Script, out)
}

func play(ctx context.Context, script [][2]json.RawMessage, out sdk.Emitter) error {
	for _, entry := range script {
		var pin string
		if err := json.Unmarshal(entry[0], &pin); err != nil {
			return fmt.Errorf("script: %w", err)
		}
		if pin == "@" {
			if err := report(ctx, string(entry[1]), true); err != nil {
				return err
			}
			continue
		}
		if err := out.Emit(pin, entry[1]); err != nil {
			return err
		}
	}
	return nil
}

// report tells the tests of a call and waits for their answer.
func report(ctx context.Context, place string, hold bool) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", sdk.Setting(ctx, "control"))
	if err != nil {
		return fmt.Errorf("report to the tests: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	run := sdk.RunFrom(ctx)
	if err := json.NewEncoder(conn).Encode(map[string]any{
		"root": run.RootExecutionID, "node": run.NodeID, "place": place, "attempt": run.Attempt, "key": run.IdempotencyKey, "hold": hold,
	}); err != nil {
		return fmt.Errorf("report to the tests: %w", err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return errors.New("the tests do not answer")
	case answer != "\n":
		return errors.New(answer[:len(answer)-1])
	default:
		return nil
	}
}
