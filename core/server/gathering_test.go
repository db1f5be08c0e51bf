package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// pieces is what goes out to a connection, call by call.
type pieces struct {
	net.Conn
	all [][]byte
}

func (p *pieces) Write(b []byte) (int, error) {
	p.all = append(p.all, bytes.Clone(b))
	return len(b), nil
}

func TestAnswersAreHeldOnlyWhileMoreMustFollow(t *testing.T) {
	t.Parallel()
	begins := func(header string, size int) []byte {
		b := "HTTP/1.1 200 OK\r\n" + header + "\r\n\r\n" + strings.Repeat("x", size)
		return []byte(b[:size])
	}
	whole := answerBuffer - len("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
	for name, c := range map[string]struct {
		first []byte
		held  bool
	}{
		"more follows":          {begins("Content-Length: 9000", answerBuffer), true},
		"a byte follows":        {begins("Content-Length: "+strconv.Itoa(whole+1), answerBuffer), true},
		"it is all":             {begins("Content-Length: "+strconv.Itoa(whole), answerBuffer), false},
		"no length":             {begins("Transfer-Encoding: chunked", answerBuffer), false},
		"a length that is none": {begins("Content-Length: many", answerBuffer), false},
		"a header of that size": {append(bytes.TrimSuffix(begins("Content-Length: 9000\r\n"+strings.Repeat("X: y\r\n", 1000), answerBuffer-4), []byte("\r\n")), "\r\n\r\n"...), false},
		"a header without end":  {begins("Content-Length: 9000\r\n"+strings.Repeat("X: y\r\n", 1000), answerBuffer), false},
		"not a full buffer":     {begins("Content-Length: 9000", answerBuffer-1), false},
		"the middle of a body":  {[]byte(strings.Repeat("Content-Length: 9000\r\n\r\n", 200))[:answerBuffer], false},
	} {
		t.Run(name, func(t *testing.T) {
			out := &pieces{}
			conn := &gatheringConn{Conn: out}
			first := bytes.Clone(c.first)
			if n, err := conn.Write(first); n != len(first) || err != nil {
				t.Fatal(n, err)
			}
			clear(first) // net/http's buffer is used again
			if held := len(out.all) == 0; held != c.held {
				t.Fatalf("held: %v, want %v", held, c.held)
			}
			if n, err := conn.Write([]byte("the rest")); n != len("the rest") || err != nil {
				t.Fatal(n, err)
			}
			if got := bytes.Join(out.all, nil); string(got) != string(c.first)+"the rest" {
				t.Errorf("%.60q went out", got)
			}
		})
	}
}

// Whatever a handler writes arrives, and what it flushes arrives while it goes on.
func TestAnswersOfAllSizesArrive(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	address := serveRefusing(t, func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		if r.URL.Path == "/flushed" {
			_, _ = io.WriteString(w, strings.Repeat("x", size))
			_ = http.NewResponseController(w).Flush()
			<-goOn
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for piece := size/3 + 1; size > 0; size -= piece {
			_, _ = io.WriteString(w, strings.Repeat("x", min(piece, size)))
		}
	})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	ask := func(path string, size int) {
		t.Helper()
		fmt.Fprintf(conn, "GET %s?size=%d HTTP/1.1\r\nHost: x\r\n\r\n", path, size)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyN(io.Discard, answer.Body, int64(size))
		if path == "/flushed" {
			goOn <- struct{}{}
		}
		if rest, _ := io.Copy(io.Discard, answer.Body); err != nil || int(n) != size || rest != 0 {
			t.Fatalf("%s: %d bytes of %d arrived, and then %d: %v", path, n, size, rest, err)
		}
	}
	for size := 3900; size < 4200; size++ {
		ask("/", size)
		ask("/flushed", size)
	}
	for _, size := range []int{0, 1, 8192, 20_000, 200_000} {
		ask("/", size)
		ask("/flushed", size)
	}
}
