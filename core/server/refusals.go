package server

import (
	"bytes"
	"net"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/api/problem"
)

// refusing is a listener whose connections give the envelope to the errors that net/http answers by itself, before there
// is a request to hand over: broken requests (400), headers that are too large (431), encodings and versions that it does
// not know (501, 505). It writes those as plain text, in one piece, and has no hook for them.
type refusing struct{ net.Listener }

func (l refusing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &refusingConn{&gatheringConn{Conn: c}}, nil
}

type refusingConn struct{ *gatheringConn }

// Unwrap is the connection for who has taken it over from net/http.
func (c *refusingConn) Unwrap() net.Conn { return c.Conn }

// plain is what follows the status line of such an answer; answers of handlers have other headers.
var plain = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

func (c *refusingConn) Write(b []byte) (int, error) {
	line, message, found := bytes.Cut(b, plain)
	if !found || len(line) > 100 {
		return c.gatheringConn.Write(b)
	}
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 {
		return c.gatheringConn.Write(b)
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || status < 400 {
		return c.gatheringConn.Write(b)
	}
	if _, err := c.Conn.Write(refusal(status, string(message))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// refusal is an answer in full.
func refusal(status int, message string) []byte {
	p := &problem.Problem{Status: status, Code: "VALIDATION_ERROR", Message: message}
	if status == http.StatusRequestHeaderFieldsTooLarge {
		p.Code, p.Message = "PAYLOAD_TOO_LARGE", "the headers are larger than "+strconv.Itoa(maxHeaderBytes)+" bytes"
	}
	body := p.Envelope()
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	_ = http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))}, "Connection": {"close"},
		"X-Request-Id": {uuid.Must(uuid.NewV7()).String()}, "X-Content-Type-Options": {"nosniff"}, "Cache-Control": {"no-store"},
	}.Write(&b) // into memory: no error
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
