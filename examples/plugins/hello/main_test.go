package main

import (
	"os"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestExamples(t *testing.T) { blocktest.Examples(t, hello) }

func TestPluginProcess(t *testing.T) {
	t.Parallel()
	plugin := blocktest.Start(t, blocktest.Build(t, "."), nil)
	got, err := plugin.Run(t.Context(), "Hello", `{}`)
	if err != nil || len(got) != 1 || string(got[0].Value) != `"Hello, World!"` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestPluginIsShort(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(source), "\n"); lines >= 30 {
		t.Errorf("a complete plugin takes %d lines, it shall take less than 30", lines)
	}
}
