package execution

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

func (p *pair) compare(what, machine, model string) {
	if machine != model {
		p.t.Fatalf("after %d events, %s\nmachine:\n%s\nmodel:\n%s\ngraph:\n%s", p.events, what, machine, model, describe(p.g))
	}
}

func describe(g *graph.Graph) string {
	var b strings.Builder
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "%s %s %s\n", n.ID, modelBlocks[n.BlockID].Name, n.InputDefault)
	}
	for _, l := range g.Links {
		arrow := "->"
		if l.IsStatic {
			arrow = "=>"
		}
		fmt.Fprintf(&b, "%s: %s.%s %s %s.%s\n", l.ID, l.SourceID, l.SourceName, arrow, l.SinkID, l.SinkName)
	}
	return b.String()
}

// machineLog writes a unit down as the model does. before is the number of node executions queued earlier.
func machineLog(u *unit, before uint32) string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, r := range u.rows {
		s := r.step
		for _, o := range s.Outputs {
			say("output of %d: %s %s", r.nodeExec, o.Pin, o.Value)
		}
		if r.nodeExec != 0 && r.status.Ended() {
			say("%d ended %s", r.nodeExec, r.status)
		}
		for _, move := range s.Moves {
			switch mv := move.Move.(type) {
			case *journal.Move_Assign_:
				l := &r.run.plan.links[mv.Assign.Link]
				say("link %s of %d.%d: %s", l.ID, mv.Assign.Source, mv.Assign.Output, assigned(r.run, mv.Assign))
			case *journal.Move_Queue_:
				before++
				e := r.run.execs[before]
				id := e.plan().node.ID
				if mv.Queue.Invalid != "" {
					say("queue %d %s, to fail: %s", before, id, e.failure)
					continue
				}
				a, err := graph.Assemble(e.plan().node, e.plan().block, e.data())
				if err != nil || e.input != nil && string(e.input) != string(a.Input) {
					say("assembled otherwise: %v", err)
				}
				say("queue %d %s %s", before, id, a.Input)
			}
		}
		if r.kind == rowEnd {
			if r.status == Failed {
				say("because of %s: %s", s.FailureNode, s.Error)
			}
			say("execution ended %s", r.status)
			for _, w := range s.Waiting {
				slices.Sort(w.Have)
				slices.Sort(w.Missing)
				say("waits: %s has %v, lacks %v", r.run.plan.nodes[w.Node].node.ID, w.Have, w.Missing)
			}
			say("%d wait", s.WaitingTotal)
		}
	}
	return strings.Join(lines, "\n")
}

// assigned is the value that a move brought: where it went it may have been used up by now, where it came from not.
func assigned(r *run, a *journal.Move_Assign) string {
	l := &r.plan.links[a.Link]
	for _, e := range r.everywhere() {
		for _, pin := range e.pins {
			if s := pin.source; pin.pin == l.SinkName && s.NodeExecution == a.Source && s.Output == a.Output && s.Link == a.Link+1 {
				return string(pin.value.raw)
			}
		}
	}
	return "nowhere"
}

// everywhere are the node executions that wait or that are not done with.
func (r *run) everywhere() []*nodeExec {
	list := r.sortedExecs()
	for i := range r.nodes {
		list = append(list, r.nodes[i].waiting...)
	}
	return list
}

func machineStarts(u *unit) string {
	var lines []string
	for _, c := range u.commands {
		if c.kind == runBlock {
			lines = append(lines, fmt.Sprintf("%d %s %s", c.exec.id, c.exec.plan().node.ID, c.input))
		}
	}
	return strings.Join(lines, "\n")
}

// compareState compares what is there after an event.
func (p *pair) compareState() {
	r := p.machine.top
	status := cmp.Or(r.ended, Running)
	p.compare("the status", string(status), string(p.model.status))
	failures := func(f *Failure) string {
		if f == nil {
			return "none"
		}
		return f.NodeID + ": " + f.Message
	}
	p.compare("the failure", failures(r.failure), failures(p.model.failure))
	if r.ended == "" {
		p.compareWaiting()
		numbers := func(list []*nodeExec) (ids []int) {
			for _, e := range list {
				ids = append(ids, int(e.id))
			}
			return ids
		}
		theirs := func(list []*modelExec) (ids []int) {
			for _, e := range list {
				ids = append(ids, e.number)
			}
			return ids
		}
		var running []*nodeExec
		for _, e := range r.sortedExecs() {
			if e.state == execRunning {
				running = append(running, e)
			}
		}
		p.compare("what is ready, instant and running",
			fmt.Sprint(numbers(r.ready), numbers(p.machine.internal), numbers(running)),
			fmt.Sprint(theirs(p.model.ready), theirs(p.model.instant), slices.Sorted(slices.Values(theirs(p.model.running)))))
	}
}

// compareWaiting compares what waits and which outputs are held back.
func (p *pair) compareWaiting() {
	var machine, model strings.Builder
	for i := range p.g.Nodes {
		id := p.g.Nodes[i].ID
		for _, e := range p.machine.top.nodes[i].waiting {
			fmt.Fprintf(&machine, "%s waits with", id)
			for _, pin := range e.pins {
				fmt.Fprintf(&machine, " %s=%s", pin.pin, pin.value.raw)
			}
			machine.WriteByte('\n')
		}
		for _, e := range p.machine.top.nodes[i].order {
			fmt.Fprintf(&machine, "%s: %d of %d outputs of %d are routed\n", id, e.delivered, len(e.outputs), e.id)
		}
		for _, e := range p.model.waiting[id] {
			fmt.Fprintf(&model, "%s waits with", id)
			for _, pin := range e.rows {
				fmt.Fprintf(&model, " %s=%s", pin.Pin, pin.Value)
			}
			model.WriteByte('\n')
		}
		for _, e := range p.model.lanes[id] {
			fmt.Fprintf(&model, "%s: %d of %d outputs of %d are routed\n", id, e.routed, len(e.outputs), e.number)
		}
	}
	p.compare("what waits", machine.String(), model.String())
}

// compareResults compares the outputs of the execution, as its committed rows tell them.
func (p *pair) compareResults() {
	rows := slices.Clone(p.committed)
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(a.nodeExec, b.nodeExec) })
	var lines []string
	for _, r := range rows {
		if !r.isOutput {
			continue
		}
		o := r.step.Result
		if o == nil {
			o = r.step.Outputs[0]
		}
		lines = append(lines, fmt.Sprintf("%s = %s", r.step.ResultName, o.Value))
	}
	p.compare("the outputs", strings.Join(lines, "\n"), p.model.results())
}
