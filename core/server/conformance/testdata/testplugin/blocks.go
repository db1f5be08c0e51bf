package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

type anyIn struct {
	In json.RawMessage `json:"in" required:"true"`
}

type pairIn struct {
	A json.RawMessage `json:"a" required:"true"`
	B json.RawMessage `json:"b" required:"true"`
}

type optIn struct {
	A json.RawMessage `json:"a" required:"true"`
	B json.RawMessage `json:"b" default:"10"`
}

type tripleIn struct {
	A json.RawMessage `json:"a" required:"true"`
	B json.RawMessage `json:"b" required:"true"`
	C json.RawMessage `json:"c" required:"true"`
}

type addIn struct {
	A float64 `json:"a" required:"true"`
	B float64 `json:"b" required:"true"`
}

type ltIn struct {
	X     float64 `json:"x" required:"true"`
	Limit float64 `json:"limit" required:"true"`
}

type listIn struct {
	Items json.RawMessage `json:"items" required:"true" schema:"{\"type\":\"array\",\"items\":{}}"`
}

type dictIn struct {
	Values json.RawMessage `json:"values" required:"true" schema:"{\"type\":\"object\",\"additionalProperties\":true}"`
}

type modeIn struct {
	M string `json:"m" required:"true" enum:"x,y"`
}

type mixIn struct {
	M string          `json:"m" required:"true" enum:"x,y"`
	V json.RawMessage `json:"v" required:"true"`
}

type sleepIn struct {
	MS float64 `json:"ms" required:"true"`
}

type typedIn[T any] struct {
	In T `json:"in" required:"true"`
}

// id numbers the blocks; the tests know the numbers.
func id(number int) string { return fmt.Sprintf("c0f00000-0000-4000-8000-%012d", number) }

func outs(pins ...string) sdk.Outputs {
	var outputs sdk.Outputs
	for _, pin := range pins {
		outputs = append(outputs, sdk.Out(pin, sdk.Any("")))
	}
	return outputs
}

func blocks(traits sdk.Traits) []sdk.Definition {
	return sdk.Blocks(
		sdk.Block[emitIn]{ID: id(1), Name: "EMIT", Outputs: outs("p", "q"), Traits: sdk.Streaming, Run: emit},
		sdk.Block[emitIn]{ID: id(2), Name: "SEMIT", Outputs: outs("p", "q"), Traits: sdk.Streaming, StaticOutput: true, Run: emit},
		sdk.Block[anyIn]{ID: id(3), Name: "ECHO", Outputs: outs("out"), Traits: traits, Run: echo},
		sdk.Block[anyIn]{ID: id(4), Name: "SECHO", Outputs: outs("out"), Traits: traits, StaticOutput: true, Run: echo},
		sdk.Block[pairIn]{ID: id(5), Name: "PAIR", Outputs: outs("pair"), Traits: traits, Run: func(_ context.Context, in pairIn, out sdk.Emitter) error {
			return out.Emit("pair", list(in.A, in.B))
		}},
		sdk.Block[optIn]{ID: id(6), Name: "OPT", Outputs: outs("pair"), Traits: traits, Run: func(_ context.Context, in optIn, out sdk.Emitter) error {
			return out.Emit("pair", list(in.A, in.B))
		}},
		sdk.Block[tripleIn]{ID: id(7), Name: "TRIPLE", Outputs: outs("triple"), Traits: traits, Run: func(_ context.Context, in tripleIn, out sdk.Emitter) error {
			return out.Emit("triple", list(in.A, in.B, in.C))
		}},
		sdk.Block[addIn]{ID: id(8), Name: "ADD", Outputs: sdk.Outputs{sdk.Out("sum", sdk.Number(""))}, Traits: traits, Run: func(_ context.Context, in addIn, out sdk.Emitter) error {
			return out.Emit("sum", in.A+in.B)
		}},
		sdk.Block[ltIn]{ID: id(9), Name: "LT", Outputs: outs("yes", "no"), Traits: traits, Run: func(_ context.Context, in ltIn, out sdk.Emitter) error {
			if in.X < in.Limit {
				return out.Emit("yes", in.X)
			}
			return out.Emit("no", in.X)
		}},
		sdk.Block[listIn]{ID: id(10), Name: "LIST", Outputs: outs("list"), Traits: traits, Run: func(_ context.Context, in listIn, out sdk.Emitter) error {
			return out.Emit("list", in.Items)
		}},
		sdk.Block[dictIn]{ID: id(11), Name: "DICT", Outputs: outs("dict"), Traits: traits, Run: func(_ context.Context, in dictIn, out sdk.Emitter) error {
			return out.Emit("dict", in.Values)
		}},
		sdk.Block[modeIn]{ID: id(12), Name: "MODE", Outputs: outs("out"), Traits: traits, Run: func(_ context.Context, in modeIn, out sdk.Emitter) error {
			return out.Emit("out", in.M)
		}},
		sdk.Block[anyIn]{ID: id(13), Name: "FAIL", Outputs: outs("out"), Traits: traits, Run: func(context.Context, anyIn, sdk.Emitter) error {
			return errors.New("boom")
		}},
		sdk.Block[anyIn]{ID: id(14), Name: "HALF", Outputs: outs("out", "error"), Traits: traits, Run: half},
		sdk.Block[anyIn]{ID: id(15), Name: "PANIC", Outputs: outs("out"), Traits: traits, Run: func(context.Context, anyIn, sdk.Emitter) error {
			panic("alarm")
		}},
		sdk.Block[anyIn]{ID: id(16), Name: "NULL", Outputs: outs("out"), Traits: traits, Run: func(_ context.Context, _ anyIn, out sdk.Emitter) error {
			return out.Emit("out", nil)
		}},
		sdk.Block[sleepIn]{ID: id(17), Name: "SLEEP", Outputs: outs("out"), Run: sleep},
		sdk.Block[anyIn]{ID: id(18), Name: "BADOUT", Outputs: sdk.Outputs{sdk.Out("n", sdk.Integer(""))}, Traits: traits, Run: func(_ context.Context, _ anyIn, out sdk.Emitter) error {
			return out.Emit("n", "text")
		}},
		sdk.Block[anyIn]{ID: id(19), Name: "ODD", Outputs: outs("out"), Traits: traits, Run: func(_ context.Context, in anyIn, out sdk.Emitter) error {
			if string(in.In) == "2" {
				return errors.New("two")
			}
			return out.Emit("out", in.In)
		}},
		sdk.Block[anyIn]{ID: id(20), Name: "SFAIL", Outputs: outs("out"), Traits: traits, StaticOutput: true, Run: func(context.Context, anyIn, sdk.Emitter) error {
			return errors.New("boom")
		}},
		sdk.Block[anyIn]{ID: id(21), Name: "PREFIX", Outputs: outs("foo", "fo"), Traits: traits, Run: func(_ context.Context, in anyIn, out sdk.Emitter) error {
			return out.Emit("fo", in.In)
		}},
		sdk.Block[gateIn]{ID: id(22), Name: "GATE", Outputs: outs("out"), Run: gate},
		sdk.Block[gateIn]{ID: id(23), Name: "ONCE", Outputs: outs("out"), Traits: sdk.Once, Run: gate},
		typed[string](24, "STR", traits),
		typed[int](25, "INT", traits),
		typed[bool](26, "BOOL", traits),
		sdk.Block[emitIn]{ID: id(27), Name: "FICKLE", Outputs: outs("p", "q"), Traits: sdk.Streaming, Run: fickle},
		sdk.Block[emitIn]{ID: id(28), Name: "RESUME", Outputs: outs("p", "q"), Traits: sdk.Streaming, Run: resume},
		sdk.Block[mixIn]{ID: id(29), Name: "MIX", Outputs: outs("mix"), Traits: traits, Run: func(_ context.Context, in mixIn, out sdk.Emitter) error {
			return out.Emit("mix", list(json.RawMessage(`"`+in.M+`"`), in.V))
		}},
		sdk.Block[gateIn]{ID: id(30), Name: "DIE", Outputs: outs("out"), Run: func(ctx context.Context, _ gateIn, _ sdk.Emitter) error {
			if err := report(ctx, "", false); err != nil {
				return err
			}
			os.Exit(3)
			return nil
		}},
		sdk.Block[serveIn]{ID: id(31), Name: "SERVE", Outputs: outs("p"), Run: serve},
		sdk.Block[serveIn]{ID: id(32), Name: "STREAM", Outputs: outs("p"), Traits: sdk.Streaming, Run: serve},
	)
}

func typed[T any](number int, name string, traits sdk.Traits) sdk.Definition {
	return sdk.Block[typedIn[T]]{ID: id(number), Name: name, Outputs: outs("out"), Traits: traits, Run: func(_ context.Context, in typedIn[T], out sdk.Emitter) error {
		return out.Emit("out", in.In)
	}}
}

func list(values ...json.RawMessage) json.RawMessage {
	raw := []byte{'['}
	for i, v := range values {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, v...)
	}
	return append(raw, ']')
}

func echo(_ context.Context, in anyIn, out sdk.Emitter) error { return out.Emit("out", in.In) }

func half(_ context.Context, in anyIn, out sdk.Emitter) error {
	if err := out.Emit("out", in.In); err != nil {
		return err
	}
	if err := out.Emit("error", "late"); err != nil {
		return err
	}
	return out.Emit("out", "never")
}

func sleep(ctx context.Context, in sleepIn, out sdk.Emitter) error {
	select {
	case <-time.After(time.Duration(in.MS * float64(time.Millisecond))):
		return out.Emit("out", in.MS)
	case <-ctx.Done():
		return ctx.Err()
	}
}
