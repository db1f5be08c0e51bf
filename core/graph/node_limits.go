package graph

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// limitsKey is the member of a node's metadata that holds its NodeLimits.
const limitsKey = "execution"

// NodeLimits are what a node's metadata say about how it is run: {"execution": {"timeout": 30, "attempts": 3, "backoff": 1}}.
type NodeLimits struct {
	// Timeout is how long one attempt may run; 0: as long as it wants. The member is in seconds.
	Timeout time.Duration
	// Attempts is how often a block may run that fails and says that trying again may help; 0: once.
	Attempts int
	// Backoff is the pause before the second attempt, which doubles before each further one; in seconds, 1 if missing.
	Backoff time.Duration
}

// Bounds of NodeLimits.
const (
	maxTimeout  = 7 * 24 * time.Hour
	maxAttempts = 10
	maxBackoff  = time.Hour
)

// Limits reads them. Other members of the metadata belong to user interfaces.
func (n *Node) Limits() (NodeLimits, error) {
	raw, ok := jsonscan.Find(n.Metadata, limitsKey)
	if !ok || jsonscan.KindOf(raw) == jsonscan.Null {
		return NodeLimits{}, nil
	}
	if jsonscan.KindOf(raw) != jsonscan.Object {
		return NodeLimits{}, fmt.Errorf(`expects an object, such as {"timeout": 30, "attempts": 3, "backoff": 1}`)
	}
	l := NodeLimits{Backoff: time.Second}
	for key, v := range jsonscan.Members(raw) {
		name := jsonscan.Unquote(key)
		n, err := strconv.ParseFloat(string(v), 64)
		switch {
		case name != "timeout" && name != "attempts" && name != "backoff":
			return NodeLimits{}, fmt.Errorf("has no %q, but timeout, attempts and backoff", name)
		case jsonscan.KindOf(v) == jsonscan.Null: // as if it were not there
		case jsonscan.KindOf(v) != jsonscan.Number || err != nil:
			return NodeLimits{}, fmt.Errorf("%s must be a number", name)
		case name == "timeout":
			if n < 0.001 || n > maxTimeout.Seconds() {
				return NodeLimits{}, fmt.Errorf("timeout must be from 0.001 to %.0f seconds", maxTimeout.Seconds())
			}
			l.Timeout = seconds(n)
		case name == "attempts":
			if n < 1 || n > maxAttempts || n != math.Trunc(n) {
				return NodeLimits{}, fmt.Errorf("attempts must be a whole number from 1 to %d", maxAttempts)
			}
			l.Attempts = int(n)
		case name == "backoff":
			if n < 0 || n > maxBackoff.Seconds() {
				return NodeLimits{}, fmt.Errorf("backoff must be from 0 to %.0f seconds", maxBackoff.Seconds())
			}
			l.Backoff = seconds(n)
		}
	}
	return l, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// Pause is how long to wait after so many failed attempts, the provider's own wish counted in. It is none where the
// provider wants to be left alone for longer than anybody would wait.
func (l NodeLimits) Pause(failed int, wish time.Duration) (pause time.Duration, ok bool) {
	if failed >= l.Attempts || wish > maxBackoff {
		return 0, false
	}
	return max(wish, min(l.Backoff<<(failed-1), maxBackoff)), true
}
