package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // machines without the database of time zones have time zones too

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/server"
)

type serveCommand struct{}

// Run serves until a signal comes or something that the server needs is gone.
func (serveCommand) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	log := newLogger(settings, t.err)
	began := time.Now()
	s, err := server.Start(ctx, settings, log)
	if err != nil {
		if ctx.Err() != nil {
			log.Info("stopped while starting")
			return nil
		}
		return err
	}
	log.Info("ready", "rest", "http://"+s.RESTAddress(), "websocket", "ws://"+s.WSAddress()+"/ws", "took", time.Since(began).Round(time.Millisecond))
	if s.ExposesGeneratedSecret() {
		log.Warn("other machines can reach this server, and its secret was generated, not set: whoever reads the data folder can sign tokens; "+
			"set PATCHBAY_JWT_SECRET to one of your own, or listen on 127.0.0.1", "addr", settings.Addr, "ws_addr", settings.WSAddr)
	}
	if lacks, err := s.LacksAdmin(ctx); err != nil {
		log.Warn("look for an administrator", "error", err)
	} else if lacks {
		log.Warn("there is no account of an administrator yet; make one", "command", self(t, settings)+" account create --admin --email you@example.com")
	}
	if settings.LogFormat == "text" {
		greet(t, settings, s)
	}
	var failure error
	select {
	case <-ctx.Done():
		log.Info("shutting down; again Ctrl-C or SIGTERM ends running blocks at once", "grace", settings.Grace())
	case failure = <-s.Failed():
		log.Error("shutting down", "error", failure)
	}
	// The first signal has been used up: another one ends the grace period.
	grace, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	s.Stop(grace)
	log.Info("stopped")
	return failure
}

func newLogger(settings *config.Settings, out io.Writer) hclog.Logger {
	options := &hclog.LoggerOptions{
		Name: "patchbay", Level: hclog.LevelFromString(settings.LogLevel), Output: out,
		JSONFormat: settings.LogFormat == "json", IndependentLevels: true, // the audit log has its own
	}
	if !options.JSONFormat && isTerminal(out) {
		options.Color = hclog.ForceColor
		options.ColorHeaderOnly = true
	}
	return hclog.New(options)
}

// quietLogger is for commands that say themselves what they have done: it writes warnings, for people.
func quietLogger(out io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "patchbay", Level: hclog.Warn, Output: out, DisableTime: true})
}

// greet tells a newcomer where the server is and what to type first.
func greet(t terminal, settings *config.Settings, s *server.Server) {
	token := self(t, settings) + " token --user " + localUser
	fmt.Fprintf(t.out, `
  Patchbay is ready.

    REST       http://%[1]s
    WebSocket  ws://%[2]s/ws
    API        http://%[1]s/openapi.json
    Data       %[3]s

  Try it in another terminal:

    TOKEN=$(%[4]s)
    curl -s -H "Authorization: Bearer $TOKEN" http://%[1]s/api/v2/builder/blocks

  Ctrl-C stops the server.

`, s.RESTAddress(), s.WSAddress(), settings.DataDir, token)
}

// self is how this program is called so that it finds this server.
func self(t terminal, settings *config.Settings) string {
	if settings.DefaultDataDir {
		return t.shown()
	}
	return t.shown() + " --data-dir " + quoted(settings.DataDir)
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if strings.ContainsAny(path, " '\"$\\`()&;|<>*?[]#~!") {
		return "'" + strings.ReplaceAll(filepath.Clean(path), "'", `'\''`) + "'"
	}
	return path
}
