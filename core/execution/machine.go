package execution

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

// Limits of the machine (contract: bounds, durability 5).
const (
	maxRunning = 64 // node executions of one execution at once
	maxDepth   = graph.MaxNesting
	// maxNested is how many nested agents a tree may begin, and maxRecursions how many of them may run within
	// themselves: two in each would be thousands of millions before they are nested too deeply.
	maxNested     = 100_000
	maxRecursions = 1_000
	maxCharges    = 3 // crashes of a plugin, and deaths of the server in a row, charged to one node execution
)

// machine decides everything that happens in one tree of executions: a root and its nested agents. It is pure: an
// event and the time go in, a unit of rows and commands comes out, and it never asks anybody anything. One goroutine
// owns it.
//
// Its state is changed only by the functions of state.go, which recovery calls with recorded decisions, so that a
// machine refolded from its rows equals the one that wrote them.
type machine struct {
	top      *run               // the root
	runs     map[uuid.UUID]*run // those that have not ended
	internal []*nodeExec        // node executions that need no plugin, in the order in which they became ready
	limit    int
	draining bool // nothing more is started
	careful  bool // after repeated deaths of the server: one at a time, each charged
	now      time.Time
	unit     *unit
	woken    []*run // looked at when the unit closes, although it has no row of theirs
	// Nested agents that were begun since the tree was read, and those of them that run within themselves.
	nested, recursions int
}

func newMachine(root *run) *machine {
	return &machine{top: root, runs: map[uuid.UUID]*run{root.id: root}, limit: maxRunning}
}

// handle takes one event. Events about something that has ended meanwhile are dropped.
func (m *machine) handle(now time.Time, event any) *unit {
	m.open(now)
	switch ev := event.(type) {
	case beginEvent:
		for _, r := range m.runs {
			m.begin(r, ev.starting)
		}
	case outputsEvent:
		if r, e := m.find(ev.run, ev.exec, ev.attempt); e != nil {
			m.takeOutputs(r, e, ev.outputs)
		}
	case doneEvent:
		if r, e := m.find(ev.run, ev.exec, ev.attempt); e != nil {
			e.plugin, e.pluginVersion, e.stats = ev.plugin, ev.pluginVersion, ev.stats
			m.done(r, e, ev)
		}
	case crashEvent:
		if r, e := m.find(ev.run, ev.exec, ev.attempt); e != nil {
			m.crashed(r, e, ev)
		}
	case childEvent:
		if r, e := m.find(ev.run, ev.exec, 1); e != nil && e.child == nil {
			m.beginChild(r, e, ev)
		}
	case takenEvent:
		if r, e := m.find(ev.run, ev.exec, 1); e != nil && e.takesOver() {
			m.takeOver(r, e, ev)
		}
	case stopEvent:
		if r := m.runs[ev.run]; r != nil {
			m.stop(r)
			m.childEnded(r)
		}
	case timeoutEvent:
		if m.top.ended == "" {
			m.top.failure = &Failure{Message: fmt.Sprintf("the execution ran longer than its timeout of %s", m.top.timeout)}
			m.cut(m.top, Failed)
		}
	case tickEvent:
		m.recordStarts()
	case resumeEvent:
		m.resume(ev)
	default:
		panic(fmt.Sprintf("execution: unknown event %T", event))
	}
	return m.close()
}

// pending says whether step has something to do.
func (m *machine) pending() bool { return len(m.internal) > 0 }

// step runs one node execution that needs no plugin.
func (m *machine) step(now time.Time) *unit {
	m.open(now)
	e := m.internal[0]
	m.internal[0] = nil
	m.internal = m.internal[1:]
	if e.state == execInternal && m.runs[e.run.id] != nil {
		m.runInternal(e.run, e)
	}
	return m.close()
}

func (m *machine) open(now time.Time) {
	m.now, m.unit = now.Truncate(time.Microsecond), &unit{} // what is stored, so that live events equal replayed ones
}

// close ends what has nothing left to do, starts what may start, and numbers the unit's events.
func (m *machine) close() *unit {
	for again := true; again; {
		again = false
		for _, r := range m.touched() {
			m.startReady(r)
			m.replay(r)
			if r.ended == "" && r.begun && r.idle() {
				m.end(r, r.outcome())
				m.childEnded(r)
				again = true
			}
		}
	}
	for _, row := range m.unit.rows {
		row.events = row.countEvents()
		row.run.seq += int64(row.events)
		row.seq = row.run.seq
		row.run.current = nil
	}
	u := m.unit
	m.unit, m.woken = nil, nil
	return u
}

// touched are the executions that the unit changed, each once, in the order of their first rows.
func (m *machine) touched() []*run {
	runs := slices.Clone(m.woken)
	for _, row := range m.unit.rows {
		known := false
		for _, r := range runs {
			known = known || r == row.run
		}
		if !known {
			runs = append(runs, row.run)
		}
	}
	return runs
}

func (m *machine) find(id uuid.UUID, exec, attempt uint32) (*run, *nodeExec) {
	r := m.runs[id]
	if r == nil {
		return nil, nil
	}
	e := r.execs[exec]
	if e == nil || e.state != execRunning || e.attempt != attempt {
		return nil, nil
	}
	return r, e
}

// row appends a row of r to the unit; the decisions that follow ride on it.
func (m *machine) row(r *run, kind rowKind, e *nodeExec, status Status) *row {
	r.pos++
	w := &row{run: r, exec: e, pos: r.pos, kind: kind, status: status, at: m.now, step: &journal.Step{}}
	if e != nil {
		w.nodeExec = e.id
		s := w.step
		s.Node, s.Attempt, s.Charges, s.Deaths = uint32(e.node), e.attempt, e.charges, e.deaths
		if s.Failures = e.failures; !e.retryAt.IsZero() {
			s.RetryAt = e.retryAt.UnixMicro()
		}
		s.Plugin, s.PluginVersion, s.TakenOver, s.Stats = e.plugin, e.pluginVersion, e.takesOver(), e.stats
		if !e.recorded {
			e.recorded = true
			s.Inputs = inputsOf(e.pins)
		}
		if !e.startedAt.IsZero() {
			s.StartedAt = e.startedAt.UnixMicro()
		}
	}
	m.unit.rows = append(m.unit.rows, w)
	r.current = w
	return w
}

// carrier is the row on which a decision about r rides.
func (m *machine) carrier(r *run) *row {
	if r.current == nil {
		m.row(r, rowDispatch, nil, Running)
	}
	return r.current
}

func (m *machine) begin(r *run, starting []startingNode) {
	r.begun, r.startedAt = true, m.now
	w := m.row(r, rowBegin, nil, Running)
	for _, s := range starting {
		q := &journal.Move_Queue{Node: uint32(s.node)}
		if s.hasValue {
			q.Fills = []*journal.Input{{Pin: valuePin}}
		}
		w.step.Moves = append(w.step.Moves, &journal.Move{Move: &journal.Move_Queue_{Queue: q}})
		r.offer(r.queue(q), q)
	}
}

// startReady starts what is ready, first come, first served.
func (m *machine) startReady(r *run) {
	for r.ended == "" && len(r.ready) > 0 && !m.draining {
		e := r.ready[0]
		e.prepare()
		if m.careful && e.deaths >= maxCharges && e.failure == "" {
			e.failure, e.cutOff = "the server died each time this block ran", true
		}
		if e.failure != "" || e.instant() {
			r.unready()
			e.state = execInternal
			m.internal = append(m.internal, e)
			continue
		}
		if e.takesOver() {
			r.unready()
			r.replayLater(e)
			continue
		}
		if r.running >= m.limitOf() {
			return
		}
		r.unready()
		r.running++
		e.holdsPlace = true
		if e.kind() == block.Agent {
			e.attempt, e.startedAt, e.state = 1, m.now, execInternal
			m.internal = append(m.internal, e)
			continue
		}
		e.state = execRunning
		if e.attempt > 0 || m.careful {
			m.again(r, e, false)
			continue
		}
		e.attempt, e.startedAt = 1, m.now
		durable := !e.runs().Traits.Pure
		if durable {
			m.carry(r, &journal.Move{Move: &journal.Move_Start_{Start: &journal.Move_Start{Target: e.id, Node: uint32(e.node)}}})
			e.startRecorded = true
		}
		m.dispatch(e, durable, false)
	}
}

// unready takes the first of what is ready away.
func (r *run) unready() {
	r.ready[0] = nil
	r.ready = r.ready[1:]
}

func (m *machine) limitOf() int {
	if m.careful {
		return 1
	}
	return m.limit
}

func (m *machine) dispatch(e *nodeExec, afterCommit, isolated bool) {
	m.unit.commands = append(m.unit.commands, command{
		kind: runBlock, run: e.run, exec: e, attempt: e.attempt, block: e.runs(), input: e.blockInput(),
		recorded: e.outputs, isolated: isolated, afterCommit: afterCommit, notBefore: e.retryAt,
	})
}

// recordStarts gives node executions that run without a record of their start one, so that it can be seen.
func (m *machine) recordStarts() {
	for _, r := range m.runs {
		for _, e := range r.sortedExecs() {
			if e.state == execRunning && !e.startRecorded && e.kind() != block.Agent {
				w := m.row(r, rowNode, e, Running)
				w.step.Started, e.startRecorded = true, true
			}
		}
	}
}

// takeOutputs records and delivers what a streaming block emitted.
func (m *machine) takeOutputs(r *run, e *nodeExec, outputs []output) {
	fresh, err := e.repeated(e.ownOutputs(outputs))
	if len(fresh) > 0 {
		e.deaths = 0 // it gets on
		w := m.nodeRow(r, e, Running)
		m.record(r, e, w, fresh)
		m.settle(r, e.node)
	}
	if err != "" {
		m.unit.commands = append(m.unit.commands, command{kind: cancelBlock, run: r, exec: e, attempt: e.attempt})
		m.fail(r, e, nil, err)
	}
}

func (m *machine) done(r *run, e *nodeExec, ev doneEvent) {
	if ev.failed && ev.passing && m.retried(r, e, ev.wish) {
		return
	}
	fresh, err := e.repeated(e.ownOutputs(ev.outputs))
	if err == "" {
		e.writes = ev.writes
	}
	switch {
	case err != "":
		m.fail(r, e, fresh, err)
	case ev.failed && e.renders():
		// A template that fails shows its error where the text would be (execution.md 2.1).
		m.complete(r, e, []output{{pin: outputPin, value: &value{raw: quote(ev.message)}}})
	case ev.failed:
		m.fail(r, e, fresh, ev.message)
	case e.repeat != nil && e.missesRecorded():
		m.fail(r, e, fresh, "a repeated attempt ended without outputs that were recorded before")
	default:
		m.complete(r, e, fresh)
	}
}

// nodeRow is a row of e's own, with e's start where no row has it yet.
func (m *machine) nodeRow(r *run, e *nodeExec, status Status) *row {
	w := m.row(r, rowNode, e, status)
	if !e.startRecorded && !e.startedAt.IsZero() && status != Terminated {
		w.step.Started, e.startRecorded = true, true
	}
	return w
}

func (m *machine) record(r *run, e *nodeExec, w *row, outputs []output) {
	for i := range outputs {
		outputs[i].value = r.shared(outputs[i].value)
		o := outputs[i]
		w.step.Outputs = append(w.step.Outputs, &journal.Output{Pin: o.pin, Value: o.value.raw, Digest: o.value.digest, Size: o.value.size})
		w.writes, outputs[i].writes = append(w.writes, o.writes...), nil
	}
	w.writes, e.writes = append(w.writes, e.writes...), nil
	e.outputs = append(e.outputs, outputs...)
}

func (m *machine) complete(r *run, e *nodeExec, outputs []output) {
	w := m.nodeRow(r, e, Completed)
	m.record(r, e, w, outputs)
	if e.kind() == block.Output {
		w.isOutput = true
		w.step.ResultName = e.outputName()
		if e.renders() {
			v := r.shared(e.pinValue(valuePin))
			w.step.Result = &journal.Output{Value: v.raw, Digest: v.digest, Size: v.size}
		}
	}
	r.finish(e, Completed, "")
	m.settle(r, e.node)
	if e.kind() == block.Output && r.parentExec != nil {
		m.childOutput(r, e, outputs)
	}
}

func (m *machine) fail(r *run, e *nodeExec, outputs []output, message string) {
	message = r.mask().text(message)
	text := fmt.Sprintf("raised by %s with message: %s. block_id: %s", e.plan().block.Name, message, e.plan().block.ID)
	w := m.nodeRow(r, e, Failed)
	m.record(r, e, w, append(outputs, output{pin: errorPin, value: &value{raw: quote(text)}}))
	w.step.Error, w.step.CutOff = message, e.cutOff
	r.finish(e, Failed, message)
	m.settle(r, e.node)
}

// crashed is told that the process of e's plugin died. A crash is charged only to a run that was alone in it.
func (m *machine) crashed(r *run, e *nodeExec, ev crashEvent) {
	if e.runs().Traits.Once {
		e.cutOff = true
		m.fail(r, e, nil, "interrupted: the plugin's process died while the block ran, and the block must not be repeated by itself. "+ev.detail)
		return
	}
	if ev.alone {
		e.charges++
	}
	if e.charges >= maxCharges {
		e.cutOff = true
		m.done(r, e, doneEvent{failed: true, message: fmt.Sprintf("the plugin's process died %d times while it ran this block alone. %s", e.charges, ev.detail), plugin: e.plugin})
		return
	}
	m.again(r, e, true)
}

// retried begins another attempt after one that failed, where the node wants that. What the failed one left is dropped,
// as if it had been cut off.
func (m *machine) retried(r *run, e *nodeExec, wish time.Duration) bool {
	pause, ok := e.plan().limits.Pause(int(e.failures)+1, wish)
	if !ok || e.runs().Traits.Once {
		return false
	}
	e.failures++
	e.retryAt = m.now.Add(pause)
	m.again(r, e, false)
	return true
}

// again records an attempt, a later one or one that is charged; it starts when that is committed.
func (m *machine) again(r *run, e *nodeExec, isolated bool) {
	e.attempt++
	if m.careful {
		e.deaths++
	}
	if e.startedAt.IsZero() {
		e.startedAt = m.now
	}
	w := m.row(r, rowAttempt, e, Running)
	if !e.startRecorded {
		w.step.Started, e.startRecorded = true, true
	}
	if e.attempt > 1 {
		e.repeat, e.repeatOf = map[string]int{}, slices.Clone(e.outputs)
	}
	m.dispatch(e, true, isolated)
}

// stop ends r and what is nested in it, innermost first.
func (m *machine) stop(r *run) { m.cut(r, Terminated) }

// cut is stop, with another status of r itself.
func (m *machine) cut(r *run, status Status) {
	for _, e := range r.sortedExecs() {
		switch e.state {
		case execReady, execRunning, execInternal:
		default:
			continue
		}
		if e.child != nil && e.child.ended == "" {
			m.stop(e.child)
		}
		if e.state == execRunning && e.kind() != block.Agent {
			m.unit.commands = append(m.unit.commands, command{kind: cancelBlock, run: r, exec: e, attempt: e.attempt})
		}
		m.nodeRow(r, e, Terminated)
		r.finish(e, Terminated, "")
	}
	m.end(r, status)
}

func (m *machine) end(r *run, status Status) {
	w := m.row(r, rowEnd, nil, status)
	if status == Failed {
		w.step.Error, w.step.FailureNode = r.failure.Message, r.failure.NodeID
	}
	w.step.Waiting, w.step.WaitingTotal = r.waitingList()
	r.ended, r.endedAt = status, m.now
	delete(m.runs, r.id)
	m.unit.ended = append(m.unit.ended, r)
}
