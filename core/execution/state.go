package execution

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"time"
	"weak"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/hostservice"
)

// run is the state of one execution.
type run struct {
	id, root   uuid.UUID
	name       string // the id's text
	parent     *run
	parentExec *nodeExec // the nested-agent node that this execution stands behind
	depth      int
	userID     string
	plan       *Plan
	inputs     json.RawMessage
	picks      *picks // credentials; the plan has them among its constants
	priority   int    // among the user's executions that wait, while it does
	// maxConcurrent is how many of the graph's executions may run when it begins, while it waits; 0: any number.
	maxConcurrent int
	timeout       time.Duration // from startedAt; 0: none
	presumes      presumes      // of a root that is not accepted yet

	createdAt, startedAt, endedAt time.Time
	begun                         bool
	ended                         Status // empty while it has not ended
	shown                         Status // what its row shows, or is about to
	failure                       *Failure

	pos     int
	seq     int64
	current *row // carries the decisions of the unit being built

	retry    *retry
	original *original       // of a retry: what may be taken over
	taken    map[uint32]bool // node executions of the original from which something was taken
	replays  []*nodeExec     // those that take their outputs over, in the order in which the original had them
	replayed *nodeExec       // the one of them whose outputs are being read

	nodes   []nodeState
	places  map[uint32]*nodeExec // those that wait, by the number of their place
	last    uint32               // number of the newest place
	execs   map[uint32]*nodeExec // those queued that are active or hold undelivered outputs, by their number
	queued  uint32               // node executions queued so far
	active  int                  // those ready, internal or running
	running int                  // those that hold a place
	ready   []*nodeExec

	completed, failed int
	tally             tally // of what is committed

	large map[[sha256.Size]byte]weak.Pointer[value] // values in memory that are too large for the journal
}

type nodeState struct {
	waiting []*nodeExec // incomplete node executions, oldest first
	latest  []pinInput  // static inputs of the newest one that was queued, which later ones repeat
	fed     bool        // latest is of a node execution (it may be empty)
	order   []*nodeExec // queued ones whose outputs are not all delivered, in queue order
}

type execState int

const (
	execWaiting execState = iota
	execReady
	execInternal
	execRunning
	execEnded
)

// nodeExec is one execution of a node.
type nodeExec struct {
	place   uint32 // its number while it waits; 0: it never waited
	id      uint32 // its number among the queued ones; 0 while it waits
	run     *run
	node    int
	state   execState
	pins    []pinInput
	input   json.RawMessage // assembled from pins; nil until needed after recovery
	failure string          // why it fails instead of running

	writes    []hostservice.Write // of keys, for the row of its end
	outputs   []output            // recorded ones that are undelivered, or all of a streaming block that runs
	delivered int

	attempt               uint32
	charges               uint32    // crashes of its plugin
	deaths                uint32    // of the server, since it last recorded something
	failures              uint32    // attempts that failed and might not the next time
	retryAt               time.Time // before which no attempt begins
	startedAt             time.Time
	startRecorded         bool
	recorded              bool           // a row of its own exists
	holdsPlace            bool           // counts among the running ones
	repeat                map[string]int // recorded outputs met again by a later attempt, by pin
	repeatOf              []output       // what earlier attempts had recorded when this one began
	plugin, pluginVersion string
	stats                 map[string]int64   // what its block has counted
	take                  *journal.Move_Take // from the execution that is retried
	cutOff                bool               // what it did outside is not known
	child                 *run
	childID               uuid.UUID // of a nested agent that began
}

// value is a JSON value, shared and never changed. raw is nil while only its digest is known (recovery).
type value struct {
	raw    json.RawMessage
	digest []byte
	size   uint64
}

type output struct {
	pin    string
	value  *value
	writes []hostservice.Write // of keys, made before it and not yet recorded
}

// shared is v, or the equal value that the execution holds already: a large value that passes through many nodes is
// in memory once.
func (r *run) shared(v *value) *value {
	if len(v.raw) <= inlineValue {
		return v
	}
	digest := sha256.Sum256(v.raw)
	if known := r.large[digest].Value(); known != nil {
		return known
	}
	if r.large == nil {
		r.large = map[[sha256.Size]byte]weak.Pointer[value]{}
	}
	v.digest, v.size = digest[:], uint64(len(v.raw))
	r.large[digest] = weak.Make(v)
	return v
}

// pinInput is the value that a pin of a node execution received, and where it came from.
type pinInput struct {
	pin    string
	value  *value
	source *journal.Input
}

var nullValue = &value{raw: json.RawMessage("null")}

func newRun(id uuid.UUID, userID string, p *Plan, inputs json.RawMessage, credentials *picks) *run {
	return &run{
		id: id, root: id, name: id.String(), userID: userID, plan: p.with(credentials), inputs: inputs, picks: credentials,
		nodes: make([]nodeState, len(p.nodes)), places: map[uint32]*nodeExec{}, execs: map[uint32]*nodeExec{},
	}
}

func (r *run) idle() bool { return r.active == 0 }

// outcome is how the execution ends when nothing is left to do.
func (r *run) outcome() Status {
	if r.failure != nil {
		return Failed
	}
	return Completed
}

func (r *run) nextPlace() uint32 { return r.last + 1 }

// assign puts a value into a pin of a waiting node execution, which it creates where target is new.
func (r *run) assign(a *journal.Move_Assign) *nodeExec {
	l := &r.plan.links[a.Link]
	t := r.places[a.Target]
	if t == nil {
		t = &nodeExec{place: a.Target, run: r, node: l.sink}
		r.last = max(r.last, a.Target)
		r.places[a.Target] = t
		r.nodes[l.sink].waiting = append(r.nodes[l.sink].waiting, t)
	}
	source := r.execs[a.Source].outputs[a.Output]
	t.pins = append(t.pins, pinInput{
		pin: l.SinkName, value: selected(l, source),
		source: &journal.Input{Pin: l.SinkName, NodeExecution: a.Source, Output: a.Output, Link: a.Link + 1},
	})
	return t
}

// selected is what a link takes of an output. A value that is not in memory is taken whole and selected later.
func selected(l *planLink, o output) *value {
	if l.SourceName == o.pin || o.value.raw == nil {
		return o.value
	}
	raw, ok := graph.Select(l.SourceName, o.pin, o.value.raw)
	if !ok {
		return nullValue
	}
	return &value{raw: raw}
}

// queue makes a node execution ready, or one that is to fail for its input.
func (r *run) queue(q *journal.Move_Queue) *nodeExec {
	e := r.places[q.Target]
	if e == nil {
		e = &nodeExec{run: r, node: int(q.Node)}
	}
	n := &r.nodes[e.node]
	if i := slices.Index(n.waiting, e); i >= 0 {
		n.waiting = slices.Delete(n.waiting, i, i+1)
		delete(r.places, e.place)
	}
	for _, f := range q.Fills {
		e.pins = append(e.pins, pinInput{pin: f.Pin, value: r.filled(e, f), source: f})
	}
	e.failure = q.Invalid
	r.takes(e, q.Take)
	if q.Invalid == "" {
		n.latest, n.fed = e.staticPins(), true
	}
	r.queued++
	e.id = r.queued
	r.execs[e.id] = e
	e.state = execReady
	r.active++
	r.ready = append(r.ready, e)
	n.order = append(n.order, e)
	return e
}

// staticPins are the inputs that later executions of the node may repeat.
func (e *nodeExec) staticPins() []pinInput {
	if len(e.plan().static) == 0 {
		return nil
	}
	var pins []pinInput
	for _, p := range e.pins {
		if e.plan().static[p.pin] {
			pins = append(pins, p)
		}
	}
	return pins
}

// filled is the value that a static pin repeats, or an input of the execution.
func (r *run) filled(e *nodeExec, f *journal.Input) *value {
	switch {
	case f.NodeExecution != 0:
		return r.held(e.node, f)
	case f.Link != 0:
		return nullValue
	default:
		return r.inputOf(e.node)
	}
}

// held finds the value that an earlier execution of the node received from the same place.
func (r *run) held(node int, f *journal.Input) *value {
	n := &r.nodes[node]
	pins := [][]pinInput{n.latest}
	for i := len(n.order) - 1; i >= 0; i-- {
		pins = append(pins, n.order[i].pins)
	}
	for _, list := range pins {
		for _, p := range list {
			if p.pin == f.Pin && p.source.NodeExecution == f.NodeExecution && p.source.Output == f.Output && p.source.Link == f.Link {
				return p.value
			}
		}
	}
	return nullValue
}

// inputOf is the execution's input for an input node, by the node's name.
func (r *run) inputOf(node int) *value { return inputOf(r.plan, node, r.inputs) }

func inputOf(p *Plan, node int, inputs json.RawMessage) *value {
	name := p.inputName(node)
	found := nullValue
	gjson.ParseBytes(inputs).ForEach(func(k, v gjson.Result) bool {
		if k.String() == name {
			found = &value{raw: json.RawMessage(v.Raw)}
		}
		return true
	})
	return found
}

// inputName is the name of the execution's input that an input node gives.
func (p *Plan) inputName(node int) string {
	return gjson.GetBytes(p.nodes[node].node.InputDefault, namePin).String()
}

// finish ends a node execution.
func (r *run) finish(e *nodeExec, status Status, message string) {
	if e.holdsPlace {
		e.holdsPlace = false
		r.running--
	}
	if r.replayed == e {
		r.replayed = nil
	}
	e.state = execEnded
	r.active--
	switch status {
	case Completed:
		r.completed++
	case Failed:
		r.failed++
		if r.failure == nil && !e.plan().handlesFail {
			r.failure = &Failure{Message: message, NodeID: e.plan().node.ID}
		}
	case Terminated:
		delete(r.execs, e.id)
	}
}

// passed moves on in the order of a node's outputs: those of its oldest node execution are delivered as they come,
// those of later ones when the older ones have ended (execution.md 4.6). deliver may be nil: they were delivered.
func (r *run) passed(node int, deliver func(e *nodeExec, i int)) {
	n := &r.nodes[node]
	for len(n.order) > 0 {
		e := n.order[0]
		for ; e.delivered < len(e.outputs); e.delivered++ {
			if deliver != nil {
				deliver(e, e.delivered)
			}
		}
		if e.state != execEnded {
			return
		}
		n.order[0] = nil // or the array would keep it, and its input, in memory
		n.order = n.order[1:]
		delete(r.execs, e.id)
	}
}

// repeated takes away the outputs that an earlier attempt has recorded. What differs from them is an error.
func (e *nodeExec) repeated(outputs []output) (fresh []output, problem string) {
	if e.repeat == nil {
		return outputs, ""
	}
	for i, o := range outputs {
		before := e.recordedOn(o.pin)
		k := e.repeat[o.pin]
		if k >= len(before) {
			return append(fresh, outputs[i:]...), e.checkRest(outputs[i:])
		}
		if string(before[k].raw) != string(o.value.raw) {
			return fresh, fmt.Sprintf("a repeated attempt emitted another value on pin %s than the one that was recorded before", o.pin)
		}
		e.repeat[o.pin]++
	}
	return fresh, ""
}

// checkRest looks through outputs behind the first new one, since pins repeat independently of each other.
func (e *nodeExec) checkRest(rest []output) string {
	for _, o := range rest {
		if k := e.repeat[o.pin]; k < len(e.recordedOn(o.pin)) {
			return fmt.Sprintf("a repeated attempt emitted new values before it repeated those of pin %s", o.pin)
		}
	}
	return ""
}

func (e *nodeExec) missesRecorded() bool {
	for _, o := range e.repeatOf {
		if e.repeat[o.pin] < len(e.recordedOn(o.pin)) {
			return true
		}
	}
	return false
}

func (e *nodeExec) recordedOn(pin string) []*value {
	var values []*value
	for _, o := range e.repeatOf {
		if o.pin == pin {
			values = append(values, o.value)
		}
	}
	return values
}

func (e *nodeExec) plan() *planNode { return &e.run.plan.nodes[e.node] }

func (e *nodeExec) kind() block.Kind { return e.plan().block.Kind }

// prepare assembles the input of a node execution that was refolded from its rows.
func (e *nodeExec) prepare() {
	if e.input != nil || e.failure != "" {
		return
	}
	a, err := graph.Assemble(e.plan().node, e.plan().block, e.data())
	if err != nil {
		e.failure = err.Error()
		return
	}
	e.input = a.Input
}

func (e *nodeExec) data() []graph.PinValue {
	data := make([]graph.PinValue, len(e.pins))
	for i, p := range e.pins {
		data[i] = graph.PinValue{Pin: p.pin, Value: p.value.raw}
	}
	return data
}

// pinValue is a value of the assembled input. One that is as it came stays shared, since it may be large.
func (e *nodeExec) pinValue(pin string) *value {
	found := nullValue
	gjson.ParseBytes(e.input).ForEach(func(k, v gjson.Result) bool {
		if k.String() == pin {
			found = &value{raw: json.RawMessage(v.Raw)}
			return false
		}
		return true
	})
	for _, p := range e.pins {
		if p.pin == pin && string(p.value.raw) == string(found.raw) {
			return p.value
		}
	}
	return found
}

func (e *nodeExec) has(pin string) bool {
	return slices.ContainsFunc(e.pins, func(p pinInput) bool { return p.pin == pin })
}

func inputsOf(pins []pinInput) []*journal.Input {
	inputs := make([]*journal.Input, len(pins))
	for i, p := range pins {
		inputs[i] = p.source
	}
	return inputs
}

func (r *run) sortedExecs() []*nodeExec {
	execs := make([]*nodeExec, 0, len(r.execs))
	for _, e := range r.execs {
		execs = append(execs, e)
	}
	sort.Slice(execs, func(i, j int) bool { return execs[i].id < execs[j].id })
	return execs
}

// maxWaiting bounds what an execution's end says about what still waited.
const maxWaiting = 1000

// waitingList says what still waits for which pins.
func (r *run) waitingList() (list []*journal.Waiting, total uint32) {
	for i := range r.nodes {
		for _, e := range r.nodes[i].waiting {
			if total++; total > maxWaiting {
				continue
			}
			w := &journal.Waiting{Node: uint32(i)}
			nulls := e.nullPins()
			for _, p := range e.pins {
				if !slices.Contains(nulls, p.pin) {
					w.Have = append(w.Have, p.pin)
				}
			}
			for _, pin := range e.plan().awaited {
				if !e.has(pin) {
					w.Missing = append(w.Missing, pin)
				}
			}
			w.Missing = append(w.Missing, nulls...)
			list = append(list, w)
		}
	}
	return list, total
}

// nullPins are required pins that hold a null, which keeps a node execution waiting (contract: invalid input).
func (e *nodeExec) nullPins() []string {
	a, _ := graph.Assemble(e.plan().node, e.plan().block, e.data()) // on an error nothing is missing
	var pins []string
	for _, p := range e.pins {
		in, ok := e.plan().block.Input(p.pin)
		if !ok || !in.Required || !p.value.null() {
			continue
		}
		if slices.Contains(a.Missing, p.pin) { // a dynamic pin may have made something of it
			pins = append(pins, p.pin)
		}
	}
	return pins
}

func (v *value) null() bool { return isNull(v.raw) }

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// text is a value for a message: a string's text, or the JSON.
func (v *value) text() string {
	var s string
	if json.Unmarshal(v.raw, &s) == nil {
		return s
	}
	return string(v.raw)
}
