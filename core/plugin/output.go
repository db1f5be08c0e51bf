package plugin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

// maxHandshake bounds the first line of standard output, which carries a certificate.
const maxHandshake = 16 << 10

// maxLogged is how much of a line is logged.
const maxLogged = 8 << 10

// tailSize is how much of what a process last wrote is kept.
const tailSize = 8 << 10

// drainStdout hands the first line to the handshake and logs what follows. It reads to the end, whatever comes, so
// that the plugin never blocks on a full pipe.
func (p *process) drainStdout() {
	r := bufio.NewReaderSize(p.stdout, maxHandshake)
	line, err := r.ReadSlice('\n')
	if len(line) > 0 {
		_, _ = p.announce.Write(append(bytes.TrimRight(line, "\r\n"), '\n'))
	}
	_ = p.announce.Close()
	if err != nil && err != bufio.ErrBufferFull {
		return
	}
	lines(r, func(line []byte) {
		if p.gate.pass(len(line)) {
			p.log.Info(p.veil.hide(logged(line)), "stream", "stdout")
		}
	})
}

// drainStderr logs what the plugin writes and keeps the tail of it.
func (p *process) drainStderr() {
	lines(bufio.NewReaderSize(p.stderr, 64<<10), func(line []byte) {
		e, ok := parseLogLine(line)
		line = []byte(p.veil.hide(string(line)))
		if !ok {
			p.tail.add(line)
			if !p.gate.pass(len(line)) {
				return
			}
			level := hclog.Info
			if bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: ")) {
				level = hclog.Error
			}
			p.log.Log(level, logged(line), "stream", "stderr")
			return
		}
		if e.level > hclog.Debug {
			p.tail.add(line)
		}
		if !p.gate.pass(len(line)) {
			return
		}
		for i, field := range e.fields {
			e.fields[i] = p.veil.hide(field.(string))
		}
		p.log.Log(e.level, p.veil.hide(e.message), e.fields...)
	})
}

// lines calls f with each line of r until its end. Of a line that is longer than the reader's buffer f gets the
// beginning only; f must not keep the line.
func lines(r *bufio.Reader, f func(line []byte)) {
	skip := false
	for {
		line, err := r.ReadSlice('\n')
		if !skip && len(bytes.TrimRight(line, "\r\n")) > 0 {
			f(bytes.TrimRight(line, "\r\n"))
		}
		switch err {
		case nil:
			skip = false
		case bufio.ErrBufferFull:
			skip = true
		default:
			return
		}
	}
}

type logLine struct {
	level   hclog.Level
	message string
	fields  []any
}

// parseLogLine reads a line as hclog writes it in JSON.
func parseLogLine(line []byte) (logLine, bool) {
	if len(line) == 0 || line[0] != '{' {
		return logLine{}, false
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(line, &raw) != nil {
		return logLine{}, false
	}
	var level, message string
	if json.Unmarshal(raw["@level"], &level) != nil || json.Unmarshal(raw["@message"], &message) != nil {
		return logLine{}, false
	}
	e := logLine{level: levelOf(level), message: logged([]byte(message))}
	for k, v := range raw {
		if strings.HasPrefix(k, "@") || k == "plugin" || len(e.fields) >= 2*maxLogFields {
			continue // which plugin it is, the host knows
		}
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		e.fields = append(e.fields, k, logged([]byte(s)))
	}
	return e, true
}

// maxLogFields bounds the fields of one log entry.
const maxLogFields = 32

func levelOf(name string) hclog.Level {
	if l := hclog.LevelFromString(name); l != hclog.NoLevel && l != hclog.Off {
		return l
	}
	return hclog.Info
}

// logged is text that is safe to show: bounded, valid UTF-8, no control characters.
func logged(b []byte) string {
	if len(b) > maxLogged {
		b = append(b[:maxLogged:maxLogged], "…"...)
	}
	return printable(string(b))
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// tail keeps the last lines of what was added.
type tail struct {
	mu    sync.Mutex
	buf   []byte
	cause []byte // the line of why, which a trace may follow that is longer than what is kept
}

// causes begin the line that says why a program in Go ends.
var causes = [][]byte{[]byte("panic: "), []byte("fatal error: "), []byte("runtime: failed to create new OS thread")}

func (t *tail) add(line []byte) {
	if len(line) > tailSize {
		line = line[len(line)-tailSize:]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil && slices.ContainsFunc(causes, func(c []byte) bool { return bytes.HasPrefix(line, c) }) {
		t.cause = bytes.Clone(line[:min(len(line), tailSize/8)])
	}
	if over := len(t.buf) + len(line) + 1 - tailSize; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[min(over, len(t.buf)):])]
	}
	t.buf = append(append(t.buf, line...), '\n')
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.buf
	if t.cause != nil && !bytes.Contains(text, t.cause) {
		text = slices.Concat(t.cause, []byte("\n…\n"), text)
	}
	return strings.TrimSpace(printable(string(text)))
}
