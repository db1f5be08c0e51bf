package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/dlclark/regexp2"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/plugins/internal/plugintest"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestMain(m *testing.M) {
	jinja.ServeChild()
	status := m.Run()
	templates.Close()
	regexp2.StopTimeoutClock()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func TestBlocksAreAsAgentsExpectThem(t *testing.T) {
	t.Parallel()
	plugintest.Facts(t, plugin)
}

func TestVectors(t *testing.T) {
	t.Parallel()
	plugintest.Vectors(t, plugin)
}

func TestExamples(t *testing.T) {
	t.Parallel()
	blocktest.Examples(t, plugin.Blocks...)
}
