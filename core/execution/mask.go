package execution

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/graph"
)

// masked stands where somebody's secret would be shown to somebody else.
const masked = "***"

// minMasked is the length from which a secret is looked for within longer texts; shorter ones occur by chance.
const minMasked = 4

// mask hides the secrets of an agent's author from the user who runs the agent: they work, but are not seen. Constants
// are left out as they are in exports; what the agent makes of them is searched for them. The nil mask hides nothing.
type mask struct {
	whole map[string]bool // texts that are secret as a whole
	parts []string        // those that are searched for, longest first
}

// secretsOf are the texts of the secrets in a graph and all that its nested agents lead to.
func secretsOf(g *graph.Graph, blocks graph.Blocks) []string {
	var texts []string
	var collect func(v json.RawMessage)
	collect = func(v json.RawMessage) {
		switch jsonscan.KindOf(v) {
		case jsonscan.Object:
			for _, member := range jsonscan.Members(v) {
				collect(member)
			}
		case jsonscan.Array:
			for element := range jsonscan.Elements(v) {
				collect(element)
			}
		case jsonscan.String:
			texts = append(texts, jsonscan.Unquote(v))
		case jsonscan.Number:
			texts = append(texts, string(v))
		}
	}
	for _, part := range append([]graph.Graph{*g}, g.SubGraphs...) {
		for i := range part.Nodes {
			b, _ := blocks.Block(part.Nodes[i].BlockID)
			for _, v := range graph.Secrets(&part.Nodes[i], b) {
				collect(v)
			}
		}
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// maskFor hides what a plan holds of its author from a user; nil where they are the same, or there is nothing to hide.
func (p *Plan) maskFor(userID string) *mask {
	if p.Graph.UserID == "" || p.Graph.UserID == userID {
		return nil
	}
	return p.mask
}

// mask is what the user who runs an agent must not see of it: nothing that the agents around it hide either.
func (r *run) mask() *mask {
	var m *mask
	for ; r != nil; r = r.parent {
		m = m.and(r.plan.maskFor(r.userID))
	}
	return m
}

// maskOf is the mask of an execution that is read; those of the agents around it are found through execution's primary
// key.
func (s *Service) maskOf(ctx context.Context, x *Execution, p *Plan) (*mask, error) {
	m := p.maskFor(x.UserID)
	if x.ParentID == "" {
		return m, nil
	}
	rows, err := s.db.QueryContext(ctx, `
		WITH RECURSIVE around AS (
			SELECT id, parent_id, plan_id FROM execution WHERE id = ?
			UNION ALL SELECT e.id, e.parent_id, e.plan_id FROM execution e JOIN around a ON e.id = a.parent_id)
		SELECT DISTINCT p.id, p.plan FROM around a JOIN execution_plan p ON p.id = a.plan_id`, x.ParentID)
	if err != nil {
		return nil, fmt.Errorf("read the plans around an execution: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id []byte
		var document string
		if err := rows.Scan(&id, &document); err != nil {
			return nil, fmt.Errorf("read the plans around an execution: %w", err)
		}
		p, err := s.plans.stored(id, document)
		if err != nil {
			return nil, err
		}
		m = m.and(p.maskFor(x.UserID))
	}
	return m, rows.Err()
}

// equal says that both hide the same.
func (m *mask) equal(other *mask) bool {
	if m == nil || other == nil {
		return m == other
	}
	return m == other || slices.Equal(m.parts, other.parts) && maps.Equal(m.whole, other.whole)
}

func newMask(texts []string) *mask {
	if len(texts) == 0 {
		return &mask{}
	}
	m := &mask{whole: map[string]bool{}}
	for _, s := range texts {
		m.whole[s] = true
		if len(s) >= minMasked {
			m.parts = append(m.parts, s)
		}
	}
	slices.SortFunc(m.parts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return m
}

// and hides what either hides.
func (m *mask) and(other *mask) *mask {
	switch {
	case m == nil || other == m:
		return other
	case other == nil:
		return m
	}
	larger, smaller := m, other
	if len(larger.whole) < len(smaller.whole) {
		larger, smaller = smaller, larger
	}
	texts := slices.Collect(maps.Keys(larger.whole))
	for s := range smaller.whole {
		if !larger.whole[s] {
			texts = append(texts, s)
		}
	}
	if len(texts) == len(larger.whole) { // a nested agent's secrets are among those of what it was published with
		return larger
	}
	return newMask(texts)
}

// node is a node as it is shown: without its secret constants.
func (m *mask) node(n *graph.Node, b *block.Block) *graph.Node {
	if m == nil {
		return n
	}
	shown := *n
	shown.InputDefault = graph.Strip(n, b)
	return &shown
}

// text hides secrets in a message.
func (m *mask) text(s string) string {
	if m == nil {
		return s
	}
	if m.whole[s] {
		return masked
	}
	for _, part := range m.parts {
		s = strings.ReplaceAll(s, part, masked)
	}
	return s
}

// empty says that nothing is hidden.
func (m *mask) empty() bool { return m == nil || len(m.whole) == 0 }

// value hides secrets in a JSON value, which keeps its bytes where there are none.
func (m *mask) value(v json.RawMessage) json.RawMessage {
	if m.empty() {
		return v
	}
	shown, changed := m.rewrite(nil, v)
	if !changed {
		return v
	}
	return shown
}

// output is value for what is passed on.
func (m *mask) output(v *value) *value {
	if m == nil {
		return v
	}
	return &value{raw: m.value(v.raw)}
}

func (m *mask) rewrite(out []byte, v json.RawMessage) ([]byte, bool) {
	changed := false
	switch jsonscan.KindOf(v) {
	case jsonscan.Object:
		out = append(out, '{')
		first := true
		for k, member := range jsonscan.Members(v) {
			if !first {
				out = append(out, ',')
			}
			first = false
			var c bool
			out, c = m.rewrite(out, k)
			changed = changed || c
			out, c = m.rewrite(append(out, ':'), member)
			changed = changed || c
		}
		return append(out, '}'), changed
	case jsonscan.Array:
		out = append(out, '[')
		first := true
		for element := range jsonscan.Elements(v) {
			if !first {
				out = append(out, ',')
			}
			first = false
			var c bool
			out, c = m.rewrite(out, element)
			changed = changed || c
		}
		return append(out, ']'), changed
	case jsonscan.String:
		plain := jsonscan.Unquote(v)
		if shown := m.text(plain); shown != plain {
			return jsonscan.AppendString(out, shown), true
		}
	case jsonscan.Number:
		if m.whole[string(v)] {
			return jsonscan.AppendString(out, masked), true
		}
	}
	return append(out, v...), false
}
