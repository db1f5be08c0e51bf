package hostservice

import (
	"context"
	"io"
	"sync"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

var errBusy = refuse("one read or write at a time")

// maxHandles is how much an attempt may have open.
const maxHandles = 64

// handle is what a call opened. Its number is that of the call.
type handle struct {
	ctx    context.Context
	cancel context.CancelFunc

	// reading guards reader and source, writing the writer. Both are held while the handle is made, and by release at last. A
	// request may be read and written at once.
	reading, writing sync.Mutex
	reader           io.Reader
	writer           io.Writer
	finish           func() error // after the last write

	request *request // of a request
	// interrupt, unless nil, breaks a write off, at any time. It is there from the beginning.
	interrupt func()
	free      func() // gives back what is held, unless nil
}

// open makes a handle, which nobody can use until its maker calls ready.
func (a *Attempt) open(number uint64, h *handle) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return context.Canceled
	case len(a.handles) >= maxHandles:
		return refuse("a run may have %d files and requests open at once", maxHandles)
	}
	h.reading.Lock()
	h.writing.Lock()
	h.ctx, h.cancel = context.WithCancel(a.ctx)
	if a.handles == nil {
		a.handles = map[uint64]*handle{}
	}
	a.handles[number] = h
	return nil
}

func (h *handle) ready() {
	h.writing.Unlock()
	h.reading.Unlock()
}

func (a *Attempt) find(number uint64) (*handle, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.handles[number]; h != nil {
		return h, nil
	}
	return nil, refuse("nothing is open under number %d", number)
}

// Close gives a handle up. It does not wait for that.
func (a *Attempt) Close(number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.handles[number]; h != nil {
		delete(a.handles, number)
		a.release(h)
	}
}

// release frees a handle beside whoever asked for it, since that may take time. The lock is held.
func (a *Attempt) release(h *handle) {
	h.cancel()
	if h.interrupt != nil {
		h.interrupt()
	}
	a.cleanup.Go(func() {
		h.reading.Lock() // for good
		h.writing.Lock()
		if h.free != nil {
			h.free()
		}
	})
}

// read gives the next bytes of what was opened; the end closes it.
func (a *Attempt) read(c *proto.Read) (*proto.Reply, error) {
	h, err := a.find(c.GetHandle())
	if err != nil {
		return nil, err
	}
	if !h.reading.TryLock() {
		return nil, errBusy
	}
	defer h.reading.Unlock()
	source := h.source()
	if source == nil {
		return nil, refuse("nothing can be read from number %d", c.GetHandle())
	}
	data := make([]byte, min(max(c.GetMax(), 1), proto.CallPiece))
	n := 0
	for n == 0 && err == nil {
		n, err = source.Read(data)
	}
	end := err == io.EOF // and not of a connection to the database, which ends with the same, wrapped
	if err != nil && !end {
		return nil, err
	}
	if end {
		a.Close(c.GetHandle())
	}
	return &proto.Reply{Result: &proto.Reply_Piece{Piece: &proto.Piece{Data: data[:n], End: end}}}, nil
}

// write brings the next bytes of what was opened.
func (a *Attempt) write(c *proto.Write) error {
	h, err := a.find(c.GetHandle())
	if err != nil {
		return err
	}
	if !h.writing.TryLock() {
		return errBusy
	}
	defer h.writing.Unlock()
	switch {
	case h.writer == nil:
		return refuse("nothing can be written to number %d", c.GetHandle())
	case len(c.GetData()) > proto.CallPiece:
		return refuse("a piece has at most %d bytes", proto.CallPiece)
	}
	if _, err := h.writer.Write(c.GetData()); err != nil {
		return err
	}
	if !c.GetLast() {
		return nil
	}
	h.writer = nil
	if err := h.finish(); err != nil {
		return err
	}
	if h.request == nil {
		a.Close(c.GetHandle())
	}
	return nil
}
