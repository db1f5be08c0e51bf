package execution

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

// pair is a machine and the model, which see the same events, and everything around the machine: a database that
// commits some time later, and the blocks that run.
type pair struct {
	t      *rapid.T
	plan   *Plan
	g      *graph.Graph
	places int
	now    time.Time

	machine *machine
	model   *model
	history []func(*model) // one a unit; those of lost units are taken back by starting again

	stored    []storedRow
	units     int // committed
	lost      []lostUnit
	running   []command      // blocks that run
	handed    map[uint32]int // outputs that the running attempt of a streaming block has handed over
	committed []*row
	events    int
	bulky     bool // values have grown so large, in some cycle that quotes them again and again, that it is no use to go on
}

// lostUnit is a unit that is not committed: a crash loses it.
type lostUnit struct {
	rows     []*row
	stored   []storedRow
	commands []command // for after the commit
}

func newPair(t *rapid.T, g *graph.Graph, places int) *pair {
	if err := graph.ValidateForRun(g, catalogue(modelBlocks), modelInputs, nil); err != nil {
		t.Fatalf("the graph cannot be executed: %v %+v", err, err)
	}
	plan, err := newPlan(g, catalogue(modelBlocks))
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, plan: plan, g: g, places: places, now: time.Unix(1_700_000_000, 0).UTC(), handed: map[uint32]int{}}
	p.machine = newMachine(newRun(uuid.New(), "user", plan, modelInputs, nil))
	p.machine.limit = places
	p.model = newModel(g, catalogue(modelBlocks), modelInputs, places)
	return p
}

func (p *pair) tick() time.Time {
	p.now = p.now.Add(time.Millisecond)
	return p.now
}

func (p *pair) root() uuid.UUID { return p.machine.top.id }

// both gives an event to the machine and to the model, and compares what they make of it.
func (p *pair) both(take func() *unit, do func(m *model)) {
	queued := p.machine.top.queued
	u := take()
	p.model.event(func() { do(p.model) })
	p.history = append(p.history, do)
	p.events++

	lost := lostUnit{rows: u.rows}
	for _, r := range u.rows {
		lost.stored = append(lost.stored, p.encoded(r))
		for _, o := range r.step.Outputs {
			p.bulky = p.bulky || len(o.Value) > 10_000
		}
	}
	for _, c := range u.commands {
		switch {
		case c.kind != runBlock:
		case c.afterCommit:
			lost.commands = append(lost.commands, c)
		default:
			p.start(c)
		}
	}
	p.lost = append(p.lost, lost)

	p.compare("what happened", machineLog(u, queued), strings.Join(p.model.log, "\n"))
	p.compare("what was started", machineStarts(u), strings.Join(p.model.starts, "\n"))
	p.compareState()
}

func (p *pair) encoded(r *row) storedRow {
	data, err := proto.Marshal(r.step)
	if err != nil {
		p.t.Fatal(err)
	}
	step := &journal.Step{}
	if err := proto.Unmarshal(data, step); err != nil {
		p.t.Fatal(err)
	}
	return storedRow{pos: r.pos, seq: r.seq, events: r.events, kind: r.kind, nodeExec: r.nodeExec, status: r.status, isOutput: r.isOutput, at: r.at, step: step}
}

func (p *pair) start(c command) {
	p.running = append(p.running, c)
	p.handed[c.exec.id] = 0
}

// commit commits the oldest n of what is not committed.
func (p *pair) commit(n int) {
	for _, u := range p.lost[:n] {
		p.stored = append(p.stored, u.stored...)
		p.committed = append(p.committed, u.rows...)
		for _, c := range u.commands {
			if c.exec.state == execRunning && c.exec.attempt == c.attempt {
				p.start(c)
			}
		}
	}
	p.units += n
	p.lost = slices.Delete(p.lost, 0, n)
}

// crash kills the server: the machine is made again from what was committed, and the model goes as far back.
func (p *pair) crash() {
	r := newRun(p.root(), "user", p.plan, modelInputs, nil)
	for _, s := range p.stored {
		if err := r.apply(s.kind, s.pos, s.seq, s.nodeExec, s.status, s.at, s.step); err != nil {
			p.t.Fatal(err)
		}
	}
	m, err := refold([]*run{r})
	if err != nil {
		p.t.Fatal(err)
	}
	m.limit = p.places
	p.machine, p.running, p.lost = m, nil, nil
	p.model = newModel(p.g, catalogue(modelBlocks), modelInputs, p.places)
	p.history = p.history[:p.units]
	for _, do := range p.history {
		p.model.event(func() { do(p.model) })
	}
	p.compareWaiting()
	if p.units == 0 {
		p.begin()
		return
	}
	if r.ended == "" {
		p.both(func() *unit { return p.machine.handle(p.tick(), resumeEvent{}) }, (*model).restart)
	}
}

func (p *pair) begin() {
	starting, err := startingNodes(p.plan, modelInputs)
	if err != nil {
		p.t.Fatal(err)
	}
	p.both(func() *unit { return p.machine.handle(p.tick(), beginEvent{starting}) }, (*model).begin)
}

func (p *pair) step() {
	p.both(func() *unit { return p.machine.step(p.tick()) }, (*model).step)
}

func (p *pair) stop() {
	p.both(func() *unit { return p.machine.handle(p.tick(), stopEvent{p.root()}) }, (*model).stop)
}

// progress lets a running block end, or a streaming one hand over its next outputs.
func (p *pair) progress(i, piece int) {
	c := p.running[i]
	id := c.exec.id
	outputs, failed := results(c)
	from := p.handed[id]
	known := p.model.queued[id-1].outputs // what earlier attempts have yielded
	if to := from + piece; piece > 0 && c.block.Traits.Streaming && to <= len(outputs) {
		p.handed[id] = to
		p.both(
			func() *unit {
				return p.machine.handle(p.tick(), outputsEvent{p.root(), id, c.attempt, outputs[from:to]})
			},
			func(m *model) { m.yield(m.queued[id-1], fresh(c, outputs[:to], len(known))) },
		)
		return
	}
	p.running = slices.Delete(p.running, i, i+1)
	p.both(
		func() *unit {
			return p.machine.handle(p.tick(), doneEvent{run: p.root(), exec: id, attempt: c.attempt, outputs: outputs[from:], failed: failed != "", message: failed})
		},
		func(m *model) {
			if failed != "" {
				m.fail(m.queued[id-1], fresh(c, outputs, len(known)), failed)
				return
			}
			m.complete(m.queued[id-1], fresh(c, outputs, len(known)))
		},
	)
}

// pluginDies kills the process under a running block, which did not run alone in it.
func (p *pair) pluginDies(i int) {
	c := p.running[i]
	p.running = slices.Delete(p.running, i, i+1)
	u := func() *unit {
		return p.machine.handle(p.tick(), crashEvent{run: p.root(), exec: c.exec.id, attempt: c.attempt, detail: "killed"})
	}
	p.both(u, func(m *model) {
		e := m.queued[c.exec.id-1]
		if e.block.Traits.Once {
			m.fail(e, nil, "interrupted: the plugin's process died while the block ran, and the block must not be repeated by itself. killed")
			return
		}
		m.starts = append(m.starts, fmt.Sprintf("%d %s %s", e.number, e.node.ID, e.blockInput()))
	})
}

// results are those of a block that runs.
func results(c command) ([]output, string) {
	if c.block.ID == fileHelp.block.ID {
		if len(c.input)%3 == 0 {
			return []output{{pin: "other", value: nullValue}}, "no such file"
		}
		return []output{{pin: "other", value: nullValue}, {pin: "file_out", value: &value{raw: quote("<" + string(c.input) + ">")}}}, ""
	}
	if c.block.ID == templateHelp.block.ID {
		if len(c.input)%2 == 0 {
			return nil, "no such filter"
		}
		return []output{{pin: "output", value: &value{raw: quote("<" + string(c.input) + ">")}}}, ""
	}
	return modelBlocks[c.block.ID].run(c.input)
}

// fresh are the outputs from one on. Of a file input's block only the file counts.
func fresh(c command, outputs []output, from int) []graph.PinValue {
	var list []graph.PinValue
	for _, o := range outputs[min(from, len(outputs)):] {
		if c.block.ID == fileHelp.block.ID {
			if o.pin != "file_out" {
				continue
			}
			o.pin = "result"
		}
		list = append(list, graph.PinValue{Pin: o.pin, Value: o.value.raw})
	}
	return list
}
