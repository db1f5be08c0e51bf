package execution

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/hostservice"
)

// A batch is one implicit transaction, one round trip: a row of each array is a row of a table. Every part of it has one
// plan, by the primary keys of lease and execution, whatever the sizes of tables and arrays. Most batches of few
// executions change none of them, and the table with its indexes is most of what a statement must open: those go
// without it.
const (
	stepsStatement  = leasePart + journalPart + batchEnd
	statesStatement = leasePart + journalPart + statesPart + batchEnd

	leasePart = `WITH
l AS (UPDATE lease SET batch = $2, until = now() + $4 * interval '1 millisecond' WHERE server_id = $1::uuid AND epoch = $3 AND batch = $2 - 1 RETURNING 1)`
	journalPart = `,
j AS (INSERT INTO journal (execution_id, pos, seq, page, queued, completed, failed, is_output, body)
	SELECT v.execution_id, v.pos, v.seq, v.page, v.queued, v.completed, v.failed, v.is_output, substring($15::bytea FROM v.first FOR v.length)
	FROM l, unnest($5::uuid[], $6::integer[], $7::bigint[], $8::integer[], $9::integer[], $10::integer[], $11::integer[], $12::boolean[], $13::integer[], $14::integer[])
		AS v(execution_id, pos, seq, page, queued, completed, failed, is_output, first, length))`
	statesPart = `,
e AS (INSERT INTO execution (id, root_id, parent_id, parent_node_execution, user_id, graph_id, graph_version, plan_id, inputs, created_at, status, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id, retry_of, retry_from, credentials, priority, owner, max_concurrent, timeout_ms)
	SELECT v.* FROM l, unnest($16::uuid[], $17::uuid[], $18::uuid[], $19::integer[], $20::text[], $21::uuid[], $22::integer[], $23::bytea[], $24::text[], $25::timestamptz[], $26::text[], $27::timestamptz[], $28::timestamptz[], $29::integer[], $30::integer[], $31::integer[], $32::text[], $33::text[], $34::uuid[], $35::text[], $36::text[], $37::smallint[], $38::uuid[], $39::integer[], $40::bigint[]) AS v
	ON CONFLICT (id) DO UPDATE SET status = excluded.status, started_at = coalesce(excluded.started_at, execution.started_at), ended_at = excluded.ended_at, total_nodes = excluded.total_nodes, completed_nodes = excluded.completed_nodes, failed_nodes = excluded.failed_nodes, error_message = excluded.error_message, error_node_id = excluded.error_node_id),
c AS (INSERT INTO execution_delta (user_id, graph_id, nested, day, status, n)
	SELECT v.* FROM l, unnest($41::text[], $42::uuid[], $43::boolean[], $44::date[], $45::text[], $46::integer[]) AS v),
o AS (INSERT INTO execution_by_other (execution_id, graph_id)
	SELECT v.* FROM l, unnest($47::uuid[], $48::uuid[]) AS v)`
	batchEnd = "\nSELECT count(*) FROM l"
)

// statementOf is the statement that commits a batch, with its arguments.
func (w *writer) statementOf(batch []*commit) (string, []any) {
	args := append([]any{w.server.String(), w.batch + 1, w.epoch, leaseLength.Milliseconds()}, journalArguments(batch)...)
	states := coalesce(batch)
	if len(states) == 0 {
		return withKeys(batch, stepsStatement, args)
	}
	return withKeys(batch, statesStatement, append(args, w.stateArguments(states)...))
}

// stateArguments are those of statesPart.
func (w *writer) stateArguments(states []*executionWrite) []any {
	var e [21]column
	var others [2]column // executions of somebody else's graph: ByOthers
	var place [4]column  // where an execution waits, or who runs it, and its bounds
	for _, x := range states {
		e[0].uuid(x.id)
		e[1].uuid(x.root)
		if x.parent != nil {
			e[2].uuid(x.parent.id)
			e[3].int(int64(x.parentExec))
		} else {
			e[2].null()
			e[3].null()
		}
		e[4].text(x.userID)
		e[5].text(x.plan.Graph.ID)
		e[6].int(int64(x.plan.Graph.Version))
		e[7].bytes(x.plan.ID[:])
		if x.fresh {
			e[8].text(string(x.inputs))
		} else {
			e[8].text("") // they are there
		}
		if author := x.plan.Graph.UserID; x.fresh && x.parent == nil && author != "" && author != x.userID {
			others[0].uuid(x.id)
			others[1].text(x.plan.Graph.ID)
		}
		e[9].time(x.createdAt)
		e[10].text(string(x.status))
		e[11].time(x.startedAt)
		e[12].time(x.endedAt)
		e[13].int(int64(x.total))
		e[14].int(int64(x.completed))
		e[15].int(int64(x.failed))
		if x.failure == nil {
			e[16].null()
			e[17].null()
		} else {
			e[16].text(x.failure.Message)
			e[17].text(x.failure.NodeID)
		}
		if x.retry == nil {
			e[18].null()
			e[19].null()
		} else {
			e[18].uuid(x.retry.of)
			e[19].text(x.retry.from)
		}
		if x.fresh && x.credentials != "" {
			e[20].text(x.credentials)
		} else {
			e[20].null()
		}
		place[0].int(int64(x.priority))
		if x.waits {
			place[1].null()
		} else {
			place[1].uuid(w.server)
		}
		place[2].positive(int64(x.bound))
		place[3].positive(x.timeout.Milliseconds())
	}
	c := w.counts(states)
	return appendArrays(appendArrays(appendArrays(appendArrays(nil, e[:]), place[:]), c[:]), others[:])
}

// journalArguments are those of journalPart.
func journalArguments(batch []*commit) []any {
	var j [10]column
	bodies := []byte{} // of all segments; an array of them would be scanned for quotes
	for _, c := range batch {
		for i := range c.segments {
			s := &c.segments[i]
			j[0].uuid(s.execution)
			j[1].int(int64(s.pos))
			j[2].int(s.seq)
			j[3].int(int64(s.page))
			j[4].int(int64(s.queued))
			j[5].int(int64(s.completed))
			j[6].int(int64(s.failed))
			j[7].bool(s.isOutput)
			j[8].int(int64(len(bodies) + 1))
			j[9].int(int64(len(s.body)))
			bodies = append(bodies, s.body...)
		}
	}
	return append(appendArrays(nil, j[:]), bodies)
}

func appendArrays(args []any, columns []column) []any {
	for i := range columns {
		args = append(args, columns[i].array())
	}
	return args
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
	statement = strings.TrimSuffix(statement, batchEnd) + "," + hostservice.Statement("l", len(args)+1) + batchEnd
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
			last.fresh, last.was, last.waits = x.fresh || states[i].fresh, states[i].was, states[i].waits
			states[i] = &last
		}
	}
	return states
}

// column is an array in Postgres's text form, under construction.
type column []byte

func (c *column) next() []byte {
	if len(*c) == 0 {
		return append(*c, '{')
	}
	return append(*c, ',')
}

func (c *column) array() string {
	if len(*c) == 0 {
		return "{}"
	}
	return string(append(*c, '}'))
}

func (c *column) null() { *c = append(c.next(), "NULL"...) }

func (c *column) int(n int64) { *c = strconv.AppendInt(c.next(), n, 10) }

// positive writes 0 as NULL.
func (c *column) positive(n int64) {
	if n == 0 {
		c.null()
		return
	}
	c.int(n)
}

func (c *column) bool(b bool) { *c = strconv.AppendBool(c.next(), b) }

func (c *column) uuid(id uuid.UUID) {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	*c = append(c.next(), text[:]...)
}

// time writes a zero time as NULL.
func (c *column) time(t time.Time) {
	if t.IsZero() {
		c.null()
		return
	}
	*c = t.UTC().AppendFormat(c.next(), time.RFC3339Nano)
}

func (c *column) bytes(data []byte) {
	*c = append(hex.AppendEncode(append(c.next(), `"\\x`...), data), '"')
}

// text writes a string. Postgres's text holds neither NUL nor invalid UTF-8; JSON values have none, so only messages
// can lose any.
func (c *column) text(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	b := append(c.next(), '"')
	for {
		i := strings.IndexAny(s, "\"\\\x00")
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		if s[i] != 0 {
			b = append(b, '\\', s[i])
		}
		s = s[i+1:]
	}
	b = append(b, s...)
	*c = append(b, '"')
}
