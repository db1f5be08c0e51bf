package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/server"
)

type keyCommand struct {
	Rotate keyRotate `cmd:"" help:"Encrypt the stored credentials under a new key, while servers run; what was broken off goes on."`
}

type keyRotate struct{}

// rotation does a step of the rotation that goes on after a place.
type rotation func(ctx context.Context, after string) (*credential.Rotation, error)

// Run is patchbay key rotate. A running server with a private Postgres does it itself.
func (keyRotate) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	err := server.WithVault(ctx, settings, newLogger(settings, t.err), func(v *credential.Vault) error { return rotate(ctx, v.Rotate, t) })
	if used, ok := errors.AsType[*server.InUseError](err); !ok || used.Command {
		return err
	}
	c, err := accountConnection{}.open(settings)
	if err != nil {
		return err
	}
	return rotate(ctx, c.rotate, t)
}

func rotate(ctx context.Context, step rotation, t terminal) error {
	r, err := step(ctx, "")
	if err != nil {
		return err
	}
	progress := mpb.NewWithContext(ctx, mpb.WithOutput(t.err), mpb.WithWidth(40)) // silent unless it is a terminal
	bar := progress.AddBar(int64(r.Total), mpb.PrependDecorators(decor.Name("credentials "), decor.CountersNoUnit("%d / %d")))
	failed := r.Failed
	for bar.SetCurrent(int64(r.Total - r.Left)); r.After != ""; bar.SetCurrent(int64(r.Total - r.Left)) {
		if r, err = step(ctx, r.After); err != nil {
			break
		}
		failed += r.Failed
		bar.SetTotal(int64(r.Total), false)
	}
	bar.Abort(false)
	progress.Wait()
	switch {
	case err != nil:
		return fmt.Errorf("%w; what is done stays done, and the same command goes on", err)
	case failed > 0:
		return fmt.Errorf("%d credentials are damaged and stay what they are; the server's log names them", failed)
	case r.Left > 0:
		return fmt.Errorf("%d credentials were stored under another key meanwhile; the same command goes on", r.Left)
	}
	_, err = fmt.Fprintf(t.out, "%d credentials are encrypted under the key %s\n", r.Total, r.Key)
	return err
}

// tooManyPause is the pause before a server that had too many requests is asked again.
const tooManyPause = 5 * time.Second

func (c *client) rotate(ctx context.Context, after string) (*credential.Rotation, error) {
	body, err := json.Marshal(map[string]string{"after": after})
	if err != nil {
		return nil, err
	}
	var answer struct {
		KeyID  credential.KeyID `json:"key_id"`
		Total  int              `json:"total"`
		Left   int              `json:"left"`
		Failed int              `json:"failed"`
		After  string           `json:"after"`
	}
	for {
		err = c.call(ctx, http.MethodPost, "/api/v2/admin/encryption-keys/rotate", body, &answer)
		if refused, ok := errors.AsType[*problem](err); !ok || refused.Status != http.StatusTooManyRequests {
			break
		}
		select {
		case <-time.After(tooManyPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return &credential.Rotation{Key: answer.KeyID, Total: answer.Total, Left: answer.Left, Failed: answer.Failed, After: answer.After}, nil
}
