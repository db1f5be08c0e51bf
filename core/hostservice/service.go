// Package hostservice answers what blocks ask of their host while they run: keys that outlive an execution, values that
// a node execution remembers over its attempts, files, and requests under the egress guard.
//
// Whose data a call touches follows from the run that makes it, never from what the call says. The package must never
// commit a write of keys itself: they commit with the end of the attempt that made them, in the scheduler's statement.
package hostservice
