package execution

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Filter selects executions of a list, newest first.
type Filter struct {
	GraphID       string
	Statuses      []Status
	ParentID      string // only children of this execution
	IncludeNested bool
	Since, Before time.Time // of creation: at or after, and before; zero times do not bound
	Offset, Limit int
}

// List is the user's executions, newest first, and how many there are.
func (s *Service) List(ctx context.Context, userID string, f Filter) ([]Execution, int, error) {
	q, ok := queryOf(userID, f)
	if !ok {
		return []Execution{}, 0, nil
	}
	var total int
	text, args := q.total()
	if err := s.db.NewRaw(text, args...).Scan(ctx, &total); err != nil {
		return nil, 0, fmt.Errorf("count executions: %w", err)
	}
	list := []Execution{}
	if f.Offset >= total {
		return list, total, nil
	}
	p, err := s.find(ctx, q, total, f.Offset, min(f.Limit, total-f.Offset))
	if err != nil {
		return nil, 0, err
	}
	text, args = q.page(p)
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("list executions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		x, err := scanExecution(rows.Scan)
		if err != nil {
			return nil, 0, fmt.Errorf("list executions: %w", err)
		}
		list = append(list, *x)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("list executions: %w", err)
	}
	var running []*Execution
	for i := range list {
		if !list[i].Status.Ended() {
			running = append(running, &list[i])
		}
	}
	return list, total, s.liveStats(ctx, running)
}

// listQuery is a filter whose ids are ids.
type listQuery struct {
	user          string
	graph, parent uuid.UUID // zero: any
	statuses      []Status
	nested        []bool
	since, before time.Time
}

// queryOf takes a filter; it is false where nothing can match.
func queryOf(userID string, f Filter) (q listQuery, ok bool) {
	q = listQuery{user: userID, statuses: f.Statuses, nested: []bool{false}, since: f.Since, before: f.Before}
	var err error
	if f.GraphID != "" {
		if q.graph, err = cleanID(f.GraphID); err != nil || q.graph == uuid.Nil {
			return q, false
		}
	}
	if f.ParentID != "" {
		if q.parent, err = cleanID(f.ParentID); err != nil || q.parent == uuid.Nil {
			return q, false
		}
	}
	if f.IncludeNested {
		q.nested = []bool{false, true}
	}
	if len(q.statuses) == 0 {
		q.statuses = statusNumbers[:]
	}
	q.statuses = slices.Compact(slices.Sorted(slices.Values(q.statuses)))
	return q, true
}

// between bounds the time of creation.
func between(since, before time.Time) (string, []any) {
	text, args := "", []any{}
	if !since.IsZero() {
		text, args = text+" AND created_at >= ?", append(args, since)
	}
	if !before.IsZero() {
		text, args = text+" AND created_at < ?", append(args, before)
	}
	return text, args
}

// ranges are the selections whose union is the list, each a range of an index: execution_by_parent, execution_by_user,
// or, for each status, execution_by_status or execution_by_graph, or their like for nested executions. The first of each
// are enough for a page, and are merged as they come; order says which are the first.
func (q listQuery) ranges(columns string, since, before time.Time, order string, most int) (string, []any) {
	times, timeArgs := between(since, before)
	if order != "" {
		times, timeArgs = times+" ORDER BY "+order+" LIMIT ?", append(timeArgs, most)
	}
	if q.graph == uuid.Nil && q.parent == uuid.Nil && len(q.statuses) == len(statusNumbers) && len(q.nested) == 1 {
		return "(SELECT " + columns + " FROM execution WHERE user_id = ? AND parent_id IS NULL" + times + ")", append([]any{q.user}, timeArgs...)
	}
	if q.parent != uuid.Nil {
		text, args := "SELECT "+columns+" FROM execution WHERE parent_id = ? AND user_id = ? AND status IN (?)", []any{q.parent, q.user, bun.List(q.statuses)}
		if q.graph != uuid.Nil {
			text, args = text+" AND graph_id = ?", append(args, q.graph)
		}
		return text + times, append(args, timeArgs...)
	}
	var parts []string
	var args []any
	for _, nested := range q.nested {
		for _, status := range q.statuses {
			part := "SELECT " + columns + " FROM execution WHERE user_id = ? AND status = ? AND parent_id IS NULL"
			if nested {
				part = "SELECT " + columns + " FROM execution WHERE user_id = ? AND status = ? AND parent_id IS NOT NULL"
			}
			args = append(args, q.user, status)
			if q.graph != uuid.Nil {
				part += " AND graph_id = ?"
				args = append(args, q.graph)
			}
			parts, args = append(parts, "("+part+times+")"), append(args, timeArgs...)
		}
	}
	return strings.Join(parts, " UNION ALL "), args
}

// place is where a page lies: so many executions behind the newest of a time, or before the oldest.
type place struct {
	since, before time.Time
	offset, limit int
	fromOldest    bool
}

// farOffset is the offset from which a list is not gone through from its newest execution.
const farOffset = 1000

// find looks by the counts of each day for the one in which a page begins, so that what lies before is not gone
// through: at most half of that day is.
func (s *Service) find(ctx context.Context, q listQuery, total, offset, limit int) (place, error) {
	p := place{q.since, q.before, offset, limit, false}
	if offset < farOffset || q.parent != uuid.Nil {
		return p, nil
	}
	stretches, err := s.stretches(ctx, q, total)
	if err != nil {
		return p, err
	}
	for _, r := range stretches {
		if offset >= r.n {
			offset -= r.n
			continue
		}
		p.since, p.before, p.offset = r.since, r.before, offset
		if rest := r.n - offset - limit; rest >= 0 && rest < offset {
			p.offset, p.fromOldest = rest, true
		} else {
			p.since = q.since // the page may end in an earlier day
		}
		return p, nil
	}
	return p, nil // there have become fewer meanwhile
}

// stretch is a time in which so many of the executions of a list were created.
type stretch struct {
	since, before time.Time
	n             int
}

// stretches are the days of a list of so many executions, newest first; the first and the last may be parts of days.
func (s *Service) stretches(ctx context.Context, q listQuery, total int) (all []stretch, err error) {
	since, before := ceilDay(q.since), floorDay(q.before)
	if !q.since.IsZero() && !q.before.IsZero() && !since.Before(before) {
		return []stretch{{q.since, q.before, total}}, nil // less than two days
	}
	if q.before.After(before) {
		newest := stretch{since: before, before: q.before}
		part := q
		part.since, part.before = newest.since, newest.before
		text, args := part.total()
		if err := s.db.NewRaw(text, args...).Scan(ctx, &newest.n); err != nil {
			return nil, fmt.Errorf("count executions of a day: %w", err)
		}
		total -= newest.n
		all = append(all, newest)
	}
	kept, args := q.kept("day, n", since, before)
	rows, err := s.db.QueryContext(ctx, "SELECT day::timestamp AT TIME ZONE 'UTC', sum(n)::bigint FROM ("+kept+") c GROUP BY day ORDER BY day DESC", args...)
	if err != nil {
		return nil, fmt.Errorf("count executions by day: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var day stretch
		if err := rows.Scan(&day.since, &day.n); err != nil {
			return nil, fmt.Errorf("count executions by day: %w", err)
		}
		day.before = day.since.Add(24 * time.Hour)
		total -= day.n
		all = append(all, day)
	}
	if since.After(q.since) {
		all = append(all, stretch{q.since, since, total})
	}
	return all, rows.Err()
}

// page finds the ids by the indexes alone and then reads the rows of one page.
func (q listQuery) page(p place) (string, []any) {
	order := "created_at DESC, id DESC"
	if p.fromOldest {
		order = "created_at, id"
	}
	ranges, args := q.ranges("created_at, id", p.since, p.before, order, p.offset+p.limit)
	return `SELECT ` + listColumns + ` FROM (SELECT created_at AS at, id AS key FROM (` + ranges + `) r ORDER BY ` + order + ` OFFSET ? LIMIT ?) p
		JOIN execution ON id = key ORDER BY at DESC, key DESC`, append(args, p.offset, p.limit)
}

// kept are the kept counts of whole days, by the primary key of execution_count and by execution_delta_by_user.
func (q listQuery) kept(columns string, since, before time.Time) (string, []any) {
	where, args := " WHERE user_id = ? AND nested IN (?) AND status IN (?)", []any{q.user, bun.List(q.nested), bun.List(q.statuses)}
	if !since.IsZero() {
		where, args = where+" AND day >= ?::date", append(args, since.Format(time.DateOnly))
	}
	if !before.IsZero() {
		where, args = where+" AND day < ?::date", append(args, before.Format(time.DateOnly))
	}
	all := append(append(slices.Clone(args), q.graph), args...)
	text := "SELECT " + columns + " FROM execution_count" + where + " AND graph_id = ? UNION ALL SELECT " + columns + " FROM execution_delta" + where
	if q.graph != uuid.Nil {
		text, all = text+" AND graph_id = ?", append(all, q.graph)
	}
	return text, all
}

// total counts by the kept counts. A time that lies within a day has those counted one by one that lie between it and the
// nearer end of that day, half of its executions or so at most; and a parent has its children counted.
func (q listQuery) total() (string, []any) {
	if q.parent != uuid.Nil {
		ranges, args := q.ranges("1", q.since, q.before, "", 0)
		return "SELECT count(*) FROM (" + ranges + ") r", args
	}
	since, before := nearestDay(q.since), nearestDay(q.before)
	parts, args := []string{}, []any{}
	count := func(sign string, since, before time.Time) {
		if since.Before(before) {
			ranges, more := q.ranges("1", since, before, "", 0)
			parts, args = append(parts, "SELECT "+sign+"count(*) AS n FROM ("+ranges+") r"), append(args, more...)
		}
	}
	if !q.since.IsZero() && !q.before.IsZero() && !since.Before(before) {
		count("", q.since, q.before)
	} else {
		kept, keptArgs := q.kept("n", since, before)
		parts, args = append(parts, kept), append(args, keptArgs...)
		count("", q.since, since)
		count("-", since, q.since)
		count("", before, q.before)
		count("-", q.before, before)
	}
	if len(parts) == 0 {
		return "SELECT 0", nil
	}
	return "SELECT coalesce(sum(n), 0)::bigint FROM (" + strings.Join(parts, " UNION ALL ") + ") c", args
}

func nearestDay(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Round(24 * time.Hour)
}

func floorDay(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(24 * time.Hour)
}

func ceilDay(t time.Time) time.Time {
	if floor := floorDay(t); floor.Before(t) {
		return floor.Add(24 * time.Hour)
	}
	return t.UTC()
}
