package execution

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"github.com/patchbay-io/patchbay/core/block"
)

// Pins of the structural blocks.
const (
	valuePin  = "value"
	namePin   = "name"
	resultPin = "result"
	outputPin = "output"
)

// runInternal runs a node execution that needs no plugin: input and output nodes, nested agents, and those that
// failed before they could start.
func (m *machine) runInternal(r *run, e *nodeExec) {
	switch {
	case e.failure != "":
		m.fail(r, e, nil, e.failure)
	case e.plan().skipped:
		e.begin(m)
		m.complete(r, e, nil)
	case e.kind() == block.Agent:
		e.state = execRunning
		if r.depth+1 > maxDepth {
			m.fail(r, e, nil, fmt.Sprintf("agents are nested deeper than %d", maxDepth))
			return
		}
		m.unit.commands = append(m.unit.commands, command{kind: loadChild, run: r, exec: e, attempt: e.attempt, input: e.input, retry: e.childRetry()})
		// The command stands alone: nothing is recorded before the child is known.
	case e.kind() == block.Input:
		e.begin(m)
		m.complete(r, e, inputNodeOutputs(e))
	default:
		e.begin(m)
		v := e.pinValue(valuePin)
		m.complete(r, e, []output{{pin: outputPin, value: v}, {pin: namePin, value: &value{raw: quote(e.outputName())}}})
	}
}

// begin marks an instant node execution as started at this moment.
func (e *nodeExec) begin(m *machine) {
	e.attempt, e.startedAt = 1, m.now
}

// instant says whether the machine runs e itself, at once.
func (e *nodeExec) instant() bool {
	if e.plan().skipped {
		return true
	}
	switch e.kind() {
	case block.Input, block.Output:
		return e.help() == nil
	default:
		return false
	}
}

// inputNodeOutputs are what an input node yields: its value, and nothing for null (execution.md 2.1).
func inputNodeOutputs(e *nodeExec) []output {
	v := e.pinValue(valuePin)
	if e.plan().block.ID == block.FileID {
		return nil // it has no file, or its help would have been asked
	}
	if !v.null() {
		return []output{{pin: resultPin, value: v}}
	}
	p, ok := e.plan().block.Input(valuePin)
	if !ok {
		return nil
	}
	if p.Default != nil && !isNull(p.Default) { // a toggle always has a value
		return []output{{pin: resultPin, value: &value{raw: p.Default}}}
	}
	if gjson.GetBytes(p.Schema, "format").Str == "table" {
		return []output{{pin: resultPin, value: &value{raw: json.RawMessage("[]")}}}
	}
	return nil
}

// outputName is the name under which an output node publishes.
func (e *nodeExec) outputName() string {
	return gjson.GetBytes(e.input, namePin).String()
}

// beginChild starts the execution of a nested agent, or fails the node that cannot have one.
func (m *machine) beginChild(r *run, e *nodeExec, ev childEvent) {
	if ev.err != nil {
		m.fail(r, e, nil, ev.err.Error())
		return
	}
	if m.nested++; m.nested > maxNested {
		m.fail(r, e, nil, fmt.Sprintf("the execution has begun %d nested agents, which is the most", maxNested))
		return
	}
	if r.within(ev.plan.Graph.ID) {
		if m.recursions++; m.recursions > maxRecursions {
			m.fail(r, e, nil, fmt.Sprintf("agents that contain themselves were begun %d times, which is the most", maxRecursions))
			return
		}
	}
	w := m.nodeRow(r, e, Running)
	w.step.Child = ev.id[:]
	child := newRun(ev.id, r.userID, ev.plan, e.input, ev.picks)
	child.root, child.parent, child.parentExec, child.depth = r.root, r, e, r.depth+1
	child.retry, child.original = ev.retry, ev.original
	child.createdAt = m.now.Truncate(time.Microsecond)
	e.child = child
	m.runs[child.id] = child
	m.unit.begun = append(m.unit.begun, child)
	m.begin(child, ev.starting)
}

// within says whether the execution, or one that it is nested in, runs a graph.
func (r *run) within(graphID string) bool {
	for ; r != nil; r = r.parent {
		if r.plan.Graph.ID == graphID {
			return true
		}
	}
	return false
}

// childOutput passes an output of a nested agent on to the node that stands for it.
func (m *machine) childOutput(child *run, e *nodeExec, outputs []output) {
	r, agent := child.parent, child.parentExec
	if agent.state != execRunning {
		return
	}
	var passed []output
	hidden := child.plan.maskFor(cmp.Or(r.plan.Graph.UserID, r.userID)) // what another author's graph could do with them
	for _, o := range outputs {
		if o.pin == outputPin {
			passed = append(passed, output{pin: e.outputName(), value: hidden.output(o.value)})
		}
	}
	if len(passed) == 0 {
		return
	}
	if passed[0].pin == errorPin { // every value on error ends a node (execution.md 6.1)
		m.stop(child)
		m.fail(r, agent, nil, passed[0].value.text())
		return
	}
	w := m.nodeRow(r, agent, Running)
	m.record(r, agent, w, passed)
	m.settle(r, agent.node)
}

// childEnded ends the node that stands for a nested agent, as that ended.
func (m *machine) childEnded(child *run) {
	r, agent := child.parent, child.parentExec
	if r == nil || r.ended != "" || agent.state != execRunning {
		return
	}
	switch child.ended {
	case Failed:
		m.fail(r, agent, nil, "the nested agent failed: "+child.failure.Message)
	case Terminated:
		m.fail(r, agent, nil, "the nested agent was stopped")
	default:
		m.complete(r, agent, nil)
	}
}
