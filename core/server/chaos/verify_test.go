//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

func newCrowd(t *testing.T, c *cluster) *crowd {
	crowd := &crowd{token: servertest.Token(t, servertest.Alice), marks: c.marks, address: func() string {
		all := c.serving()
		return all[rand.IntN(len(all))].address()
	}}
	if c.balancer != nil {
		crowd.address = c.balancer.address
	}
	// Through a balancer one connection after the other sits on a server, for as long as it holds.
	transport := &http.Transport{DisableKeepAlives: c.balancer == nil}
	t.Cleanup(transport.CloseIdleConnections)
	crowd.client = &http.Client{Timeout: 30 * time.Second, Transport: transport}
	return crowd
}

// verify looks at everything once more when it is quiet.
func (c *crowd) verify(ctx context.Context, t *testing.T, s *storm) {
	s.mu.Lock()
	for _, f := range s.log {
		if f.err != nil {
			s.violation("after %q: %v", f.what, f.err)
		}
	}
	s.mu.Unlock()
	for _, x := range c.silent {
		t.Logf("nothing came of execution %s after event %d, for %s", x.id, x.after, patience/2)
	}
	if s.database != nil {
		led := func() bool {
			var n int
			err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM lease WHERE until > now()`).Scan(&n)
			return err == nil && n == len(s.servers)
		}
		if err := s.until(ctx, "each server has a lease", led); err != nil {
			s.violation("%v", err)
			s.diagnose(ctx)
			return
		}
	}
	ids, nested, failed := map[string]bool{}, 0, map[string]bool{}
	for _, f := range c.runs {
		if ids[f.id] {
			s.violation("execution %s was accepted twice", f.id)
		}
		ids[f.id] = true
		nested += f.agent.nested
		if f.details.Status == "FAILED" && f.number < len(f.agent.marked) {
			failed[f.agent.marked[f.number]] = true
		}
	}
	var all errgroup.Group
	all.SetLimit(4)
	for _, f := range c.runs {
		if err := f.agent.checkMarks(c.marks, failed); err != nil {
			s.violation("%v", err)
		}
		all.Go(func() error {
			if err := c.reread(ctx, f); err != nil {
				s.violation("execution %s of %s, read again: %v", f.id, f.agent.name, err)
			}
			return nil
		})
	}
	_ = all.Wait()
	// Neither more nor fewer than what was accepted, on each server.
	for status, want := range map[string]int{"": len(c.runs) + nested, "&status=QUEUED&status=RUNNING": 0} {
		for _, p := range s.serving() {
			one := &crowd{address: p.address, token: c.token, client: c.client}
			var page struct {
				Pagination struct {
					Total int `json:"total"`
				} `json:"pagination"`
				Executions []struct {
					ID     string `json:"id"`
					Status string `json:"status"`
				} `json:"executions"`
			}
			if err := one.ask(ctx, http.MethodGet, "/executions?include_nested=true"+status, "", "", &page); err != nil {
				s.violation("%v", err)
			} else if page.Pagination.Total != want {
				s.violation("server %s counts %d executions (%s), not %d: %v", p.name, page.Pagination.Total, status, want, page.Executions)
			}
		}
	}
	for _, p := range s.servers {
		text, err := os.ReadFile(p.log.Name())
		if err != nil {
			s.violation("%v", err)
		}
		for _, bad := range []string{"panic:", "DATA RACE", "cannot go on", "fatal error:"} {
			if at := bytes.Index(text, []byte(bad)); at >= 0 {
				s.violation("server %s says %s", p.name, text[at:min(len(text), at+1500)])
			}
		}
	}
	if s.database != nil {
		c.verifyRows(ctx, t, s)
	}
}

// verifyRows asks the database itself.
func (c *crowd) verifyRows(ctx context.Context, t *testing.T, s *storm) {
	for what, query := range map[string]string{
		"executions have not ended":                         `SELECT count(*) FROM execution WHERE ended_at IS NULL`,
		"executions have ended under a parent that has not": `SELECT count(*) FROM execution x JOIN execution p ON p.id = x.parent_id WHERE p.ended_at < x.ended_at - interval '3 hours'`,
		"executions have other than one end":                `SELECT count(*) FROM execution WHERE status NOT IN ('COMPLETED', 'FAILED')`,
	} {
		var n int
		if err := s.db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			s.violation("%s: %v", what, err)
		} else if n != 0 {
			s.violation("%d %s", n, what)
		}
	}
	rows, err := s.db.QueryContext(ctx, `
		SELECT format('%s of %s, nested %s, %s: %s counted, and %s there', status, graph_id, nested, day, coalesce(a.n, 0), coalesce(b.n, 0)) FROM (
			SELECT graph_id, nested, day, status, sum(n) AS n
			FROM (SELECT graph_id, nested, day, status, n FROM execution_count UNION ALL SELECT graph_id, nested, day, status, n FROM execution_delta) k
			WHERE graph_id <> '00000000-0000-0000-0000-000000000000' -- all of a user's
			GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0) a
		FULL JOIN (
			SELECT graph_id, parent_id IS NOT NULL AS nested, (created_at AT TIME ZONE 'UTC')::date AS day, status, count(*) AS n FROM execution GROUP BY 1, 2, 3, 4) b
		USING (graph_id, nested, day, status) WHERE a.n IS DISTINCT FROM b.n`)
	if err != nil {
		s.violation("%v", err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var wrong string
		if err := rows.Scan(&wrong); err != nil {
			s.violation("%v", err)
		}
		s.violation("counts differ from what there is: %s", wrong)
	}
	if err := rows.Err(); err != nil {
		s.violation("%v", err)
	}
}

// reread expects of any server what was told of an execution while it ran.
func (c *crowd) reread(ctx context.Context, f *followed) error {
	events, err := c.follow(ctx, f.id)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(events, f.events, func(a, b event) bool {
		return a.Type == b.Type && a.Seq == b.Seq && a.Status == b.Status && a.NodeID == b.NodeID && a.Pin == b.Pin && bytes.Equal(a.Value, b.Value)
	}) {
		return fmt.Errorf("%d events, not the %d that were told as they happened", len(events), len(f.events))
	}
	ends := 0
	for _, e := range events {
		if e.last() {
			ends++
		}
	}
	if ends != 1 {
		return fmt.Errorf("%d ends", ends)
	}
	var d details
	if err := c.ask(ctx, http.MethodGet, "/executions/"+f.id, "", "", &d); err != nil {
		return err
	}
	was, _ := json.Marshal(f.details)
	if is, _ := json.Marshal(d); !bytes.Equal(is, was) {
		return fmt.Errorf("it is %s, and was %s", is, was)
	}
	return nil
}
