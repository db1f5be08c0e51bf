package graph

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Settings bound the executions of a graph version: {"max_concurrent_executions": 2, "execution_timeout": 600}. Nested
// agents run within the bounds of their root.
type Settings struct {
	// MaxConcurrent is how many executions of the graph may run at once for one user, over all servers; 0: no bound of its
	// own. An execution begins while fewer run than its own version says.
	MaxConcurrent int
	// Timeout is how long an execution may run from its start; 0: that of the server. The member is in seconds.
	Timeout time.Duration
}

// Bounds of Settings, and of what a request may ask for in their place.
const (
	MaxConcurrentExecutions = 1_000_000
	MinExecutionTimeout     = time.Millisecond
	MaxExecutionTimeout     = 90 * 24 * time.Hour
)

const (
	maxConcurrentKey    = "max_concurrent_executions"
	executionTimeoutKey = "execution_timeout"
)

// settings reads them. Other members are ignored: files of other platforms have some.
func (d *decoder) settings(v json.RawMessage, path string) Settings {
	var s Settings
	if absent(v) {
		return s
	}
	if jsonscan.KindOf(v) != jsonscan.Object {
		d.wrong(path, "an object", v)
		return s
	}
	members := membersOf(v)
	if n := members[maxConcurrentKey]; !absent(n) {
		var number float64
		if err := json.Unmarshal(n, &number); err != nil || number != math.Trunc(number) || number < 1 || number > MaxConcurrentExecutions {
			d.fields[path+"."+maxConcurrentKey] = fmt.Sprintf("must be an integer from 1 to %d", MaxConcurrentExecutions)
		}
		s.MaxConcurrent = int(number)
	}
	if n := members[executionTimeoutKey]; !absent(n) {
		var number float64
		if err := json.Unmarshal(n, &number); err != nil || number < MinExecutionTimeout.Seconds() || number > MaxExecutionTimeout.Seconds() {
			d.fields[path+"."+executionTimeoutKey] = fmt.Sprintf("must be from %g to %.0f seconds", MinExecutionTimeout.Seconds(), MaxExecutionTimeout.Seconds())
		}
		s.Timeout = seconds(number)
	}
	return s
}

// setSettings writes those of the settings that are set; none where none is, as with files that know none.
func (o *object) setSettings(s Settings) {
	if s == (Settings{}) {
		return
	}
	settings := newObject()
	if s.MaxConcurrent > 0 {
		settings.setNumber(maxConcurrentKey, s.MaxConcurrent)
	}
	if s.Timeout > 0 {
		number, _ := json.Marshal(s.Timeout.Seconds()) // finite
		settings.set(executionTimeoutKey, number)
	}
	o.set("settings", settings.json())
}
