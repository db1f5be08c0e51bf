package postgres

import (
	"bufio"
	"io"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// logTail keeps the last lines for the error of a start that failed.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 12

func (t *logTail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *logTail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// copyLog hands what Postgres prints to our log, until it ends.
func copyLog(from io.Reader, log hclog.Logger, tail *logTail) {
	const maxLine = 64 << 10
	lines := bufio.NewReaderSize(from, maxLine)
	for {
		raw, prefix, err := lines.ReadLine()
		if err != nil {
			return
		}
		line := string(raw)
		for prefix && err == nil { // the rest of a line that is too long is dropped
			_, prefix, err = lines.ReadLine()
		}
		tail.add(line)
		level, message := classify(line)
		log.Log(level, message)
	}
}

// classify gives a line the level that an operator would: errors of single statements are told by who sent them, and
// the course of a start or stop is of interest only when it is looked for.
func classify(line string) (hclog.Level, string) {
	severity, message, ok := strings.Cut(line, ":  ")
	if !ok {
		return hclog.Debug, line
	}
	switch severity {
	case "PANIC":
		return hclog.Error, message
	case "FATAL", "WARNING":
		return hclog.Warn, message
	default:
		return hclog.Debug, line
	}
}
