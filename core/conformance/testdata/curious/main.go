// Curious is a plugin whose block needs something of its host: a file beside its folder or the network, as the
// name of its executable tells.
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

type input struct {
	Name string `json:"name"`
}

var file = filepath.Join(filepath.Dir(filepath.Dir(os.Args[0])), "names.txt")

func main() {
	name := filepath.Base(os.Args[0])
	if strings.HasPrefix(name, "curious_start") {
		if _, err := os.ReadFile(file); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(2)
		}
	}
	needs := map[string]func(context.Context) (string, error){
		"file":    readFile,
		"network": askNetwork,
		"sullen": func(context.Context) (string, error) {
			if _, err := os.ReadFile(file); err != nil {
				return "", errors.New("cannot work: permission denied")
			}
			return "Ada", nil
		},
	}
	need := readFile
	for what, does := range needs {
		if strings.HasPrefix(name, "curious_"+what) {
			need = does
		}
	}
	block := sdk.Block[input]{
		ID: "dddddddd-0000-4000-8000-000000000001", Name: "Curious", Categories: []string{"TEXT"},
		Outputs: sdk.Outputs{sdk.Out("known", sdk.String("What is known of the name"))},
		Run: func(ctx context.Context, in input, out sdk.Emitter) error {
			known, err := need(ctx)
			if err != nil {
				return err
			}
			return out.Emit("known", known)
		},
		Examples: []sdk.Example{{Input: `{"name":"Ada"}`, Output: `{"known":["Ada"]}`}},
	}
	sdk.Serve(sdk.Plugin{Name: name, Version: "1.0.0", Blocks: sdk.Blocks(block)})
}

func readFile(context.Context) (string, error) {
	text, err := os.ReadFile(file)
	return string(text), err
}

func askNetwork(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://names.example/", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
