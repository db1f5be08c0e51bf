package graph

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// Use is a graph whose active version has a block that was asked for.
type Use struct {
	GraphID string `bun:"id"`
	UserID  string `bun:"user_id"`
	Name    string `bun:"name"`
	Total   int    `bun:"total"`
}

// usersOf reads all active versions, since no index knows their blocks: administrators ask for it before they take a
// plugin away.
const usersOf = `
SELECT g.id, g.user_id, v.name, count(*) OVER () AS total
FROM graph g JOIN graph_version v ON v.graph_id = g.id AND v.version = g.active_version
WHERE v.document ~ ?
ORDER BY g.updated_at DESC, g.id
LIMIT ?`

// UsersOf finds the graphs of all users whose active version has one of the blocks: the latest of them, and how many
// there are. It is for administrators.
func (s *Store) UsersOf(ctx context.Context, blocks []string, limit int) ([]Use, int, error) {
	if len(blocks) == 0 {
		return nil, 0, nil
	}
	quoted := make([]string, len(blocks))
	for i, id := range blocks {
		quoted[i] = regexp.QuoteMeta(id)
	}
	pattern := `"block_id"\s*:\s*"(` + strings.Join(quoted, "|") + `)"`
	var uses []Use
	if err := s.db.NewRaw(usersOf, pattern, limit).Scan(ctx, &uses); err != nil {
		return nil, 0, fmt.Errorf("find the graphs that use blocks: %w", err)
	}
	if len(uses) == 0 {
		return nil, 0, nil
	}
	return uses, uses[0].Total, nil
}
