package ws

import (
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// meter bounds what a client sends beside messages that count: parts of a message and control frames may come without end,
// and each costs something. The window's messages of full size, twice, are more than anybody needs.
type meter struct {
	net.Conn
	limits *Limits
	began  time.Time // of the window
	bytes  int
}

// frameHeader is the longest header of a client's frame.
const frameHeader = 14

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if now := time.Now(); now.Sub(m.began) >= m.limits.Window {
		m.began, m.bytes = now, 0
	}
	if m.bytes += n; m.bytes > 2*m.limits.Messages*(m.limits.Frame+frameHeader) {
		return 0, errTooMany
	}
	return n, err
}

// unmetered is the connection itself.
func unmetered(socket *websocket.Conn) net.Conn {
	if m, ok := socket.NetConn().(*meter); ok {
		return m.Conn
	}
	return socket.NetConn()
}
