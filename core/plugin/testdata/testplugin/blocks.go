package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

type in struct {
	Value json.RawMessage `json:"value"`
	N     int             `json:"n"`
	Size  int             `json:"size"`
	Text  string          `json:"text"`
}

func define(number int, name string, run func(ctx context.Context, in in, out sdk.Emitter) error) sdk.Definition {
	return sdk.Block[in]{
		ID:      fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", number),
		Name:    name,
		Outputs: sdk.Outputs{sdk.Out("output", sdk.Any("")), sdk.Out("tools", sdk.Any(""))},
		Run:     run,
	}
}

func echo(id string) sdk.Definition {
	return sdk.Block[in]{
		ID: id, Name: "Echo", Outputs: sdk.Outputs{sdk.Out("output", sdk.Any(""))},
		Run: func(_ context.Context, in in, out sdk.Emitter) error { return out.Emit("output", in.Value) },
	}
}

func blocks() []sdk.Definition {
	return sdk.Blocks(
		echo("aaaaaaaa-0000-4000-8000-000000000001"),
		define(2, "Emit", emit),
		define(3, "Wait", wait),
		define(4, "Stubborn", stubborn),
		define(5, "Exit", exit),
		define(6, "Panic", func(context.Context, in, sdk.Emitter) error { panic("eek") }),
		define(7, "Print", printTo),
		define(8, "Grandchild", grandchild),
		define(9, "Report", report),
		define(10, "Fail", func(ctx context.Context, in in, _ sdk.Emitter) error {
			sdk.Count(ctx, "tries", 1)
			sdk.Count(ctx, "tries", 2)
			sdk.Count(ctx, "No Name", 1)
			return errors.New(in.Text)
		}),
		define(13, "Context", func(ctx context.Context, _ in, out sdk.Emitter) error {
			run := sdk.RunFrom(ctx)
			for _, v := range run.Recorded {
				if err := out.Emit(v.Pin, v.Value); err != nil {
					return err
				}
			}
			return out.Emit("output", fmt.Sprint(run.NodeExecutionID, " ", run.Attempt))
		}),
		define(14, "Keys", keys),
		credentials(),
		leak(),
		define(17, "Attack", attack),
		define(18, "Breed", breed),
		define(19, "Devour", devour),
		define(11, "Nothing", func(context.Context, in, sdk.Emitter) error { return nil }),
	)
}

// credentials yields the secret that it is given: a test's.
func credentials() sdk.Definition {
	type in struct {
		Credentials sdk.Credential `json:"credentials" providers:"vendor,other" types:"api_key,oauth2" optional:"true"`
	}
	return sdk.Block[in]{
		ID: "aaaaaaaa-0000-4000-8000-000000000015", Name: "Credentials", Outputs: sdk.Outputs{sdk.Out("output", sdk.Any(""))},
		Run: func(_ context.Context, in in, out sdk.Emitter) error {
			return out.Emit("output", []any{in.Credentials, in.Credentials.Bearer()})
		},
	}
}

// leak tells the secret that it is given wherever it can, as a careless block would, and ends as the text says.
func leak() sdk.Definition {
	type in struct {
		Text        string         `json:"text"`
		Credentials sdk.Credential `json:"credentials" providers:"vendor" types:"api_key,user_password"`
	}
	return sdk.Block[in]{
		ID: "aaaaaaaa-0000-4000-8000-000000000016", Name: "Leak", Outputs: sdk.Outputs{sdk.Out("output", sdk.Any("")), sdk.Out("error", sdk.String(""))},
		Run: func(ctx context.Context, in in, out sdk.Emitter) error {
			secret := in.Credentials.Bearer()
			if pair, ok := in.Credentials.UserPassword(); ok {
				secret = pair.Password()
			}
			fmt.Fprintln(os.Stderr, "to stderr: "+secret)
			fmt.Println("to stdout: " + secret)
			sdk.Logger(ctx).Info("to the log: "+secret, "field", "https://x.test/?key="+url.QueryEscape(secret))
			out.Progress(sdk.Progress{Text: "in the progress: " + secret})
			switch in.Text {
			case "panic":
				panic("panicked: " + secret)
			case "exit":
				fmt.Fprintln(os.Stderr, "fatal: "+secret)
				os.Exit(3)
			case "emit":
				return out.Emit("error", "emitted: "+secret)
			}
			return errors.New("returned: " + secret)
		},
	}
}

func settings() sdk.Definition {
	return define(12, "Settings", func(ctx context.Context, _ in, out sdk.Emitter) error {
		return out.Emit("output", sdk.Setting(ctx, "token")+" "+sdk.Setting(ctx, "url"))
	})
}

// keys asks for n keys at once and yields the values; with a text it says first that it runs, and sets the key of that
// name between its outputs.
func keys(ctx context.Context, in in, out sdk.Emitter) error {
	store := sdk.Keys(sdk.UserKeys)
	if in.Text != "" {
		for i := range in.N {
			if err := out.Emit("output", i); err != nil {
				return err
			}
			if err := store.Set(ctx, in.Text, i); err != nil {
				return err
			}
		}
		return nil
	}
	values, failed := make([]json.RawMessage, in.N), make(chan error, in.N)
	for i := range in.N {
		go func() {
			var err error
			values[i], _, err = store.Get(ctx, fmt.Sprint(i))
			failed <- err
		}()
	}
	for range in.N {
		if err := <-failed; err != nil {
			return err
		}
	}
	return out.Emit("output", values)
}

// emit yields the numbers below n, each padded to size.
func emit(_ context.Context, in in, out sdk.Emitter) error {
	for i := range in.N {
		if err := out.Emit("output", fmt.Sprintf("%d%s", i, strings.Repeat("x", in.Size))); err != nil {
			return err
		}
		out.Progress(sdk.Progress{Text: fmt.Sprint(i)})
	}
	return nil
}

// wait says that it runs and waits to be cancelled.
func wait(ctx context.Context, _ in, out sdk.Emitter) error {
	if err := out.Emit("output", "running"); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// stubborn says that it runs and cannot be cancelled.
func stubborn(_ context.Context, _ in, out sdk.Emitter) error {
	if err := out.Emit("output", "running"); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

func exit(_ context.Context, in in, out sdk.Emitter) error {
	fmt.Fprintln(os.Stderr, "last words")
	if in.Text == "kill" {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Exit(in.N)
	return nil
}

// printTo writes a line of the given size to standard output or error, by the file and by its number.
func printTo(_ context.Context, in in, out sdk.Emitter) error {
	line := []byte(strings.Repeat("y", in.Size) + "\n")
	f, fd := os.Stdout, 1
	if in.Text == "stderr" {
		f, fd = os.Stderr, 2
	}
	if _, err := f.Write(line); err != nil {
		return err
	}
	for len(line) > 0 {
		n, err := syscall.Write(fd, line)
		if err != nil {
			return err
		}
		line = line[n:]
	}
	return out.Emit("output", "printed")
}

// grandchild leaves a process behind that holds the standard streams.
func grandchild(_ context.Context, in in, out sdk.Emitter) error {
	told, tells, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", "cd -P /proc/self && pwd -P >&3; exec 3>&-; exec sleep 1000")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{tells}
	if in.Text == "escape" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = tells.Close()
	folder, err := io.ReadAll(told)
	if err != nil {
		return err
	}
	return out.Emit("output", numbered(path.Base(strings.TrimSpace(string(folder))), cmd.Process.Pid))
}

// numbered is what the host knows a process by, whose folders of processes these are. This process may be in a namespace,
// and call it otherwise.
func numbered(folder string, here int) int {
	if there, err := strconv.Atoi(folder); err == nil {
		return there
	}
	return here
}

func report(_ context.Context, _ in, out sdk.Emitter) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	var stdin [1]byte
	n, _ := os.Stdin.Read(stdin[:])
	self, _ := os.Readlink("/proc/self")
	return out.Emit("output", map[string]any{
		"pid": numbered(self, os.Getpid()), "env": os.Environ(), "dir": dir, "args": os.Args, "stdin": n,
	})
}
