// Package cli is the command line: it reads settings and flags, starts the server, and is a client of it for agents.
// It must hold nothing that a client over REST and WebSocket could not do as well.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/postgres"
)

type commands struct {
	config.Settings `embed:"" group:"settings"`

	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Token   tokenCommand   `cmd:"" help:"Print a token for the API, signed with the server's secret."`
	Account accountCommand `cmd:"" help:"Make accounts of the server's own, and change their passwords."`
	Agent   agentCommand   `cmd:"" help:"Import, run and export agents."`
	Key     keyCommand     `cmd:"" help:"Look after the keys that stored credentials are encrypted under."`
	Plugin  pluginCommand  `cmd:"" help:"Look after plugins."`
	Migrate migrateCommand `cmd:"" help:"Migrate the database; serve does so too."`
	Doctor  doctorCommand  `cmd:"" help:"Look whether a server would work here, and what the system can deny plugins."`
}

// terminal is where a command reads and writes.
type terminal struct {
	out, err io.Writer
	program  string // as the user calls it
}

// Main runs the command line and returns the exit code.
func Main(args, environ []string) int {
	relaxTimers(args, environ)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, environ, terminal{out: os.Stdout, err: os.Stderr, program: args[0]})
}

func run(ctx context.Context, args, environ []string, t terminal) int {
	var c commands
	source := config.NewSource(environ)
	exited, code := false, 0
	parser, err := kong.New(&c,
		kong.Name("patchbay"),
		kong.Description("Build, run and watch agents: automations made of blocks."),
		kong.Writers(t.out, t.err),
		kong.Exit(func(status int) { exited, code = true, status }),
		kong.Resolvers(source),
		kong.Vars{"user": localUser},
		kong.ExplicitGroups([]kong.Group{{
			Key: config.Group, Title: "Settings (flag, PATCHBAY_… in the environment, or patchbay.yaml):",
		}}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, NoExpandSubcommands: false}),
		kong.Help(help),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t, &c.Settings),
	)
	if err != nil {
		panic("cli: " + err.Error()) // the commands above are wrong
	}
	if len(args) < 2 {
		args = append(args[:len(args):len(args)], "--help")
	}
	if args[1] == "help" { // as people try it
		args = append(append([]string{args[0]}, args[2:]...), "--help")
	}
	selected, err := parser.Parse(args[1:])
	if exited {
		return code
	}
	if err != nil {
		fmt.Fprintf(t.err, "patchbay: %v\n", err)
		return 2
	}
	if err := c.Complete(source); err != nil {
		fmt.Fprintf(t.err, "patchbay: %v\n", err)
		return 2
	}
	if err := selected.Run(); err != nil {
		var status exitStatus
		if errors.As(err, &status) {
			return int(status)
		}
		fmt.Fprintf(t.err, "patchbay: %s\n", printableLines(strings.TrimSpace(err.Error())))
		var missing *postgres.NoBinariesError
		if errors.As(err, &missing) {
			fmt.Fprintf(t.err, "\n  install it:  %s\n  or use another server:  PATCHBAY_DATABASE_URL=postgres://user:password@host/name\n", missing.Hint())
		}
		return 1
	}
	return 0
}

// exitStatus ends the program with a code when all has been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// help shows all settings with serve, and with other commands only those that help them find the server.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	command := ctx.Command()
	for _, flag := range ctx.Model.Flags {
		if flag.Group == nil || flag.Group.Key != config.Group {
			continue
		}
		switch {
		case flag.Name == "config" || flag.Name == "data-dir":
		case strings.HasPrefix(command, "serve"):
		default:
			flag.Hidden = true
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// shown is the program as a user would type it.
func (t terminal) shown() string {
	if path, err := filepath.Rel(".", t.program); err == nil && !strings.HasPrefix(path, "..") && strings.Contains(t.program, string(filepath.Separator)) {
		return path
	}
	return t.program
}
