package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

type serveIn struct {
	Script []step          `json:"script" required:"true"`
	T      json.RawMessage `json:"t"`
}

// step is one thing that a block asks of its host. What comes of it goes out of the pin p.
type step struct {
	Do   string `json:"do"`
	Key  string `json:"key"` // or place, name, address
	Text string `json:"text"`
}

// serve does what its script says.
func serve(ctx context.Context, in serveIn, out sdk.Emitter) error {
	for _, s := range in.Script {
		value, err := s.do(ctx)
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		if err := out.Emit("p", value); err != nil {
			return err
		}
	}
	return nil
}

func (s step) do(ctx context.Context) (any, error) {
	keys := sdk.Keys(sdk.UserKeys)
	switch s.Do {
	case "count": // one more than before
		raw, found, err := keys.Get(ctx, s.Key)
		n := 0
		if err == nil && found {
			err = json.Unmarshal(raw, &n)
		}
		if err != nil {
			return nil, err
		}
		return n + 1, keys.Set(ctx, s.Key, n+1)
	case "set": // and yields nothing
		return nil, keys.Set(ctx, s.Key, s.Text)
	case "deadline":
		return sdk.Deadline(ctx, time.Hour)
	case "remember": // what no other attempt would say
		return sdk.Remember(ctx, fmt.Sprint(sdk.RunFrom(ctx).Attempt, " ", time.Now().UnixNano()))
	case "store":
		return sdk.StoreFile(ctx, s.Key, "text/plain", strings.NewReader(s.Text))
	case "open":
		file, err := sdk.OpenFile(ctx, s.Key)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		content, err := io.ReadAll(file)
		return string(content), err
	case "post":
		response, err := sdk.HTTPClient(ctx).Post(s.Key, "text/plain", strings.NewReader(s.Text))
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return []any{response.StatusCode, len(body)}, err
	case "hang":
		_, err := sdk.HTTPClient(ctx).Get(s.Key)
		return nil, err
	case "@":
		return nil, report(ctx, s.Key, true)
	default:
		return nil, sdk.InvalidInput("the script says %q", s.Do)
	}
}
