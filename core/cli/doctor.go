package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/server"
)

type doctorCommand struct{}

// Run prints what is well and what is not, a line each, and what to do about it below. What keeps a server from working
// makes the exit code 1.
func (doctorCommand) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	failed := false
	for _, f := range server.Diagnose(ctx, settings) {
		failed = failed || f.Level == server.Fail
		if _, err := fmt.Fprintf(t.out, "%-4s  %s: %s\n", f.Level, f.What, oneLine(f.Detail)); err != nil {
			return err
		}
		if f.Advice != "" {
			if _, err := fmt.Fprintf(t.out, "      %s\n", oneLine(f.Advice)); err != nil {
				return err
			}
		}
	}
	if failed {
		return exitStatus(1)
	}
	return nil
}

func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }
