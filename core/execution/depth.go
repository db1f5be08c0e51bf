package execution

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Depth is how many of a user's executions wait for a server and how many run, those of nested agents aside.
type Depth struct {
	Running, Waiting int
	Oldest           *time.Time // when the one was accepted that has waited longest; nil where none waits
}

// DepthOf are the caller's own, wherever they wait. It reads execution_by_status, of what waits no more than may wait.
func (s *Service) DepthOf(ctx context.Context, user string) (Depth, error) {
	var d Depth
	err := s.db.QueryRowContext(ctx, `
		SELECT w.n, w.oldest, (SELECT count(*) FROM execution WHERE user_id = ?0 AND status = 'RUNNING' AND parent_id IS NULL)
		FROM (SELECT count(*) AS n, min(created_at) AS oldest FROM (
			SELECT created_at FROM execution WHERE user_id = ?0 AND status = 'QUEUED' AND parent_id IS NULL ORDER BY created_at, id LIMIT ?1) x) w`, user, s.config.UserQueue+maxQueue).
		Scan(&d.Waiting, &d.Oldest, &d.Running)
	if err != nil {
		return Depth{}, fmt.Errorf("count what a user waits for: %w", err)
	}
	return d, nil
}

// maxUserDepths is how many users a Backlog tells of.
const maxUserDepths = 100

// Backlog is what all servers of the database have to do.
type Backlog struct {
	Running, Waiting int
	Users            []UserDepth // at most 100, those first of whom most waits
	Servers          []ServerLoad
}

// UserDepth is Depth of one of the users.
type UserDepth struct {
	UserID           string
	Running, Waiting int
}

// ServerLoad is what a server that lives runs.
type ServerLoad struct {
	ID      uuid.UUID
	Running int
}

// Backlog tells administrators. What runs, or waits on a server for its next seat, is counted by execution_owned; how much
// waits for any server may be some seconds old, since counting that again and again would take too much of the database's
// time where it is much.
func (s *Service) Backlog(ctx context.Context) (*Backlog, error) {
	g, err := s.generation()
	if err != nil {
		return nil, err
	}
	if err := g.lookAtBacklog(ctx); err != nil {
		return nil, err
	}
	b := &Backlog{}
	users := map[string]*UserDepth{}
	of := func(user string) *UserDepth {
		if users[user] == nil {
			users[user] = &UserDepth{UserID: user}
		}
		return users[user]
	}
	g.mu.Lock()
	b.Waiting = g.backlog.total
	for user, n := range g.backlog.users {
		of(user).Waiting = n
	}
	g.mu.Unlock()
	rows, err := s.db.QueryContext(ctx, `
		SELECT l.server_id, coalesce(x.user_id, ''), count(x.id) FILTER (WHERE x.status <> 'QUEUED'), count(x.id) FILTER (WHERE x.status = 'QUEUED') FROM lease l
		LEFT JOIN execution x ON x.owner = l.server_id AND x.ended_at IS NULL AND x.parent_id IS NULL
		WHERE l.until > now() GROUP BY 1, 2 ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("count what runs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var server uuid.UUID
		var user string
		var n, queued int
		if err := rows.Scan(&server, &user, &n, &queued); err != nil {
			return nil, fmt.Errorf("count what runs: %w", err)
		}
		if len(b.Servers) == 0 || b.Servers[len(b.Servers)-1].ID != server {
			b.Servers = append(b.Servers, ServerLoad{ID: server})
		}
		if n > 0 || queued > 0 {
			b.Running += n
			b.Waiting += queued
			b.Servers[len(b.Servers)-1].Running += n
			of(user).Running += n
			of(user).Waiting += queued
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count what runs: %w", err)
	}
	for _, u := range slices.SortedFunc(maps.Values(users), func(a, z *UserDepth) int {
		return cmp.Or(cmp.Compare(z.Waiting, a.Waiting), cmp.Compare(z.Running, a.Running), cmp.Compare(a.UserID, z.UserID))
	}) {
		if len(b.Users) == maxUserDepths {
			break
		}
		b.Users = append(b.Users, *u)
	}
	return b, nil
}
