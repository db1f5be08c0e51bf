package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// shares are the versions that everybody may look at, and those that users may run.
type shares struct {
	read []Ref
	run  map[string][]Ref
}

func (s *shares) Version(_ context.Context, user, graphID string) (int, error) {
	for _, ref := range append(slices.Clone(s.run[user]), s.read...) {
		if ref.GraphID == graphID {
			return ref.Version, nil
		}
	}
	return 0, nil
}

func (s *shares) MayRead(_ context.Context, _ string, published []Ref) (bool, error) {
	return slices.ContainsFunc(published, func(r Ref) bool { return slices.Contains(s.read, r) }), nil
}

func (s *shares) MayRun(_ context.Context, user string, published []Ref) (bool, error) {
	return slices.ContainsFunc(published, func(r Ref) bool { return slices.Contains(s.run[user], r) }), nil
}

const nesting = `{"name":%q,"nodes":[{"id":"a","block_id":"` + block.AgentID + `","input_default":{"graph_id":%q,"graph_version":1,"inputs":{"pin":"nested secret","k":1},` +
	`"input_schema":{"properties":{"pin":{"secret":true}}},"output_schema":{"properties":{}}}},` +
	`{"id":"k","block_id":"c0a8e994-ebf1-4a9c-a4d8-89d09c86741b","input_default":{"name":"Key","value":"own secret","secret":true}}]}`

func TestPublishedVersionsAreThereForThoseWhoMayUseThem(t *testing.T) {
	t.Parallel()
	shared := &shares{run: map[string][]Ref{}}
	s := NewService(NewStore(postgrestest.DB(t), nil), blocksOf(t), shared)
	inner := create(t, s, "ada", fmt.Sprintf(one, `"inner"`))
	outer := create(t, s, "ada", fmt.Sprintf(nesting, "Outer", inner.ID))
	private := create(t, s, "ada", fmt.Sprintf(one, `"private"`))
	if err := s.Publish(t.Context(), "bob", outer.ID, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("publish a foreign graph: %v", err)
	}
	for range 2 { // again it changes nothing
		if err := s.Publish(t.Context(), "ada", outer.ID, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Update(t.Context(), "ada", outer.ID, []byte(fmt.Sprintf(nesting, "Second", inner.ID)), Options{}); err != nil {
		t.Fatal(err)
	}

	unseen := func(when string, ids ...string) {
		t.Helper()
		for _, id := range ids {
			for version := range 4 {
				_, run := s.ForRun(t.Context(), "bob", id, version)
				_, show := s.Readable(t.Context(), "bob", id, version)
				_, _, fork := s.Fork(t.Context(), "bob", id, version)
				_, export := s.Export(t.Context(), "bob", id, version)
				if !errors.Is(run, ErrNotFound) || !errors.Is(show, ErrNotFound) || !errors.Is(export, ErrNotFound) || !errors.Is(fork, ErrNotFound) {
					t.Errorf("%s, %s version %d: run %v, show %v, export %v, fork %v", when, id, version, run, show, export, fork)
				}
			}
		}
	}
	unseen("published for nobody", outer.ID, inner.ID, private.ID)

	shared.read = []Ref{{outer.ID, 1}}
	for _, version := range []int{0, 1} {
		for id, name := range map[string]string{outer.ID: "Outer"} {
			g, err := s.Readable(t.Context(), "bob", id, version)
			if err != nil {
				t.Fatal(err)
			}
			shown, err := s.Render(t.Context(), "bob", g)
			if err != nil {
				t.Fatal(err)
			}
			exported, err := s.Export(t.Context(), "bob", id, version)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{string(shown), string(exported)} {
				if strings.Contains(text, "secret\"}") || strings.Contains(text, " secret") || strings.Contains(text, `"ada"`) || !strings.Contains(text, name) {
					t.Errorf("bob sees %s", text)
				}
			}
			if !strings.Contains(string(exported), `"inner"`) {
				t.Errorf("the export lacks the nested agent: %s", exported)
			}
			schema, _ := jsonscan.Find(shown, "input_schema")
			if required, _ := jsonscan.Find(schema, "required"); string(required) != "[]" {
				t.Errorf("what has a secret value is required: %s", schema)
			}
		}
	}
	if _, err := s.Readable(t.Context(), "bob", outer.ID, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("the next version: %v", err)
	}
	if _, err := s.ForRun(t.Context(), "bob", outer.ID, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("run what may be looked at: %v", err)
	}
	unseen("another graph", private.ID)
	fork, _, err := s.Fork(t.Context(), "bob", outer.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := s.ForRun(t.Context(), "bob", fork.ID, 1)
	if err != nil || copied.UserID != "bob" || copied.Name != "Outer (copy)" || len(copied.SubGraphs) != 1 || copied.SubGraphs[0].UserID != "bob" || copied.SubGraphs[0].ID == inner.ID {
		t.Fatalf("bob's copy is %+v, %v", copied, err)
	}
	if text := encodeDocument(copied) + encodeDocument(&copied.SubGraphs[0]); strings.Contains(text, "secret\"}") || strings.Contains(text, " secret") || strings.Contains(text, `"ada"`) {
		t.Errorf("bob's copy has %s", text)
	}

	// Who may run it runs it with its secrets, also as a part of graphs of his own.
	shared.read, shared.run["bob"] = nil, []Ref{{outer.ID, 1}}
	runs := func(when string) {
		t.Helper()
		for _, version := range []int{0, 1} {
			g, err := s.ForRun(t.Context(), "bob", outer.ID, version)
			if err != nil || g.Version != 1 || g.UserID != "ada" || len(g.SubGraphs) != 1 || !strings.Contains(string(g.Nodes[1].InputDefault), "own secret") {
				t.Fatalf("%s, version %d: %+v %v", when, version, g, err)
			}
		}
		if g, err := s.ForRun(t.Context(), "bob", inner.ID, 1); err != nil || g.ID != inner.ID {
			t.Errorf("%s, the nested agent: %v", when, err)
		}
	}
	runs("added")
	mine, missing, err := s.Create(t.Context(), "bob", []byte(fmt.Sprintf(nesting, "Mine", outer.ID)), Options{})
	if err != nil || len(missing) != 0 {
		t.Fatalf("nest it: %v %v", missing, err)
	}
	g, err := s.ForRun(t.Context(), "bob", mine.ID, 0)
	if err != nil || len(g.SubGraphs) != 2 || g.UserID != "bob" {
		t.Fatalf("run what nests it: %+v %v", g, err)
	}
	if text, err := s.Export(t.Context(), "bob", mine.ID, 0); err != nil || strings.Contains(string(text), "own secret") {
		t.Errorf("the export of what nests it: %s %v", text, err)
	}
	again, missing, err := s.Fork(t.Context(), "bob", mine.ID, 0)
	if err != nil || len(missing) != 0 || len(again.SubGraphs) != 0 || NestedAgent(&again.Nodes[0]) != (Ref{outer.ID, 1}) {
		t.Errorf("a copy of what nests it: %+v %v %v", again, missing, err)
	}
	if _, _, err := s.Create(t.Context(), "carol", []byte(fmt.Sprintf(nesting, "Mine", outer.ID)), Options{}); err == nil {
		t.Error("somebody else nests it")
	}
	if _, err := s.Delete(t.Context(), "bob", outer.ID, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("bob deletes it: %v", err)
	}

	// It stays when its author deletes it, but not for her.
	for _, id := range []string{outer.ID, inner.ID} {
		if _, err := s.Delete(t.Context(), "ada", id, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.kept = newCache()
	runs("deleted")
	if _, err := s.ForRun(t.Context(), "ada", outer.ID, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("the author runs what she deleted: %v", err)
	}
	shared.run["bob"] = nil
	unseen("removed from the library", outer.ID, inner.ID)
}
