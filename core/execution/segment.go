package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"
	"github.com/uptrace/bun"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// segment is a row of the table journal: rows of one execution that follow each other and are committed together. What
// passes through many nodes unchanged lies in it many times, so it is packed.
type segment struct {
	execution uuid.UUID
	pos       int   // of its last row
	seq       int64 // of its last event
	page      int
	queued    int // how many node executions its rows queue
	completed int
	failed    int
	isOutput  bool
	body      []byte
}

// Bounds of a segment: who needs one of its rows reads all of them.
const (
	maxSegmentRows  = 128
	maxSegmentBytes = 64 << 10
	// packedFrom is the size from which packing pays.
	packedFrom = 512
)

// pageOf is the page of a node execution's rows: what is looked for by the number of a node execution lies in segments
// of its page.
func pageOf(nodeExec uint32) int { return int(nodeExec >> 6) }

// How a body is packed, by its first byte.
const (
	bodyPlain byte = iota
	bodyS2
)

// open is a segment that may take more rows.
type openSegment struct {
	segment
	rows  []*journal.Row
	bytes int
	paged bool // a row of a node execution has decided on the page
}

// segments gathers rows, those of each execution in their order. Rows of several executions may alternate.
func segments(rows []*row, steps []*journal.Step) ([]segment, error) {
	all, stored := make([]openSegment, 0, 1), make([]journal.Row, len(rows))
	var last map[uuid.UUID]int // only where there are several executions
	for i, w := range rows {
		at := len(all) - 1
		if at >= 0 && all[at].execution != w.run.id {
			if last == nil {
				last = map[uuid.UUID]int{all[at].execution: at}
			}
			var known bool
			if at, known = last[w.run.id]; !known {
				at = -1
			}
		}
		size := sizeOf(steps[i])
		if at < 0 || !all[at].takes(w, size) {
			at = len(all)
			all = append(all, openSegment{segment: segment{execution: w.run.id}, rows: make([]*journal.Row, 0, min(len(rows)-i, 16))})
			if last != nil {
				last[w.run.id] = at
			}
		}
		all[at].add(&stored[i], w, steps[i])
		all[at].bytes += size
	}
	list := make([]segment, len(all))
	for i := range all {
		if err := all[i].pack(); err != nil {
			return nil, err
		}
		list[i] = all[i].segment
	}
	return list, nil
}

// takes says that another row belongs into the segment.
func (s *openSegment) takes(w *row, size int) bool {
	return len(s.rows) < maxSegmentRows && s.bytes+size <= maxSegmentBytes && (w.nodeExec == 0 || !s.paged || s.page == pageOf(w.nodeExec))
}

// add takes a row, whose stored form it makes in place.
func (s *openSegment) add(place *journal.Row, w *row, step *journal.Step) {
	s.pos, s.seq = w.pos, w.seq
	if w.nodeExec != 0 {
		s.page, s.paged = pageOf(w.nodeExec), true
	}
	s.isOutput = s.isOutput || w.isOutput
	for _, m := range step.Moves {
		if m.GetQueue() != nil {
			s.queued++
		}
	}
	if w.kind == rowNode {
		switch w.status {
		case Completed:
			s.completed++
		case Failed:
			s.failed++
		}
	}
	place.Kind, place.NodeExecution, place.Status, place.IsOutput = uint32(w.kind), w.nodeExec, uint32(w.status.number()), w.isOutput
	place.At, place.Events, place.Step = w.at.Round(time.Microsecond).UnixMicro(), uint32(w.events), step
	s.rows = append(s.rows, place)
}

// scratch is memory that bodies are made in. What stays of it is a copy of the right size.
var scratch = sync.Pool{New: func() any { return new([2][]byte) }}

// maxScratch bounds what is kept for the next body.
const maxScratch = 64 << 10

func (s *openSegment) pack() error {
	memory := scratch.Get().(*[2][]byte)
	defer func() {
		if max(cap(memory[0]), cap(memory[1])) <= maxScratch {
			scratch.Put(memory)
		}
	}()
	data, err := proto.MarshalOptions{}.MarshalAppend(append(memory[0][:0], bodyPlain), &journal.Segment{Rows: s.rows})
	if err != nil {
		return fmt.Errorf("encode the journal: %w", err)
	}
	memory[0] = data
	if len(data) >= packedFrom {
		packed := slices.Grow(memory[1][:0], 1+s2.MaxEncodedLen(len(data)-1))
		packed = append(packed, bodyS2)
		packed = packed[:1+len(s2.Encode(packed[1:cap(packed)], data[1:]))]
		if memory[1] = packed; len(packed) < len(data) {
			data = packed
		}
	}
	s.body = slices.Clone(data)
	return nil
}

// storedRow is a row of the journal as it is read.
type storedRow struct {
	pos      int
	seq      int64
	events   int
	kind     rowKind
	nodeExec uint32
	status   Status
	isOutput bool
	at       time.Time
	step     *journal.Step
	segment  int // pos of the segment that it lies in
	// input is that of the node execution, of a row that this process has made; nil: it must be assembled.
	input json.RawMessage
}

// maxBody bounds what a body may unpack to: a row may carry many values of up to 8 KiB.
const maxBody = 1 << 30

// unpack reads the rows of a segment.
func (s *segment) unpack() ([]storedRow, error) {
	unreadable := func(why any) error { return fmt.Errorf("%w: row %d: %v", errUnreadable, s.pos, why) }
	if len(s.body) == 0 {
		return nil, unreadable("empty")
	}
	data := s.body[1:]
	switch s.body[0] {
	case bodyPlain:
	case bodyS2:
		n, err := s2.DecodedLen(data)
		if err == nil && n > maxBody {
			err = errors.New("too large")
		}
		if err == nil {
			data, err = s2.Decode(nil, data)
		}
		if err != nil {
			return nil, unreadable(err)
		}
	default:
		return nil, unreadable("packed by a newer version")
	}
	var m journal.Segment
	if err := proto.Unmarshal(data, &m); err != nil {
		return nil, unreadable(err)
	}
	rows := make([]storedRow, len(m.Rows))
	pos, seq := s.pos, s.seq
	for i := len(rows) - 1; i >= 0; i-- {
		r := m.Rows[i]
		if int(r.Status) >= len(statusNumbers) {
			return nil, unreadable(fmt.Sprintf("status %d", r.Status))
		}
		if r.Step == nil {
			r.Step = &journal.Step{}
		}
		rows[i] = storedRow{
			pos: pos, seq: seq, events: int(r.Events), kind: rowKind(r.Kind), nodeExec: r.NodeExecution, status: statusNumbers[r.Status],
			isOutput: r.IsOutput, at: time.UnixMicro(r.At).UTC(), step: r.Step, segment: s.pos,
		}
		pos--
		seq -= int64(r.Events)
	}
	return rows, nil
}

const segmentColumns = `pos, seq, body`

// readRows reads the rows of an execution behind a position, oldest first, by the primary key.
func readRows(ctx context.Context, db bun.IDB, execution uuid.UUID, after int, use func(storedRow) error) error {
	rows, err := db.QueryContext(ctx, `SELECT `+segmentColumns+` FROM journal WHERE execution_id = ? AND pos > ? ORDER BY pos`, execution, after)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	return scanRows(rows, func(w storedRow) error {
		if w.pos <= after {
			return nil
		}
		return use(w)
	})
}

// scanRows reads the rows of the segments that a query found.
func scanRows(rows *sql.Rows, use func(storedRow) error) error {
	return scanSegments(rows, func(s *segment) (bool, error) {
		list, err := s.unpack()
		for i := 0; i < len(list) && err == nil; i++ {
			err = use(list[i])
		}
		return true, err
	})
}

// scanSegments reads the segments that a query found, until no more are wanted.
func scanSegments(rows *sql.Rows, use func(*segment) (more bool, err error)) error {
	defer rows.Close()
	for rows.Next() {
		var s segment
		if err := rows.Scan(&s.pos, &s.seq, &s.body); err != nil {
			return fmt.Errorf("read a journal row: %w", err)
		}
		if more, err := use(&s); err != nil || !more {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	return nil
}

func sizeOf(s *journal.Step) int {
	n := 0
	for _, o := range s.Outputs {
		n += len(o.Value)
	}
	return n
}
