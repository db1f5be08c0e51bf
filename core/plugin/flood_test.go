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
