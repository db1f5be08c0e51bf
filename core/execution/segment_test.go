package execution

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// Whatever rows come together, each execution's come back in their order with their numbers, and those of a node
// execution lie in its page.
func TestSegmentsGiveBackTheirRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		runs := []*run{{id: uuid.New()}, {id: uuid.New()}, {id: uuid.New()}}
		var rows []*row
		var steps []*journal.Step
		for range rapid.IntRange(1, 300).Draw(t, "rows") {
			r := runs[rapid.IntRange(0, len(runs)-1).Draw(t, "run")]
			events := rapid.IntRange(0, 3).Draw(t, "events")
			r.pos++
			r.seq += int64(events)
			kind := rapid.SampledFrom([]rowKind{rowNode, rowNode, rowNode, rowAttempt, rowDispatch, rowEnd}).Draw(t, "kind")
			w := &row{
				run: r, pos: r.pos, seq: r.seq, events: events, kind: kind, at: time.UnixMicro(rapid.Int64Range(0, 1<<50).Draw(t, "at")).UTC(),
				status: rapid.SampledFrom(statusNumbers[:]).Draw(t, "status"), isOutput: rapid.Bool().Draw(t, "output"),
			}
			if kind == rowNode || kind == rowAttempt {
				w.nodeExec = rapid.Uint32Range(1, 200).Draw(t, "node execution")
			}
			w.step = &journal.Step{Node: w.nodeExec, Outputs: []*journal.Output{{
				Pin: "p", Value: []byte(strings.Repeat("v", rapid.IntRange(0, 20_000).Draw(t, "size"))),
			}}}
			if rapid.Bool().Draw(t, "queues") {
				w.step.Moves = []*journal.Move{{Move: &journal.Move_Queue_{Queue: &journal.Move_Queue{}}}}
			}
			rows, steps = append(rows, w), append(steps, w.step)
		}
		list, err := segments(rows, steps)
		if err != nil {
			t.Fatal(err)
		}
		found := map[uuid.UUID][]storedRow{}
		for i := range list {
			s := &list[i]
			if len(s.body) > maxSegmentBytes+21_000 {
				t.Fatalf("a segment of %d bytes", len(s.body))
			}
			back, err := s.unpack()
			if err != nil {
				t.Fatal(err)
			}
			queued, completed, failed, isOutput := 0, 0, 0, false
			for _, w := range back {
				if w.nodeExec != 0 && pageOf(w.nodeExec) != s.page {
					t.Fatalf("node execution %d on page %d", w.nodeExec, s.page)
				}
				queued += len(w.step.Moves)
				if w.kind == rowNode && w.status == Completed {
					completed++
				}
				if w.kind == rowNode && w.status == Failed {
					failed++
				}
				isOutput = isOutput || w.isOutput
			}
			if queued != s.queued || completed != s.completed || failed != s.failed || isOutput != s.isOutput {
				t.Fatalf("the segment counts %d, %d, %d, %t; its rows %d, %d, %d, %t", s.queued, s.completed, s.failed, s.isOutput, queued, completed, failed, isOutput)
			}
			found[s.execution] = append(found[s.execution], back...)
		}
		for i, w := range rows {
			list := found[w.run.id]
			if len(list) == 0 {
				t.Fatalf("row %d is lost", i)
			}
			got := list[0]
			found[w.run.id] = list[1:]
			if got.pos != w.pos || got.seq != w.seq || got.events != w.events || got.kind != w.kind || got.nodeExec != w.nodeExec || got.status != w.status ||
				got.isOutput != w.isOutput || !got.at.Equal(w.at) || !proto.Equal(got.step, w.step) {
				t.Fatalf("row %d came back as %+v", i, got)
			}
		}
	})
}

func TestPassedOnValuesArePacked(t *testing.T) {
	t.Parallel()
	value := []byte(`"` + strings.Repeat("a value that passes through; ", 30) + `"`)
	var rows []*row
	var steps []*journal.Step
	r := &run{id: uuid.New()}
	for i := range 10 {
		w := &row{run: r, pos: i + 1, kind: rowNode, nodeExec: uint32(i + 1), status: Completed, step: &journal.Step{Outputs: []*journal.Output{{Pin: "out", Value: value}}}}
		rows, steps = append(rows, w), append(steps, w.step)
	}
	list, err := segments(rows, steps)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d segments, %v", len(list), err)
	}
	if n := len(list[0].body); n > 2*len(value) {
		t.Errorf("ten times %d bytes take %d", len(value), n)
	}
}

func FuzzUnpack(f *testing.F) {
	s := openSegment{}
	s.add(&journal.Row{}, &row{kind: rowEnd, status: Failed, events: 1, at: time.Now()}, &journal.Step{Error: strings.Repeat("why ", 400)})
	if err := s.pack(); err != nil {
		f.Fatal(err)
	}
	f.Add(s.body)
	f.Add([]byte{bodyPlain})
	f.Add([]byte{bodyS2, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, body []byte) {
		kept := bytes.Clone(body)
		rows, err := (&segment{pos: 5, seq: 9, body: body}).unpack()
		if err == nil && len(rows) > 0 && rows[len(rows)-1].pos != 5 {
			t.Errorf("the last row has position %d", rows[len(rows)-1].pos)
		}
		if !bytes.Equal(kept, body) {
			t.Error("the body was changed")
		}
	})
}
