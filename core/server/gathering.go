package server

import (
	"bytes"
	"net"
	"strconv"
)

// gatheringConn sends an answer that does not fit into net/http's buffer in one piece and not in two, so that its client is
// woken once, for all of it. Bytes are held back only where the answer itself says that more must follow, and until that
// comes. Like any connection of net/http's it is written to by one goroutine at a time.
type gatheringConn struct {
	net.Conn
	held []byte
}

// answerBuffer is the size of net/http's buffer.
const answerBuffer = 4 << 10

func (c *gatheringConn) Write(b []byte) (int, error) {
	if c.held == nil {
		if len(b) == answerBuffer && lengthOf(b) > len(b) {
			c.held = bytes.Clone(b) // net/http uses its buffer again
			return len(b), nil
		}
		return c.Conn.Write(b)
	}
	held := len(c.held)
	pieces := net.Buffers{c.held, b}
	c.held = nil
	n, err := pieces.WriteTo(c.Conn)
	return max(0, int(n)-held), err
}

// lengthOf is how long the answer is that begins here, as its header has it; 0 where that is not said or not all here, or
// where there is only a header, as for HEAD.
func lengthOf(b []byte) int {
	header, body, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole || len(body) == 0 || !bytes.HasPrefix(header, []byte("HTTP/1.")) {
		return 0
	}
	_, after, said := bytes.Cut(header, []byte("\r\nContent-Length: "))
	if !said {
		return 0
	}
	digits, _, _ := bytes.Cut(after, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return 0
	}
	return len(header) + len("\r\n\r\n") + n
}
