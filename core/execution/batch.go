package execution

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/hostservice"
)

// A batch is one implicit transaction, one round trip: a record of each array is a row of a table, and what is long lies in
// one parameter of its own, since every layer of an array would be scanned for quotes. Every part of it has one plan, by the
// primary keys of lease and execution, whatever the sizes of tables and arrays. Most batches of few executions change none
// of them, and the table with its indexes is most of what a statement must open: those go without it.
const (
	stepsStatement    = "WITH" + leasePart + leaseHeld + journalPart + batchEnd
	statesStatement   = "WITH" + leasePart + leaseHeld + journalPart + statesPart + batchEnd
	presumedStatement = "WITH" + presumedPart + leasePart + presumedHold + leaseHeld + journalPart + statesPart + presumedEnd
	byOthersStatement = "WITH" + presumedPart + leasePart + presumedHold + leaseHeld + journalPart + statesPart + byOthersPart + presumedEnd

	leasePart = `
l AS (UPDATE lease SET batch = $2, until = now() + $4 * interval '1 millisecond' WHERE server_id = $1::uuid AND epoch = $3 AND batch = $2 - 1`
	leaseHeld   = ` RETURNING 1)`
	journalPart = `,
j AS (INSERT INTO journal (execution_id, pos, seq, page, queued, completed, failed, is_output, body)
	SELECT v.execution_id, v.pos, v.seq, v.page, v.queued, v.completed, v.failed, v.is_output, substring($6::bytea FROM v.first FOR v.length)
	FROM l, unnest($5::batch_segment[]) AS v)`
	statesPart = `,
e AS (INSERT INTO execution (id, root_id, parent_id, parent_node_execution, user_id, graph_id, graph_version, plan_id, inputs, created_at, status, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id, retry_of, retry_from, credentials, priority, owner, max_concurrent, timeout_ms)
	SELECT v.id, v.root_id, v.parent_id, v.parent_node_execution, v.user_id, v.graph_id, v.graph_version, v.plan_id, convert_from(substring($6::bytea FROM v.first FOR v.length), 'UTF8'), v.created_at, v.status, v.started_at, v.ended_at, v.total_nodes, v.completed_nodes, v.failed_nodes, v.error_message, v.error_node_id, v.retry_of, v.retry_from, v.credentials, v.priority, v.owner, v.max_concurrent, v.timeout_ms
	FROM l, unnest($7::batch_execution[]) AS v
	ON CONFLICT (id) DO UPDATE SET status = excluded.status, started_at = coalesce(excluded.started_at, execution.started_at), ended_at = excluded.ended_at, total_nodes = excluded.total_nodes, completed_nodes = excluded.completed_nodes, failed_nodes = excluded.failed_nodes, error_message = excluded.error_message, error_node_id = excluded.error_node_id),
c AS (INSERT INTO execution_delta (user_id, graph_id, nested, day, status, n)
	SELECT v.* FROM l, unnest($8::batch_count[]) AS v)`
	byOthersPart = `,
o AS (INSERT INTO execution_by_other (execution_id, graph_id)
	SELECT v.id, v.graph_id FROM l, unnest($7::batch_execution[]) AS v WHERE v.by_other)`
	batchEnd = "\nSELECT count(*) FROM l"

	// The graphs of whose executions something is presumed: nothing is committed where it does not hold.
	presumedPart = `
p AS MATERIALIZED (SELECT count(*) AS changed FROM unnest($9::uuid[], $10::text[], $11::integer[]) AS v (graph_id, user_id, version)
	WHERE (SELECT v.version IS NULL OR g.active_version = v.version FROM graph g WHERE g.id = v.graph_id AND g.user_id = v.user_id) IS NOT TRUE),`
	presumedHold = ` AND (SELECT changed FROM p) = 0`
	presumedEnd  = "\nSELECT CASE WHEN p.changed > 0 THEN 2 ELSE (SELECT count(*) FROM l) END FROM p"
)

// statementOf is the statement that commits a batch, with its arguments.
func (w *writer) statementOf(batch []*commit) (string, []any) {
	segments, long := journalRecords(batch)
	args := []any{w.server.String(), w.batch + 1, w.epoch, leaseLength.Milliseconds(), segments, nil}
	statement := stepsStatement
	if states := coalesce(batch); len(states) > 0 {
		var executions string
		var byOthers bool
		executions, long, byOthers = w.stateRecords(states, long)
		args = append(args, executions, w.counts(states))
		presumed := presumptions(states)
		switch {
		case byOthers:
			statement = byOthersStatement
		case presumed != nil:
			statement = presumedStatement
		default:
			statement = statesStatement
		}
		if statement != statesStatement {
			args = append(args, presumedGraphs(presumed)...)
		}
	}
	args[5] = long
	return withKeys(batch, statement, args)
}

// presumption is what is presumed of a graph: which version is the active one, or, with 0, that it is there.
type presumption struct {
	graph, user string
	version     int
}

func presumptions(states []*executionWrite) []presumption {
	var all []presumption
	for _, x := range states {
		if !x.fresh || x.presumes == presumesNothing {
			continue
		}
		p := presumption{graph: x.plan.Graph.ID, user: x.userID}
		if x.presumes == presumesActive {
			p.version = x.plan.Graph.Version
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// presumedGraphs are the arguments of presumedPart.
func presumedGraphs(all []presumption) []any {
	var graphs, users, versions textArray
	for _, p := range all {
		graphs.add(p.graph)
		users.add(p.user)
		if p.version == 0 {
			versions.null()
		} else {
			versions.add(strconv.Itoa(p.version))
		}
	}
	return []any{graphs.String(), users.String(), versions.String()}
}

// textArray is an array in Postgres's text form, under construction.
type textArray struct{ written []byte }

func (a *textArray) next() {
	if len(a.written) > 0 {
		a.written = append(a.written, ',')
	}
}

func (a *textArray) null() {
	a.next()
	a.written = append(a.written, "NULL"...)
}

func (a *textArray) add(s string) {
	a.next()
	a.written = append(a.written, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			a.written = append(a.written, '\\')
		}
		a.written = append(a.written, s[i])
	}
	a.written = append(a.written, '"')
}

func (a *textArray) String() string { return "{" + string(a.written) + "}" }

// stateRecords are those of statesPart, and the long values with their inputs. byOthers says that somebody's executions of
// another's graph (ByOthers) are among them.
func (w *writer) stateRecords(states []*executionWrite, long []byte) (_ string, _ []byte, byOthers bool) {
	var r records
	for _, x := range states {
		var inputs []byte
		if x.fresh { // else they are there
			inputs = bytes.ToValidUTF8(x.inputs, []byte("\uFFFD"))
		}
		author := x.plan.Graph.UserID
		byOther := x.fresh && x.parent == nil && author != "" && author != x.userID
		byOthers = byOthers || byOther
		r.begin()
		r.uuid(x.id)
		r.uuid(x.root)
		if x.parent != nil {
			r.uuid(x.parent.id)
			r.int(int64(x.parentExec))
		} else {
			r.null()
			r.null()
		}
		r.text(x.userID)
		r.text(x.plan.Graph.ID)
		r.int(int64(x.plan.Graph.Version))
		r.bytes(x.plan.ID[:])
		r.int(int64(len(long) + 1))
		r.int(int64(len(inputs)))
		long = append(long, inputs...)
		r.time(x.createdAt)
		r.text(string(x.status))
		r.time(x.startedAt)
		r.time(x.endedAt)
		r.int(int64(x.total))
		r.int(int64(x.completed))
		r.int(int64(x.failed))
		if x.failure == nil {
			r.null()
			r.null()
		} else {
			r.text(x.failure.Message)
			r.text(x.failure.NodeID)
		}
		if x.retry == nil {
			r.null()
			r.null()
		} else {
			r.uuid(x.retry.of)
			r.text(x.retry.from)
		}
		if x.fresh && x.credentials != "" {
			r.text(x.credentials)
		} else {
			r.null()
		}
		r.int(int64(x.priority))
		if x.waits {
			r.null()
		} else {
			r.uuid(w.server)
		}
		r.positive(int64(x.bound))
		r.positive(x.timeout.Milliseconds())
		r.bool(byOther)
	}
	return r.array(), long, byOthers
}

// journalRecords are those of journalPart, and the bodies of all segments.
func journalRecords(batch []*commit) (string, []byte) {
	var r records
	bodies := []byte{}
	for _, c := range batch {
		for i := range c.segments {
			s := &c.segments[i]
			r.begin()
			r.uuid(s.execution)
			r.int(int64(s.pos))
			r.int(s.seq)
			r.int(int64(s.page))
			r.int(int64(s.queued))
			r.int(int64(s.completed))
			r.int(int64(s.failed))
			r.bool(s.isOutput)
			r.int(int64(len(bodies) + 1))
			r.int(int64(len(s.body)))
			bodies = append(bodies, s.body...)
		}
	}
	return r.array(), bodies
}

// withKeys adds the keys that a batch changes.
func withKeys(batch []*commit, statement string, args []any) (string, []any) {
	var writes []hostservice.Write
	for _, c := range batch {
		writes = append(writes, c.writes...)
	}
	if len(writes) == 0 {
		return statement, args
	}
	end := batchEnd
	if strings.HasSuffix(statement, presumedEnd) {
		end = presumedEnd
	}
	statement = strings.TrimSuffix(statement, end) + "," + hostservice.Statement("l", len(args)+1) + end
	return statement, append(args, hostservice.Parameter(writes))
}

// coalesce leaves the last state of each execution: a statement writes no row twice.
func coalesce(batch []*commit) []*executionWrite {
	known := map[uuid.UUID]int{}
	var states []*executionWrite
	for _, c := range batch {
		for _, x := range c.states {
			i, again := known[x.id]
			if !again {
				known[x.id] = len(states)
				states = append(states, x)
				continue
			}
			last := *x // a batch that the database refuses comes again in parts
			last.fresh, last.was, last.waits, last.presumes = x.fresh || states[i].fresh, states[i].was, states[i].waits, states[i].presumes
			states[i] = &last
		}
	}
	return states
}

// records is an array of composite values in Postgres's text form, under construction.
type records struct {
	written []byte
	fields  int // of the last record
}

// begin begins a record; its fields follow in order.
func (r *records) begin() {
	if len(r.written) == 0 {
		r.written = append(r.written, `{"(`...)
	} else {
		r.written = append(r.written, `)","(`...)
	}
	r.fields = 0
}

func (r *records) array() string {
	if len(r.written) == 0 {
		return "{}"
	}
	return string(append(r.written, `)"}`...))
}

// next is where the next field begins.
func (r *records) next() []byte {
	if r.fields++; r.fields == 1 {
		return r.written
	}
	return append(r.written, ',')
}

func (r *records) null() { r.written = r.next() }

func (r *records) int(n int64) { r.written = strconv.AppendInt(r.next(), n, 10) }

// positive writes 0 as NULL.
func (r *records) positive(n int64) {
	if n == 0 {
		r.null()
		return
	}
	r.int(n)
}

func (r *records) bool(b bool) {
	value := byte('f')
	if b {
		value = 't'
	}
	r.written = append(r.next(), value)
}

func (r *records) uuid(id uuid.UUID) {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	r.written = append(r.next(), text[:]...)
}

// time writes a zero time as NULL.
func (r *records) time(t time.Time) {
	if t.IsZero() {
		r.null()
		return
	}
	r.written = t.UTC().AppendFormat(r.next(), time.RFC3339Nano)
}

func (r *records) bytes(data []byte) {
	r.written = hex.AppendEncode(append(r.next(), `\\\\x`...), data) // the backslash is one of a record's field and of an array's element
}

// text writes a string. Postgres's text holds neither NUL nor invalid UTF-8; JSON values have none, so only messages
// can lose any. Quotes of the field, and what is escaped in it, are escaped again as part of the array's element.
func (r *records) text(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	b := append(r.next(), `\"`...)
	for {
		i := strings.IndexAny(s, "\"\\\x00")
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		switch s[i] {
		case '"':
			b = append(b, `\\\"`...)
		case '\\':
			b = append(b, `\\\\`...)
		}
		s = s[i+1:]
	}
	b = append(b, s...)
	r.written = append(b, `\"`...)
}
