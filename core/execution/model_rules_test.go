package execution

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

// model is the firing rules once more (execution.md 3.6, 4.2 to 4.13, as the contract changes them), written from the
// text and for reading: one execution, in memory, sequential, no journal, no recovery. It shares with the machine
// only what looks at a single value: selectors and the assembling of an input. It writes down each thing it does.
type model struct {
	g      *graph.Graph
	blocks graph.Blocks
	inputs map[string]json.RawMessage // of the execution
	places int                        // node executions that may run at once

	queued  []*modelExec            // all that were ever queued, in order
	waiting map[string][]*modelExec // INCOMPLETE, oldest first, by node
	latest  map[string]*modelExec   // the one queued last with an input that fits, by node
	lanes   map[string][]*modelExec // in queue order, those with outputs that are not routed yet, by node
	ready   []*modelExec            // FIFO
	instant []*modelExec            // those that need no plugin, FIFO
	running []*modelExec

	status  Status
	failure *Failure
	log     []string // what happened in the last event
	starts  []string // blocks that the last event started
}

type modelExec struct {
	number  int // among the queued ones
	node    *graph.Node
	block   *block.Block
	rows    []graph.PinValue // what links brought
	data    []graph.PinValue // with what static pins filled in
	input   json.RawMessage
	invalid string // why the input does not fit
	outputs []graph.PinValue
	routed  int
	ended   Status
}

func newModel(g *graph.Graph, blocks graph.Blocks, inputs json.RawMessage, places int) *model {
	return &model{
		g: g, blocks: blocks, inputs: object(inputs), places: places, status: Running,
		waiting: map[string][]*modelExec{}, latest: map[string]*modelExec{}, lanes: map[string][]*modelExec{},
	}
}

func (m *model) newExec(n *graph.Node) *modelExec {
	b, _ := m.blocks.Block(n.BlockID)
	return &modelExec{node: n, block: b}
}

// event is one event: what do does, then what follows from there being free places or nothing left to do.
func (m *model) event(do func()) {
	m.log, m.starts = nil, nil
	do()
	for m.status == Running && len(m.ready) > 0 {
		e := m.ready[0]
		switch {
		case e.invalid != "" || e.block.Kind == block.Input && !e.storesFile() || e.block.Kind == block.Output && !e.renders():
			m.instant = append(m.instant, e)
		case len(m.running) < m.places:
			m.running = append(m.running, e)
			m.starts = append(m.starts, fmt.Sprintf("%d %s %s", e.number, e.node.ID, e.blockInput()))
		default:
			return
		}
		m.ready = m.ready[1:]
	}
	if m.status == Running && len(m.instant)+len(m.running) == 0 {
		m.end(Completed)
	}
}

func (m *model) say(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

// begin queues the starting nodes (4.2).
func (m *model) begin() {
	for i := range m.g.Nodes {
		n := &m.g.Nodes[i]
		e := m.newExec(n)
		if len(m.awaited(n)) > 0 && e.block.Kind != block.Input {
			continue
		}
		if e.block.Kind == block.Input {
			if v, ok := m.inputs[text(object(n.InputDefault)["name"])]; ok {
				e.data = []graph.PinValue{{Pin: "value", Value: v}}
			}
		}
		m.tryQueue(e)
	}
}

// awaited are the distinct sink pins of a node's inbound links.
func (m *model) awaited(n *graph.Node) []string {
	var pins []string
	for _, l := range m.g.Links {
		if l.SinkID == n.ID && !slices.Contains(pins, l.SinkName) {
			pins = append(pins, l.SinkName)
		}
	}
	return pins
}

// fill completes what links brought by what the static pins had in another node execution; null where it had nothing.
func (m *model) fill(e, from *modelExec) {
	e.data = slices.Clone(e.rows)
	if from == nil {
		return
	}
	for _, pin := range m.awaited(e.node) {
		if !m.static(e.node, pin) || hasPin(e.rows, pin) {
			continue
		}
		v := json.RawMessage("null")
		for _, p := range from.data {
			if p.Pin == pin {
				v = p.Value
			}
		}
		e.data = append(e.data, graph.PinValue{Pin: pin, Value: v})
	}
}

func (m *model) static(n *graph.Node, pin string) bool {
	return slices.ContainsFunc(m.g.Links, func(l graph.Link) bool { return l.SinkID == n.ID && l.SinkName == pin && l.IsStatic })
}

func hasPin(list []graph.PinValue, pin string) bool {
	return slices.ContainsFunc(list, func(p graph.PinValue) bool { return p.Pin == pin })
}

// tryQueue queues e if its data is complete, also if it does not fit (contract: it fails). It says whether it fits.
func (m *model) tryQueue(e *modelExec) bool {
	for _, pin := range m.awaited(e.node) {
		if !hasPin(e.data, pin) {
			return false
		}
	}
	a, err := graph.Assemble(e.node, e.block, e.data)
	if err == nil && len(a.Missing) > 0 {
		return false
	}
	id := e.node.ID
	m.waiting[id] = slices.DeleteFunc(m.waiting[id], func(w *modelExec) bool { return w == e })
	m.queued = append(m.queued, e)
	e.number = len(m.queued)
	m.lanes[id] = append(m.lanes[id], e)
	m.ready = append(m.ready, e)
	if err != nil {
		e.invalid = err.Error()
		m.say("queue %d %s, to fail: %s", e.number, id, e.invalid)
		return false
	}
	e.input = a.Input
	m.latest[id] = e
	m.say("queue %d %s %s", e.number, id, e.input)
	return true
}

// route routes what a node's oldest node execution has, and that of the next ones when the older ones ended (4.6).
func (m *model) route(id string) {
	for len(m.lanes[id]) > 0 {
		e := m.lanes[id][0]
		for ; e.routed < len(e.outputs); e.routed++ {
			for i := range m.g.Links {
				if m.g.Links[i].SourceID == id {
					m.follow(&m.g.Links[i], e, e.outputs[e.routed])
				}
			}
		}
		if e.ended == "" {
			return
		}
		m.lanes[id] = m.lanes[id][1:]
	}
}

// follow routes one output along one link (4.5).
func (m *model) follow(l *graph.Link, source *modelExec, o graph.PinValue) {
	v, ok := graph.Select(l.SourceName, o.Pin, o.Value)
	if !ok {
		return
	}
	m.say("link %s of %d.%d: %s", l.ID, source.number, source.routed, v)
	var e *modelExec
	for _, w := range m.waiting[l.SinkID] {
		if !hasPin(w.rows, l.SinkName) {
			e = w
			break
		}
	}
	if e == nil {
		e = m.newExec(m.node(l.SinkID))
		m.waiting[l.SinkID] = append(m.waiting[l.SinkID], e)
	}
	e.rows = append(e.rows, graph.PinValue{Pin: l.SinkName, Value: v})
	m.fill(e, m.latest[l.SinkID])
	if !m.tryQueue(e) || !l.IsStatic {
		return
	}
	for _, w := range slices.Clone(m.waiting[l.SinkID]) { // oldest first (contract)
		m.fill(w, e)
		m.tryQueue(w)
	}
}

func (m *model) node(id string) *graph.Node {
	i := slices.IndexFunc(m.g.Nodes, func(n graph.Node) bool { return n.ID == id })
	return &m.g.Nodes[i]
}

// yield takes outputs of a streaming block that goes on running.
func (m *model) yield(e *modelExec, outputs []graph.PinValue) {
	m.record(e, outputs)
	m.route(e.node.ID)
}

func (m *model) record(e *modelExec, outputs []graph.PinValue) {
	for _, o := range outputs {
		m.say("output of %d: %s %s", e.number, o.Pin, o.Value)
	}
	e.outputs = append(e.outputs, outputs...)
}

// complete ends e with its last outputs.
func (m *model) complete(e *modelExec, outputs []graph.PinValue) {
	m.record(e, outputs)
	m.close(e, Completed)
	m.route(e.node.ID)
}

// fail ends e with an error, after its last outputs (4.10; contract: failure).
func (m *model) fail(e *modelExec, outputs []graph.PinValue, message string) {
	if e.renders() && e.invalid == "" { // a template shows its error in the place of the text
		m.complete(e, []graph.PinValue{{Pin: "output", Value: quote(message)}})
		return
	}
	raised := fmt.Sprintf("raised by %s with message: %s. block_id: %s", e.block.Name, message, e.block.ID)
	m.record(e, append(slices.Clone(outputs), graph.PinValue{Pin: "error", Value: quote(raised)}))
	m.close(e, Failed)
	handled := slices.ContainsFunc(m.g.Links, func(l graph.Link) bool {
		return l.SourceID == e.node.ID && graph.Base(l.SourceName) == "error"
	})
	if !handled && m.failure == nil {
		m.failure = &Failure{Message: message, NodeID: e.node.ID}
	}
	m.route(e.node.ID)
}

func (m *model) close(e *modelExec, status Status) {
	e.ended = status
	m.say("%d ended %s", e.number, status)
	is := func(other *modelExec) bool { return other == e }
	m.running = slices.DeleteFunc(m.running, is)
	m.instant = slices.DeleteFunc(m.instant, is)
	m.ready = slices.DeleteFunc(m.ready, is)
}

// step runs the oldest of those that need no plugin (2.1).
func (m *model) step() {
	e := m.instant[0]
	if e.invalid != "" {
		m.fail(e, nil, e.invalid)
		return
	}
	value := e.value("value")
	if e.block.Kind == block.Output {
		m.complete(e, []graph.PinValue{{Pin: "output", Value: value}, {Pin: "name", Value: e.value("name")}})
		return
	}
	if e.block.ID == block.FileID { // for any empty value
		m.complete(e, nil)
		return
	}
	if string(value) == "null" {
		switch e.block.ID {
		case toggleBlock:
			value = json.RawMessage("false")
		case tableBlock:
			value = json.RawMessage("[]")
		default:
			m.complete(e, nil)
			return
		}
	}
	m.complete(e, []graph.PinValue{{Pin: "result", Value: value}})
}

// restart is what a death of the server comes to: what ran is repeated, or fails where that is forbidden.
func (m *model) restart() {
	for _, e := range slices.Clone(m.running) {
		if e.block.Traits.Once {
			m.fail(e, nil, "interrupted: the server died while the block ran, and the block must not be repeated by itself")
		}
	}
	m.ready = slices.Concat(m.ready, m.running, m.instant)
	m.running, m.instant = nil, nil
	slices.SortFunc(m.ready, func(a, b *modelExec) int { return a.number - b.number })
}

// stop terminates everything.
func (m *model) stop() {
	for _, e := range m.queued {
		if e.ended == "" {
			m.close(e, Terminated)
		}
	}
	m.end(Terminated)
}

func (m *model) end(status Status) {
	if status == Completed && m.failure != nil {
		status = Failed
		m.say("because of %s: %s", m.failure.NodeID, m.failure.Message)
	}
	m.status = status
	m.say("execution ended %s", status)
	total := 0
	for i := range m.g.Nodes {
		n := &m.g.Nodes[i]
		for _, e := range m.waiting[n.ID] {
			if total++; total <= 1000 { // contract
				have, missing := m.holds(e)
				m.say("waits: %s has %v, lacks %v", n.ID, have, missing)
			}
		}
	}
	m.say("%d wait", total)
}

// holds says which pins of a waiting node execution have a value that counts: null on a required pin does not.
func (m *model) holds(e *modelExec) (have, missing []string) {
	for _, pin := range m.awaited(e.node) {
		i := slices.IndexFunc(e.rows, func(p graph.PinValue) bool { return p.Pin == pin })
		if i >= 0 && (string(e.rows[i].Value) != "null" || !e.demands(pin)) {
			have = append(have, pin)
		} else {
			missing = append(missing, pin)
		}
	}
	slices.Sort(have)
	slices.Sort(missing)
	return have, missing
}

// demands says whether pin needs a value of its own, since it is required and no dynamic pin gives it one.
func (e *modelExec) demands(pin string) bool {
	p, ok := e.block.Input(pin)
	if !ok || !p.Required {
		return false
	}
	others := slices.Collect(maps.Keys(object(e.node.InputDefault)))
	for _, r := range e.rows {
		others = append(others, r.Pin)
	}
	return !slices.ContainsFunc(others, func(other string) bool { return other != pin && graph.Base(other) == pin })
}

// results are the values of the output nodes by name, in queue order (4.13).
func (m *model) results() string {
	var lines []string
	for _, e := range m.queued {
		if e.block.Kind == block.Output && e.ended == Completed {
			lines = append(lines, fmt.Sprintf("%s = %s", text(e.value("name")), e.value("value")))
		}
	}
	return strings.Join(lines, "\n")
}

// value is that of a pin of the assembled input.
func (e *modelExec) value(pin string) json.RawMessage {
	if v, ok := object(e.input)[pin]; ok {
		return v
	}
	return json.RawMessage("null")
}

func (e *modelExec) renders() bool {
	if e.block.Kind != block.Output || e.invalid != "" {
		return false
	}
	format := e.value("format")
	return string(format) != "null" && text(format) != ""
}

// storesFile: a file input yields nothing for an empty value, else what the file store makes of it (2.1).
func (e *modelExec) storesFile() bool {
	return e.block.ID == block.FileID && e.invalid == "" && string(e.value("value")) != "null" && text(e.value("value")) != ""
}

// blockInput is what the block gets: no nulls (contract); a template one variable, called like the node; the file
// store the file.
func (e *modelExec) blockInput() string {
	if e.storesFile() {
		if wanted := e.value("base_64"); string(wanted) != "null" {
			return fmt.Sprintf(`{"file_in":%s,"base_64":%s}`, e.value("value"), wanted)
		}
		return fmt.Sprintf(`{"file_in":%s}`, e.value("value"))
	}
	if e.renders() {
		return fmt.Sprintf(`{"values":{%s:%s},"format":%s}`, e.value("name"), e.value("value"), e.value("format"))
	}
	return string(graph.WithoutNulls(e.input))
}
