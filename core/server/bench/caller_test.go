package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// caller executes a graph again and again, on a connection of its own. It shares the cores with what is measured, so it
// does nothing twice: the request is the same bytes each time, and the answer is read into the same memory.
type caller struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	answer  bytes.Buffer
}

func (s *server) callers(b *testing.B, graph string, n int) []*caller {
	b.Helper()
	body := `{"input_data":{"x":"` + payload + `"}}`
	request := fmt.Appendf(nil, "POST /api/v2/builder/graphs/%s/execute HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nPrefer: wait=30\r\nContent-Length: %d\r\n\r\n%s",
		graph, s.token, len(body), body)
	list := make([]*caller, n)
	for i := range list {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		must(b, err)
		b.Cleanup(func() { conn.Close() })
		list[i] = &caller{conn: conn, reader: bufio.NewReaderSize(conn, 32<<10), request: request}
	}
	return list
}

// call is one execution, from the request to its result.
func (c *caller) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	c.answer.Reset()
	if _, err := io.Copy(&c.answer, response.Body); err != nil {
		return err
	}
	if answer := c.answer.Bytes(); !bytes.Contains(answer, []byte(`"COMPLETED"`)) || !bytes.Contains(answer, []byte(payload)) {
		return fmt.Errorf("unexpected answer: %.300s", answer)
	}
	return nil
}
