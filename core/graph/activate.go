package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Credentials are those of users.
type Credentials interface {
	// Unusable says of those of the ids that the user cannot use why.
	Unusable(ctx context.Context, user string, ids []string) (map[string]string, error)
}

// CheckWith has the credentials that constants name looked up when a graph is saved or made the active one. It comes
// before either.
func (s *Service) CheckWith(c Credentials) { s.credentials = c }

// reference is a constant that names credentials.
type reference struct {
	CredentialsPin
	id string
}

// references are those of a graph's own nodes. What a link brings in their place is looked up when it comes.
func (s *Service) references(g *Graph) []reference {
	var all []reference
	for _, p := range CredentialsPins(g, s.blocks) {
		constant := p.Node.Constant(p.Field.Pin)
		if p.Linked || jsonscan.KindOf(constant) != jsonscan.Object {
			continue
		}
		if id, ok := jsonscan.Find(constant, "id"); ok && jsonscan.KindOf(id) == jsonscan.String && jsonscan.Unquote(id) != "" {
			all = append(all, reference{p, jsonscan.Unquote(id)})
		}
	}
	return all
}

// unusable are the references that the user cannot use, with what is wrong with each.
func (s *Service) unusable(ctx context.Context, user string, all []reference) ([]reference, []Missing, error) {
	if s.credentials == nil || len(all) == 0 {
		return nil, nil, nil
	}
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].id
	}
	slices.Sort(ids)
	why, err := s.credentials.Unusable(ctx, user, slices.Compact(ids))
	if err != nil {
		return nil, nil, err
	}
	var missing []Missing
	bad := slices.DeleteFunc(all, func(r reference) bool { return why[r.id] == "" })
	for _, r := range bad {
		name := r.Node.BlockID
		if b, ok := s.blocks.Block(r.Node.BlockID); ok {
			name = b.Name
		}
		missing = append(missing, Missing{NodeID: r.Node.ID, Pin: r.Field.Pin, Message: fmt.Sprintf("%s (of %s, for the block %q)", why[r.id], strings.Join(r.Providers, ", "), name)})
	}
	return bad, missing, nil
}

func (r *reference) optional() bool { return r.Field.Optional || r.Skippable }

// checkCredentials tells which credentials a graph that is to be saved names and its user cannot use. Where a node does
// without, its constant becomes empty instead (execution.md 3.5).
func (s *Service) checkCredentials(ctx context.Context, user string, g *Graph) ([]Missing, error) {
	all := s.references(g)
	for i := range g.SubGraphs {
		all = append(all, s.references(&g.SubGraphs[i])...)
	}
	bad, missing, err := s.unusable(ctx, user, all)
	if err != nil {
		return nil, err
	}
	var required []Missing
	for i, r := range bad {
		if r.optional() {
			r.Node.InputDefault = r.Node.WithConstant(r.Field.Pin, json.RawMessage("{}"))
			continue
		}
		required = append(required, missing[i])
	}
	return required, nil
}

// SetActive is the store's. A version whose nodes name credentials that they need and its user cannot use is an *Invalid.
func (s *Service) SetActive(ctx context.Context, user, graphID string, version int, expected []int) (*Summary, error) {
	if s.credentials != nil {
		g, err := s.Get(ctx, user, graphID, version)
		if err != nil {
			return nil, err
		}
		bad, missing, err := s.unusable(ctx, user, s.references(g))
		if err != nil {
			return nil, err
		}
		r := report{}
		for i := range bad {
			if !bad[i].optional() {
				r.add(missing[i].NodeID, missing[i].Pin, "%s", missing[i].Message)
			}
		}
		if err := r.err("Graph validation failed"); err != nil {
			return nil, err
		}
	}
	return s.Store.SetActive(ctx, user, graphID, version, expected)
}
