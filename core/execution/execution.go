// Package execution accepts, schedules, records and shows executions of agents.
//
// machine.go is a pure state machine (state and event in, steps and commands out); worker.go drives it, writer.go
// commits its steps in groups, reader.go shows what was committed. Nothing else decides.
package execution

import (
	"encoding/json"
	"time"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// Status of an execution or of a node execution.
type Status string

// The five statuses of the API reference.
const (
	Queued     Status = "QUEUED"
	Running    Status = "RUNNING"
	Completed  Status = "COMPLETED"
	Failed     Status = "FAILED"
	Terminated Status = "TERMINATED"
)

// Ended says whether nothing will change any more.
func (s Status) Ended() bool { return s == Completed || s == Failed || s == Terminated }

// Execution is one run of a graph version.
type Execution struct {
	ID           string
	UserID       string
	GraphID      string
	GraphVersion int
	ParentID     string // execution of which this one is a nested agent; empty for a root
	RetryOf      string // execution that this one repeats; empty for none
	Status       Status
	CreatedAt    time.Time
	StartedAt    *time.Time
	EndedAt      *time.Time
	Stats        Stats
	Error        *Failure // set when FAILED

	inputs     json.RawMessage // empty where they are over a chunk in size
	inputBytes int
}

// Stats counts an execution's own node executions.
type Stats struct {
	TotalNodes     int
	CompletedNodes int
	FailedNodes    int
	TotalRunTime   float64 // wall seconds from start to end, or to now while running
}

// Failure is why an execution failed.
type Failure struct {
	Message string
	NodeID  string // empty when no node is to blame
}

// NodeExecution is one run of a node.
type NodeExecution struct {
	ID        string
	NodeID    string
	BlockID   string
	Status    Status
	Attempt   int
	Input     json.RawMessage // JSON object
	Outputs   []PinValues     // in the order of each pin's first output
	StartedAt *time.Time
	EndedAt   *time.Time
	Error     string
	TakenOver bool // its outputs are those of the execution that is retried, and nothing ran
	// Plugin that ran the block; empty for structural blocks.
	PluginName, PluginVersion string
	// Stats are what the block has counted, such as the tokens of a model.
	Stats map[string]int64

	number    uint32
	node      int
	inputs    []*journal.Input
	assembled json.RawMessage // storedRow.input
	// What StartedAt and EndedAt point to.
	started, ended time.Time
}

// PinValues are the values of one output pin or of one named output, in order.
type PinValues struct {
	Name   string
	Values []json.RawMessage
}

// Waiting is what a node still waits for.
type Waiting struct {
	NodeID  string
	Have    []string
	Missing []string
}

// Request asks for an execution.
type Request struct {
	UserID  string
	GraphID string
	Version int             // 0: the active one
	Inputs  json.RawMessage // JSON object
	Masks   json.RawMessage // input masks, an object of objects: graph.Masked; nil: none
	// Credentials are references to the user's, by their names in the graph's credentials_input_schema.
	Credentials    map[string]json.RawMessage
	IdempotencyKey string // empty: none
	Body           []byte // what the key stands for: the request's bytes
	// Priority orders the user's executions that wait: higher ones run first. It changes nothing for other users.
	Priority int
	// Timeout is how long the execution may run from its start; then it fails, and what runs of it is stopped. 0: as long
	// as the graph says, or the server.
	Timeout time.Duration
	// Awaited says that nobody is told of the execution before it has ended, or some time has passed. What happens at
	// once is then committed together with its acceptance.
	Awaited bool

	presumes presumes
}

// RetryRequest asks for an execution that repeats one that has ended, with the same inputs.
type RetryRequest struct {
	UserID  string
	ID      string
	From    string // "failure", "start", or the node from which nothing is taken over; empty: by how it ended
	Version int    // of the graph; 0: the same
	// Credentials take the place of those that the execution was given by the same names.
	Credentials    map[string]json.RawMessage
	Timeout        time.Duration // 0: as long as the graph says, or the server
	IdempotencyKey string        // empty: none
	Body           []byte        // what the key stands for, beside the id: the request's bytes
}

// Event is one recorded happening of an execution. Payload is the JSON object of the API's frame, whole: type,
// execution_id, seq and timestamp included; it is shared and must not be changed. Large takes its place where it is
// too large to wait in memory for its client.
type Event struct {
	Seq     int64
	Payload json.RawMessage
	Large   *Large
	Last    bool // the terminal event

	stored *journal.Output // of which the value is still to be read: it comes behind Payload, before the closing brace
}
