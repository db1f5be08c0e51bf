package execution

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/hostservice"
)

// unit is what commits together or not at all.
type unit struct {
	rows     []*row
	begun    []*run
	ended    []*run
	commands []command
}

// rowKind tells the journal's rows apart. The numbers are stored.
type rowKind int16

const (
	rowBegin    rowKind = 1 // the execution starts
	rowNode     rowKind = 2 // outputs of a node execution, its end, or both
	rowAttempt  rowKind = 3 // a later attempt begins
	rowDispatch rowKind = 4 // starts that no other row carries
	rowEnd      rowKind = 5 // the execution ends
)

// row is one row of the journal, in memory.
type row struct {
	run      *run
	exec     *nodeExec // nil for rows of the execution itself
	pos      int
	seq      int64 // number of its last event
	events   int
	kind     rowKind
	nodeExec uint32
	status   Status
	isOutput bool
	at       time.Time
	step     *journal.Step
	writes   []hostservice.Write // of keys, that commit with the row

	frames atomic.Pointer[shared] // once somebody has watched it
}

func (r *row) countEvents() int {
	n := len(r.step.Outputs)
	if r.step.Started || r.kind == rowBegin || r.kind == rowEnd {
		n++
	}
	if r.kind == rowNode && (r.status == Completed || r.status == Failed) {
		n++
	}
	for _, m := range r.step.Moves {
		if m.GetStart() != nil {
			n++
		}
	}
	return n
}

// command is what the worker must do for the machine.
type command struct {
	kind    commandKind
	run     *run
	exec    *nodeExec
	attempt uint32
	// For runBlock:
	block       *block.Block
	input       json.RawMessage
	recorded    []output
	isolated    bool
	afterCommit bool // only when the unit is committed
	notBefore   time.Time
	// For loadChild:
	retry *retry // what the child retries; nil: nothing
}

type commandKind int

const (
	runBlock commandKind = iota
	cancelBlock
	loadChild   // find the graph of a nested agent
	loadOutputs // of the node execution from which they are taken over
)

// Events of the machine.
type (
	beginEvent   struct{ starting []startingNode }
	outputsEvent struct {
		run     uuid.UUID
		exec    uint32
		attempt uint32
		outputs []output
	}
	doneEvent struct {
		run                   uuid.UUID
		exec                  uint32
		attempt               uint32
		outputs               []output // of a block that does not stream
		writes                []hostservice.Write
		release               func() // of the key that it holds, after the commit; nil: none
		failed                bool
		passing               bool          // trying again may help
		wish                  time.Duration // how long to wait before
		message               string
		plugin, pluginVersion string
		stats                 map[string]int64
	}
	crashEvent struct {
		run     uuid.UUID
		exec    uint32
		attempt uint32
		alone   bool
		detail  string
	}
	childEvent struct {
		run      uuid.UUID
		exec     uint32
		id       uuid.UUID
		plan     *Plan
		picks    *picks
		starting []startingNode
		retry    *retry
		original *original
		err      error
	}
	takenEvent struct {
		run                   uuid.UUID
		exec                  uint32
		outputs               []output
		plugin, pluginVersion string
		err                   error
	}
	stopEvent struct{ run uuid.UUID }
	// timeoutEvent ends a root that has run as long as it may.
	timeoutEvent struct{}
	// resumeEvent goes on after the state was refolded from the journal.
	resumeEvent struct{ careful bool }
	// tickEvent records the start of pure node executions that take long enough for somebody to notice.
	tickEvent struct{}
)

// startingNode is a node that runs because the execution begins.
type startingNode struct {
	node     int
	hasValue bool // its value comes from the execution's inputs
}
