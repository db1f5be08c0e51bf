package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/patchbay-io/patchbay/core/execution"
)

// chunk is how many bytes go into one system call; frames that are larger go in several.
const chunk = 64 << 10

// batches are the bytes of one system call each. Few connections write at the same moment, so few are needed.
var batches = sync.Pool{New: func() any { return new([]byte) }}

// writer is the only one that writes to the client once the handshake is over, so frames never mix. It puts the frames
// that are there into one system call. After a write it waits for others to gather, so that an event that comes alone
// goes out at once and a stream of them does not cost one system call each.
type writer struct {
	c     *conn
	net   net.Conn
	taken []frame // empty; kept for its room
	torn  bool    // a frame was left out, so that none may follow
	batch []byte
	last  time.Time // of the last write
}

// run writes until nothing waits, or the client is lost; then the queue begins no other.
func (w *writer) run() {
	for w.c.queue.more() {
		w.gather()
		frames := w.c.queue.take(w.taken)
		if err := w.write(frames); err != nil {
			w.c.lost(err)
			return
		}
		if w.taken = frames[:0]; cap(frames) > 16 {
			w.taken = nil
		}
	}
}

// gather waits while writes would follow each other too closely, but not while somebody waits for room.
func (w *writer) gather() {
	if wait := w.c.limits.Gather - time.Since(w.last); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-w.c.queue.crowded:
		case <-w.c.ctx.Done():
		}
	}
}

func (w *writer) write(frames []frame) error {
	batch := batches.Get().(*[]byte)
	w.batch = (*batch)[:0]
	defer func() {
		*batch, w.batch = w.batch, nil
		batches.Put(batch)
		for i := range frames {
			frames[i].drop()
		}
	}()
	pending := 0 // sizes of the frames in the batch
	for i, f := range frames {
		if w.torn || w.c.tooSlow() {
			return nil // whole frames that it will ask for again
		}
		if f.large != nil {
			if err := w.flush(pending); err != nil {
				return err
			}
			if err := w.stream(f.opcode, f.large); err != nil {
				return err
			}
			pending = 0
			frames[i].drop()
			w.c.queue.written(f.size())
			continue
		}
		frames[i].payload = nil // not kept while the rest is written
		w.batch = appendHeader(w.batch, f.opcode, len(f.payload))
		if len(f.payload) < chunk {
			w.batch = append(w.batch, f.payload...)
			pending += f.size()
			if len(w.batch) < chunk {
				continue
			}
		}
		if err := w.flush(pending); err != nil {
			return err
		}
		if pending = 0; len(f.payload) >= chunk {
			if err := w.send(f.payload); err != nil {
				return err
			}
			w.c.queue.written(f.size())
		}
	}
	return w.flush(pending)
}

func (w *writer) flush(pending int) error {
	err := w.send(w.batch)
	w.batch = w.batch[:0]
	if cap(w.batch) > 2*chunk {
		w.batch = nil
	}
	w.c.queue.written(pending)
	w.last = time.Now()
	return err
}

// stream writes a frame whose payload is read while it is written, piece by piece. A client whose frame cannot be read is
// told so before anything of it was sent, and is lost when that happens in the middle.
func (w *writer) stream(opcode byte, l *execution.Large) error {
	next := func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), w.c.limits.Opening) // also while the connection is being closed
		defer cancel()
		return l.Next(ctx)
	}
	piece, err := next()
	if err != nil {
		w.torn = true
		w.c.log.Error("reading an event failed", "error", err)
		w.c.end(unreadable)
		return nil
	}
	if err := w.send(appendHeader(nil, opcode, l.Size)); err != nil {
		return err
	}
	for err == nil {
		if err = w.send(piece); err == nil {
			piece, err = next()
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// send writes all of b. A client that reads nothing for a while is lost only when others wait for it; one that is being
// closed has until the end of its goodbye.
func (w *writer) send(b []byte) error {
	for len(b) > 0 {
		deadline := time.Now().Add(w.c.limits.Stall)
		if by, closing := w.c.closeBy(); closing {
			deadline = by
		}
		if err := w.net.SetWriteDeadline(deadline); err != nil {
			return err
		}
		n, err := w.net.Write(b[:min(len(b), chunk)])
		b = b[n:]
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		by, closing := w.c.closeBy()
		switch {
		case closing && !time.Now().Before(by):
			return err
		case !closing && n == 0 && w.c.queue.full():
			w.c.end(goodbye{websocket.CloseTryAgainLater, "too slow; subscribe again with after_seq"})
		}
	}
	return nil
}

// holdBack bounds what the kernel keeps for a client that reads nothing. It takes some megabytes otherwise, which come on top
// of what the queue holds, and have to be made. What is on its way is not bounded, so that distant clients lose nothing.
func holdBack(c net.Conn, bytes int) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
	}
}

// farewell sends the close frame and ends our direction of the connection, so that the client need not wait for us.
func (w *writer) farewell() {
	g := w.c.farewell()
	if g.code == 0 {
		return
	}
	payload := websocket.FormatCloseMessage(g.code, g.reason)
	if err := w.send(append(appendHeader(nil, websocket.CloseMessage, len(payload)), payload...)); err != nil {
		return
	}
	if half, ok := w.net.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the client may have gone already
	}
}

// appendHeader begins an unmasked, final frame (RFC 6455, 5.2).
func appendHeader(b []byte, opcode byte, length int) []byte {
	b = append(b, 0x80|opcode)
	switch {
	case length < 126:
		return append(b, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
	}
}
