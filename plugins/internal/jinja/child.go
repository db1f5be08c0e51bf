package jinja

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// argument is what a renderer process is started with.
const argument = "render-templates"

// outOfMemory is the exit status of a renderer that reached its memory limit.
const outOfMemory = 97

const (
	maxHeap  = 512 << 20 // bytes of live and dead objects
	maxStack = 64 << 20  // bytes of one goroutine: deep nesting ends here
)

// request and response are the frames between a plugin and its renderers: four bytes of length, then JSON.
type request struct {
	Format string          `json:"format"`
	Values json.RawMessage `json:"values"`
	Escape bool            `json:"escape,omitempty"`
}

type response struct {
	Text  string `json:"text"`
	Error string `json:"error,omitempty"`
}

// ServeChild renders templates until its standard input ends, and then exits, if this process was started as a
// renderer; otherwise it does nothing. Main calls it first.
func ServeChild() {
	if len(os.Args) != 2 || os.Args[1] != argument {
		return
	}
	limitAddressSpace()
	debug.SetMaxStack(maxStack)
	go watchHeap()
	requests := make(chan request)
	go func() {
		// Reading goes on while a template renders: the end of the input is the plugin's death, and then no loop of
		// a template keeps this process.
		for {
			var next request
			if err := readFrame(os.Stdin, &next); err != nil {
				os.Exit(0)
			}
			requests <- next
		}
	}()
	engine := newEngine()
	for next := range requests {
		var answer response
		text, err := engine.render(next.Format, next.Values, next.Escape)
		if err != nil {
			answer.Error = err.Error()
		} else {
			answer.Text = text
		}
		if err := writeFrame(os.Stdout, answer); err != nil {
			os.Exit(1)
		}
	}
}

// watchHeap ends the process before a template takes the machine's memory.
func watchHeap() {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(5 * time.Millisecond) {
		metrics.Read(sample)
		if sample[0].Value.Uint64() > maxHeap {
			os.Exit(outOfMemory)
		}
	}
}

// maxFrame bounds a frame: values of a template, or a text with all its characters escaped.
const maxFrame = 1 << 30

func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if len(body) > maxFrame {
		return errors.New("frame too large")
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, len(body)+4), uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return errors.New("frame too large")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}
