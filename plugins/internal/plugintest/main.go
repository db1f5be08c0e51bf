package plugintest

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a plugin, then cleanup, and fails when goroutines are left.
func Main(m *testing.M, cleanup ...func()) {
	status := m.Run()
	for _, f := range cleanup {
		f()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // of blocks that asked a test's server
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
