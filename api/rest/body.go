package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

type bodyKey struct{}

// bodyOf is the body of a request as its bytes, for operations that have one; empty where none was sent.
func bodyOf(ctx context.Context) []byte {
	b, _ := ctx.Value(bodyKey{}).([]byte)
	return b
}

// smallBody is what a body may have that is read at once. Those of more bytes are bounded together.
const smallBody = 256 << 10

// withBody reads the body and refuses what is too large, not declared as JSON, or not one JSON document in UTF-8.
// Generated decoders would take the first document and leave what follows.
//
// It comes as slowly as its client likes, up to bodyTime, and is held meanwhile: of its user's share.
func (s *server) withBody(w http.ResponseWriter, r *http.Request, required bool, limit int64) (*http.Request, error) {
	if r.ContentLength > limit {
		leaveBody(w, r)
		return r, problem.TooLarge(limit)
	}
	size := r.ContentLength
	if size < 0 { // it does not say
		size = limit
	}
	if size > smallBody {
		release, err := s.bodies.Take(r.Context(), holder(r.Context()), int(size))
		if err != nil {
			return r, err
		}
		defer release()
	}
	// Not every writer in tests has deadlines; then there is nothing to bound either.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(bodyTime))
	defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	var buffer bytes.Buffer
	if r.ContentLength > 0 {
		buffer.Grow(int(r.ContentLength) + bytes.MinRead) // or reading grows it once more for the end
	}
	if _, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		leaveBody(w, r)
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return r, problem.TooLarge(limit)
		}
		return r, problem.Field("body", "the body could not be read to its end")
	}
	body := buffer.Bytes()
	switch {
	case len(body) == 0 && required:
		return r, problem.Field("body", "a body is required")
	case len(body) > 0:
		if err := checkMediaType(r.Header); err != nil {
			return r, err
		}
		if err := checkJSON(body); err != nil {
			return r, err
		}
	}
	r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r, nil
}

// holder is whose share the body of a request counts against: its user's, or its address's where that is nobody.
func holder(ctx context.Context) string {
	if p, ok := auth.Known(ctx); ok && p.UserID != "" {
		return p.UserID
	}
	return "address " + addressIn(ctx)
}

// Times that bodies may take to come: one that is read as a whole, one that is read in pieces, and each of its pieces.
const (
	bodyTime   = time.Minute
	piecesTime = time.Hour
	pieceTime  = time.Minute
)

// inPieces prepares a form whose handler reads it as it comes.
func inPieces(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" || r.Header.Get("Content-Encoding") != "" {
		leaveBody(w, r)
		return r, problem.UnsupportedMediaType("the body must be multipart/form-data")
	}
	in := r.WithContext(r.Context())
	in.Body = &pieces{from: r.Body, connection: http.NewResponseController(w), until: time.Now().Add(piecesTime)}
	return in, nil
}

// pieces is a body that may take its time as long as it goes on.
type pieces struct {
	from       io.ReadCloser
	connection *http.ResponseController
	until      time.Time
	ended      bool
}

func (p *pieces) Read(b []byte) (int, error) {
	by := time.Now().Add(pieceTime)
	if by.After(p.until) {
		by = p.until
	}
	_ = p.connection.SetReadDeadline(by) // not every writer in tests has deadlines
	n, err := p.from.Read(b)
	p.ended = p.ended || err != nil
	_ = p.connection.SetReadDeadline(time.Time{})
	return n, err
}

func (p *pieces) Close() error { return p.from.Close() }

// leaveBody lets the connection end with the answer when there is a body that nobody has read: net/http would wait for
// it before it answers.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
}

func noMembers() io.ReadCloser { return io.NopCloser(strings.NewReader("{}")) }

func checkMediaType(h http.Header) error {
	if h.Get("Content-Encoding") != "" {
		return problem.UnsupportedMediaType("the body must not be compressed")
	}
	media, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return problem.UnsupportedMediaType("the body must be application/json")
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return problem.UnsupportedMediaType("the body must be UTF-8")
	}
	return nil
}

func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return problem.Field("body", "the body is not UTF-8")
	}
	if json.Valid(body) {
		return nil
	}
	var document json.RawMessage
	err := json.Unmarshal(body, &document)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return problem.Field("body", fmt.Sprintf("the body is not JSON: %s (byte %d)", syntax, syntax.Offset))
	}
	return problem.Field("body", "the body is not JSON")
}

// envelope is the top level of a body whose values pass through: its members as they were sent, and what is wrong
// with them.
type envelope struct {
	members map[string]json.RawMessage
	wrong   map[string]string
}

// openEnvelope takes a JSON document apart that was checked to be one.
func openEnvelope(body []byte) (*envelope, error) {
	if jsonscan.KindOf(jsonscan.Trim(body)) != jsonscan.Object {
		return nil, problem.Field("body", "the body must be an object")
	}
	e := &envelope{members: map[string]json.RawMessage{}, wrong: map[string]string{}}
	for quoted, value := range jsonscan.Members(body) {
		name := jsonscan.Unquote(quoted)
		if _, known := e.members[name]; known {
			e.wrong[name] = "is given more than once"
		}
		e.members[name] = value
	}
	return e, nil
}

// object is a member that must be an object; nil where it is missing.
func (e *envelope) object(name string) json.RawMessage {
	value, ok := e.members[name]
	if ok && jsonscan.KindOf(value) != jsonscan.Object {
		e.wrong[name] = "must be an object, not " + jsonscan.KindOf(value).String()
	}
	return value
}

// number is a member that must be an integer from 1, however it is written; 0 where it is missing or null.
func (e *envelope) number(name string) int {
	value, ok := e.members[name]
	if !ok || jsonscan.KindOf(value) == jsonscan.Null {
		return 0
	}
	var n float64
	if err := json.Unmarshal(value, &n); err != nil || n != math.Trunc(n) || n < 1 || n > math.MaxInt32 {
		e.wrong[name] = "must be an integer from 1"
	}
	return int(n)
}

// seconds is a member that must be a number of seconds within bounds; 0 where it is missing or null.
func (e *envelope) seconds(name string, least, most time.Duration) time.Duration {
	value, ok := e.members[name]
	if !ok || jsonscan.KindOf(value) == jsonscan.Null {
		return 0
	}
	var n float64
	if err := json.Unmarshal(value, &n); err != nil || n < least.Seconds() || n > most.Seconds() {
		e.wrong[name] = fmt.Sprintf("must be from %g to %.0f seconds", least.Seconds(), most.Seconds())
		return 0
	}
	return time.Duration(n * float64(time.Second))
}

// between is a member that must be an integer within bounds, however it is written; 0 where it is missing or null.
func (e *envelope) between(name string, least, most int) int {
	value, ok := e.members[name]
	if !ok || jsonscan.KindOf(value) == jsonscan.Null {
		return 0
	}
	var n float64
	if err := json.Unmarshal(value, &n); err != nil || n != math.Trunc(n) || n < float64(least) || n > float64(most) {
		e.wrong[name] = fmt.Sprintf("must be an integer from %d to %d", least, most)
		return 0
	}
	return int(n)
}

// text is a member that must be a string that is not empty; empty where it is missing or null.
func (e *envelope) text(name string) string {
	value, ok := e.members[name]
	if !ok || jsonscan.KindOf(value) == jsonscan.Null {
		return ""
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil || s == "" {
		e.wrong[name] = "must be a string that is not empty"
	}
	return s
}

// texts is a member that must be a list of strings; none where it is missing or null.
func (e *envelope) texts(name string) []string {
	value, ok := e.members[name]
	if !ok || jsonscan.KindOf(value) == jsonscan.Null {
		return nil
	}
	var list []string
	if err := json.Unmarshal(value, &list); err != nil {
		e.wrong[name] = "must be a list of strings"
	}
	return list
}

// refuse says of members that must not be there why.
func (e *envelope) refuse(message string, names ...string) {
	for _, name := range names {
		if _, ok := e.members[name]; ok {
			e.wrong[name] = message
		}
	}
}

func (e *envelope) problem() error {
	if len(e.wrong) == 0 {
		return nil
	}
	return problem.Fields(maps.Clone(e.wrong))
}
