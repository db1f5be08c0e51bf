//go:build linux

package plugin

import (
	"fmt"
	"strings"
	"testing"
)

func TestFloodOfLogLinesIsBounded(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	const many = 50_000
	if done := h.attack(target{"run", fmt.Sprintf("yes flood | head -n %d >&2", many)}); len(done) != 1 {
		t.Error("a flood holds the plugin up")
	}
	h.Close()
	said := h.log.String()
	if n := strings.Count(said, "flood"); n < logLinesBurst || n > many/2 {
		t.Errorf("%d of %d lines are in the log", n, many)
	}
	if !strings.Contains(said, "lines_dropped") {
		t.Error("nothing says that lines were dropped")
	}
}

// What a plugin's children have left is nobody's but the launcher's, and counts until somebody reaps it.
func TestOrphansOfAPluginAreReaped(t *testing.T) {
	t.Parallel()
	dir := install(t, "good")
	put(t, dir, "good", `{"name":"good","version":"1.0.0","protocol":1,"permissions":{"processes":40}}`)
	h := startHost(t, Config{Dirs: []string{dir}}, testPace())
	script := "i=0; while [ $i -lt 100 ]; do (true & true); i=$((i+1)); done"
	for range 2 {
		if outputs := h.mustDo(blockAttack, fmt.Sprintf(`{"value":[{"Kind":"run","What":%q}]}`, script)); len(outputs) != 1 {
			t.Errorf("it could not start more: %+v", h.status("good"))
		}
	}
}
