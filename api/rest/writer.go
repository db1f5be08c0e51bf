package rest

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// flushFrom is how many bytes a jsonWriter gathers before it writes them; larger values are written as they are.
const flushFrom = 32 << 10

// texts are buffers of answers that were sent.
var texts = sync.Pool{New: func() any { return new(make([]byte, 0, 2*flushFrom)) }}

// jsonWriter assembles an answer that holds values. encoding/json would compact and escape them; here they come out
// byte for byte, and nothing is held that the client could have already. The first error of writing sticks.
type jsonWriter struct {
	to    io.Writer
	text  []byte
	comma bool // whether something stands before what comes next
	err   error
}

// answerJSON sends what write assembles, in one piece with its length where it is not long.
func answerJSON(w http.ResponseWriter, status int, write func(*jsonWriter)) error {
	text := texts.Get().(*[]byte)
	defer texts.Put(text)
	a := &jsonAnswer{ResponseWriter: w, status: status, stall: stalled}
	j := &jsonWriter{to: a, text: (*text)[:0]}
	write(j)
	if !a.begun && j.err == nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(j.text)))
	}
	err := j.end()
	if cap(j.text) <= 4*flushFrom {
		*text = j.text
	}
	return err
}

// stalled is how long a client may take nothing of an answer before it is given up: what it does not read is held for it.
const stalled = 30 * time.Second

// jsonAnswer sends its header with the first bytes of the body.
type jsonAnswer struct {
	http.ResponseWriter
	status int
	begun  bool
	stall  time.Duration
}

func (a *jsonAnswer) Write(b []byte) (n int, err error) {
	if !a.begun {
		a.begun = true
		a.Header().Set("Content-Type", "application/json")
		a.WriteHeader(a.status)
	}
	deadlines := http.NewResponseController(a.ResponseWriter)
	for n < len(b) {
		// Where there is no deadline there is no connection either. The server takes it back behind the answer.
		_ = deadlines.SetWriteDeadline(time.Now().Add(a.stall))
		m, err := a.ResponseWriter.Write(b[n:min(len(b), n+flushFrom)])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (j *jsonWriter) end() error {
	j.flush()
	return j.err
}

// still says whether there is anybody to go on for, or anything to go on with: an error while values are read is the answer
// where nothing was sent, and else ends it in the middle, so that nobody takes it for a whole one.
func (j *jsonWriter) still(err error) bool {
	if j.err == nil {
		j.err = err
	}
	return j.err == nil
}

func (j *jsonWriter) flush() {
	if j.err == nil && len(j.text) > 0 {
		_, j.err = j.to.Write(j.text)
	}
	j.text = j.text[:0]
}

// next begins a value or a key.
func (j *jsonWriter) next() {
	if j.comma {
		j.text = append(j.text, ',')
	}
	j.comma = true
	if len(j.text) >= flushFrom {
		j.flush()
	}
}

func (j *jsonWriter) key(name string) {
	j.string(name)
	j.text = append(j.text, ':')
	j.comma = false
}

func (j *jsonWriter) open(bracket byte) {
	j.next()
	j.text = append(j.text, bracket)
	j.comma = false
}

func (j *jsonWriter) close(bracket byte) {
	j.text = append(j.text, bracket)
	j.comma = true
}

func (j *jsonWriter) object(members func()) {
	j.open('{')
	members()
	j.close('}')
}

// value writes JSON as it is; nothing at all is null.
func (j *jsonWriter) value(v json.RawMessage) {
	if len(v) == 0 {
		j.null()
		return
	}
	j.next()
	if len(v) < flushFrom {
		j.text = append(j.text, v...)
		return
	}
	j.flush()
	if j.err == nil {
		_, j.err = j.to.Write(v)
	}
}

// valueOrEmpty writes nothing at all as an empty object.
func (j *jsonWriter) valueOrEmpty(v json.RawMessage) {
	if len(v) == 0 {
		j.object(func() {})
		return
	}
	j.value(v)
}

func (j *jsonWriter) string(s string) {
	j.next()
	j.text = jsonscan.AppendString(j.text, s)
}

// stringOrNull writes an empty string as null.
func (j *jsonWriter) stringOrNull(s string) {
	if s == "" {
		j.null()
		return
	}
	j.string(s)
}

func (j *jsonWriter) strings(list []string) {
	j.open('[')
	for _, s := range list {
		j.string(s)
	}
	j.close(']')
}

func (j *jsonWriter) int(n int) {
	j.next()
	j.text = strconv.AppendInt(j.text, int64(n), 10)
}

func (j *jsonWriter) float(f float64) {
	j.next()
	j.text = strconv.AppendFloat(j.text, math.Round(f*1e6)/1e6, 'f', -1, 64)
}

func (j *jsonWriter) bool(b bool) {
	j.next()
	j.text = strconv.AppendBool(j.text, b)
}

func (j *jsonWriter) null() {
	j.next()
	j.text = append(j.text, "null"...)
}

func (j *jsonWriter) time(t time.Time) {
	j.next()
	j.text = append(j.text, '"')
	j.text = t.UTC().AppendFormat(j.text, time.RFC3339Nano)
	j.text = append(j.text, '"')
}

func (j *jsonWriter) timeOrNull(t *time.Time) {
	if t == nil {
		j.null()
		return
	}
	j.time(*t)
}
