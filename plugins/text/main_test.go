package main

import (
	"testing"

	"github.com/dlclark/regexp2"

	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/plugins/internal/plugintest"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestMain(m *testing.M) {
	jinja.ServeChild()
	plugintest.Main(m, templates.Close, regexp2.StopTimeoutClock)
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
