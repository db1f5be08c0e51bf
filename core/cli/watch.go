package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// watch prints what happens in an execution, a line an event: in colours on a terminal, plainly elsewhere.
type watch struct {
	out     io.Writer
	colours bool
	titles  map[string]string
	started map[string]time.Time // by node execution
	begun   time.Time
}

func newWatch(out io.Writer, titles map[string]string) *watch {
	return &watch{out: out, colours: isTerminal(out), titles: titles, started: map[string]time.Time{}}
}

type colour string

const (
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
)

func (w *watch) begin(name, execution string) {
	w.line(dim, "run", fmt.Sprintf("%s  execution %s", name, execution))
}

func (w *watch) note(text string) { w.line(yellow, "note", text) }

func (w *watch) show(e *event) {
	node := w.titles[e.NodeID]
	if node == "" {
		node = e.NodeID
	}
	switch e.Type {
	case "execution.started":
		w.begun = e.At
	case "node.started":
		w.started[e.NodeEx] = e.At
		w.line(cyan, "start", node)
	case "node.output":
		w.line(dim, "yield", fmt.Sprintf("%s  %s = %s", node, e.Pin, shortened(string(e.Value), mostValue)))
	case "node.progress":
		if text := e.Text + e.Delta; text != "" {
			w.line(dim, "...", node+"  "+shortened(text, mostValue))
		}
	case "node.completed":
		w.line(green, "end", node+w.took(e.NodeEx, e.At))
	case "node.failed":
		w.line(red, "fail", node+w.took(e.NodeEx, e.At)+"  "+e.Error.Message)
	case "execution.completed":
		tone := green
		if e.Status != "COMPLETED" {
			tone = yellow
		}
		w.line(tone, "done", e.Status+since(w.begun, e.At))
	case "execution.failed":
		text := e.Status + since(w.begun, e.At) + "  " + e.Error.Message
		if title := w.titles[e.Error.NodeID]; title != "" {
			text += "  (" + title + ")"
		}
		w.line(red, "done", text)
	}
}

func (w *watch) took(execution string, end time.Time) string {
	start := w.started[execution]
	delete(w.started, execution)
	return since(start, end)
}

func since(start, end time.Time) string {
	if start.IsZero() || end.Sub(start) < time.Millisecond {
		return ""
	}
	return "  " + end.Sub(start).Round(time.Millisecond).String()
}

func (w *watch) line(c colour, word, text string) {
	word = fmt.Sprintf("%-5s", word)
	if w.colours {
		word = "\x1b[" + string(c) + "m" + word + "\x1b[0m"
	}
	// A reader who has gone must not end the run.
	_, _ = fmt.Fprintf(w.out, "%s  %s\n", word, printable(text))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}
