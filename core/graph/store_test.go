package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func serviceOf(t *testing.T) *Service {
	t.Helper()
	return NewService(NewStore(postgrestest.DB(t), nil), blocksOf(t), nil)
}

func create(t *testing.T, s *Service, user, body string) *Graph {
	t.Helper()
	g, _, err := s.Create(t.Context(), user, []byte(body), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const one = `{"name":"One","description":"first","nodes":[{"id":"n","block_id":"00000000-0000-4000-8000-0000000000a0","input_default":{"in":%s}}]}`

func TestValuesComeOutOfTheDatabaseAsTheyWentIn(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	for _, v := range []string{
		`12345678901234567890`, `1e400`, `"\u0000 \\u0000 \ud800 <&> \/ ' ? é 😀"`, `{"z":1, "a" :2,"a":3}`, `"` + strings.Repeat("x", 10<<20) + `"`,
	} {
		g := create(t, s, "u", fmt.Sprintf(one, v))
		fresh := NewStore(s.db, nil)
		got, err := fresh.Get(t.Context(), "u", g.ID, 1)
		if err != nil {
			t.Fatal(err)
		}
		if in, _ := jsonscan.Find(got.Nodes[0].InputDefault, "in"); string(in) != v {
			t.Errorf("%.60s came back as %.60s", v, in)
		}
		shown, err := s.Render(t.Context(), "u", got)
		if err != nil || !strings.Contains(string(shown), `"input_default":{"in":`+v+`}`) {
			t.Errorf("%.60s is not shown: %v", v, err)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	ctx := t.Context()
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	if g.Version != 1 || !g.IsActive || g.CreatedAt.IsZero() {
		t.Errorf("%+v", g)
	}
	for want := 2; want <= 3; want++ { // C99
		next, _, err := s.Update(ctx, "u", g.ID, fmt.Appendf(nil, one, fmt.Sprint(want)), Options{})
		if err != nil || next.Version != want || next.Nodes[0].ID != "n" || !next.CreatedAt.Equal(g.CreatedAt) {
			t.Fatalf("%+v, %v", next, err)
		}
	}
	if _, _, err := s.Update(ctx, "u", g.ID, fmt.Appendf(nil, one, "9"), Options{ExpectedVersions: []int{1, 2}}); !errors.Is(err, ErrConflict) {
		t.Errorf("a stale update: %v", err)
	}
	constant := func(g *Graph, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		in, _ := jsonscan.Find(g.Nodes[0].InputDefault, "in")
		return string(in)
	}
	if got := constant(s.Get(ctx, "u", g.ID, 1)); got != "1" {
		t.Errorf("version 1 has %s", got)
	}
	if _, err := s.SetActive(ctx, "u", g.ID, 2, []int{1, 2}); !errors.Is(err, ErrConflict) {
		t.Errorf("activated for one who has not seen the latest: %v", err)
	}
	if _, err := s.Delete(ctx, "u", g.ID, []int{1}); !errors.Is(err, ErrConflict) {
		t.Errorf("deleted for one who has not seen the latest: %v", err)
	}
	if active, err := s.SetActive(ctx, "u", g.ID, 2, nil); err != nil || active.Version != 2 || active.Name != "One" || !active.CreatedAt.Equal(g.CreatedAt) {
		t.Fatalf("%+v, %v", active, err)
	}
	if got := constant(s.Active(ctx, "u", g.ID)); got != "2" {
		t.Errorf("the active version has %s", got)
	}
	if got := constant(s.Get(ctx, "u", g.ID, 0)); got != "3" {
		t.Errorf("the latest version has %s", got)
	}
	latest, _ := s.Get(ctx, "u", g.ID, 3)
	second, _ := s.Get(ctx, "u", g.ID, 2)
	if latest.IsActive || !second.IsActive {
		t.Error("the wrong version says that it is active")
	}
	versions, total, err := s.Versions(ctx, "u", g.ID, 0, 9)
	if err != nil || total != 3 || len(versions) != 3 || versions[0].Version != 3 || !versions[1].IsActive || versions[0].IsActive {
		t.Errorf("%+v, %v", versions, err)
	}
	if versions, total, err := s.Versions(ctx, "u", g.ID, 1, 1); err != nil || total != 3 || len(versions) != 1 || versions[0].Version != 2 {
		t.Errorf("the second page: %+v of %d, %v", versions, total, err)
	}
	if versions, total, err := s.Versions(ctx, "u", g.ID, 3, 1); err != nil || total != 3 || len(versions) != 0 {
		t.Errorf("behind the end: %+v of %d, %v", versions, total, err)
	}
	if _, err := s.SetActive(ctx, "u", g.ID, 4, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("activated a version that is not there: %v", err)
	}
	if _, err := s.Get(ctx, "u", g.ID, 4); !errors.Is(err, ErrNotFound) {
		t.Errorf("got a version that is not there: %v", err)
	}
}

func TestConcurrentUpdatesEachGetTheirVersion(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	const n = 8
	got := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			next, _, err := s.Update(t.Context(), "u", g.ID, fmt.Appendf(nil, one, "2"), Options{})
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = next.Version
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for _, v := range got {
		seen[v] = true
	}
	for v := 2; v < n+2; v++ {
		if !seen[v] {
			t.Errorf("nobody got version %d: %v", v, got)
		}
	}
}

func TestNobodyElsesGraphIsThere(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	ctx := t.Context()
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	if _, err := s.Get(ctx, "u", g.ID, 1); err != nil { // it is in the cache now
		t.Fatal(err)
	}
	for user, ids := range map[string][]string{
		"other": {g.ID},
		"u":     {uuid.NewString(), "", "graph-1", strings.ReplaceAll(g.ID, "-", ""), "{" + g.ID + "}", "urn:uuid:" + g.ID, "'; DROP TABLE graph; --"},
	} {
		for _, id := range ids {
			for what, err := range map[string]error{
				"Get":       second(s.Get(ctx, user, id, 1)),
				"latest":    second(s.Get(ctx, user, id, 0)),
				"Active":    second(s.Active(ctx, user, id)),
				"Versions":  versions(ctx, s, user, id),
				"Fork":      fork(ctx, s, user, id),
				"ForRun":    second(s.ForRun(ctx, user, id, 1)),
				"SetActive": second(s.SetActive(ctx, user, id, 1, nil)),
				"Delete":    second(s.Delete(ctx, user, id, nil)),
				"Update":    update(ctx, s, user, id),
			} {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("%s of %q by %s: %v", what, id, user, err)
				}
			}
		}
	}
	if list, total, err := s.List(ctx, "other", Filter{Limit: 10}); err != nil || len(list) != 0 || total != 0 {
		t.Errorf("%v, %d, %v", list, total, err)
	}
	if _, err := s.Get(ctx, "u", strings.ToUpper(g.ID), 0); err != nil {
		t.Errorf("the case of an id counts: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func update(ctx context.Context, s *Service, user, id string) error {
	_, _, err := s.Update(ctx, user, id, fmt.Appendf(nil, one, "1"), Options{})
	return err
}

func versions(ctx context.Context, s *Service, user, id string) error {
	_, _, err := s.Versions(ctx, user, id, 0, 1)
	return err
}

func fork(ctx context.Context, s *Service, user, id string) error {
	_, _, err := s.Fork(ctx, user, id, 1)
	return err
}

func TestList(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	ctx := t.Context()
	var ids []string
	for i := range 5 {
		ids = append(ids, create(t, s, "u", fmt.Sprintf(`{"name":"Agent %d","description":"100%% _A_"}`, i)).ID)
	}
	if _, _, err := s.Update(ctx, "u", ids[1], []byte(`{"name":"Renamed","description":""}`), Options{}); err != nil {
		t.Fatal(err)
	}
	names := func(f Filter) string {
		list, total, err := s.List(ctx, "u", f)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(total)
		for _, g := range list {
			text += "," + g.Name
		}
		return text
	}
	for want, f := range map[string]Filter{
		"5,Renamed,Agent 4,Agent 3": {Limit: 3},
		"5,Agent 2,Agent 0":         {Limit: 3, Offset: 3},
		"5":                         {Limit: 3, Offset: 30},
		"1,Renamed":                 {Limit: 9, Search: "nAMe"},
		"4,Agent 4":                 {Limit: 1, Search: "100% _a"},
		"0":                         {Limit: 9, Search: "Agent%"},
		"0,":                        {Limit: 9, Search: "\x00"},
	} {
		if got := names(f); got != strings.TrimSuffix(want, ",") {
			t.Errorf("%+v: %s, not %s", f, got, want)
		}
	}
	if got := names(Filter{Limit: 9, Search: "\xff"}); got != "0" {
		t.Error(got)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	if _, err := s.Get(t.Context(), "u", g.ID, 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Update(t.Context(), "u", g.ID, []byte(fmt.Sprintf(one, "2")), Options{}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Delete(t.Context(), "u", g.ID, nil); err != nil || n != 2 {
		t.Fatalf("%d versions went: %v", n, err)
	}
	if _, err := s.Get(t.Context(), "u", g.ID, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("the cache still has it: %v", err)
	}
	var versions int
	if err := s.db.QueryRow(`SELECT count(*) FROM graph_version`).Scan(&versions); err != nil || versions != 0 {
		t.Errorf("%d versions stay, %v", versions, err)
	}
}

func TestReadingAgainDecodesNothing(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	first, err := s.Get(t.Context(), "u", g.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Get(t.Context(), "u", g.ID, 1); err != nil || again != first {
		t.Errorf("decoded again: %v", err)
	}
	if latest, err := s.Get(t.Context(), "u", g.ID, 0); err != nil || latest != first {
		t.Errorf("decoded again: %v", err)
	}
	if _, err := NewService(NewStore(s.db, nil), s.blocks, nil).Delete(t.Context(), "u", g.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "u", g.ID, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("another server has deleted it: %v", err)
	}
}

// What is presumed is what was last read, and nothing after a change that this server made or saw.
func TestPresumed(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	ctx := t.Context()
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	expect := func(user, id string, version int) {
		t.Helper()
		got, ok := s.Presumed(user, id)
		if ok != (version != 0) || ok && (got.Version != version || got.ID != g.ID || !got.IsActive) {
			t.Errorf("%v of %s's %s is presumed, want version %d", got, user, id, version)
		}
	}
	read := func(want error) {
		t.Helper()
		if _, err := s.ForRun(ctx, "u", g.ID, 0); !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
	expect("u", g.ID, 0) // nobody has read it
	read(nil)
	expect("u", g.ID, 1)
	expect("u", strings.ToUpper(g.ID), 1)
	expect("other", g.ID, 0)
	expect("u", "no id", 0)
	if err := update(ctx, s, "u", g.ID); err != nil {
		t.Fatal(err)
	}
	expect("u", g.ID, 0)
	read(nil)
	expect("u", g.ID, 2)
	elsewhere := NewService(NewStore(s.db, nil), s.blocks, nil)
	if _, err := elsewhere.SetActive(ctx, "u", g.ID, 1, nil); err != nil {
		t.Fatal(err)
	}
	expect("u", g.ID, 2) // who runs it is told when it commits
	read(nil)
	expect("u", g.ID, 1)
	if _, err := elsewhere.Delete(ctx, "u", g.ID, nil); err != nil {
		t.Fatal(err)
	}
	read(ErrNotFound)
	expect("u", g.ID, 0)

	g = create(t, s, "u", fmt.Sprintf(`{"name":"Outer","nodes":[{"id":"n","block_id":%q,"input_default":{"graph_id":%q,"graph_version":1,"inputs":{},"input_schema":{},"output_schema":{}}}]}`,
		block.AgentID, create(t, s, "u", fmt.Sprintf(one, "1")).ID))
	read(nil)
	expect("u", g.ID, 0) // what is nested may have changed as well
}

func TestMissingBlocksAreAllowedOnRequest(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	body, err := os.ReadFile("testdata/medium-blogger.json")
	if err != nil {
		t.Fatal(err)
	}
	var invalid *Invalid
	if _, _, err := s.Create(t.Context(), "u", body, Options{}); !errors.As(err, &invalid) || len(invalid.NodeErrors) != 5 {
		t.Fatalf("%v", err)
	}
	g, missing, err := s.Create(t.Context(), "u", body, Options{AllowMissing: true})
	if err != nil || len(missing) != 5 {
		t.Fatalf("%v, %v", missing, err)
	}
	if g, err = s.ForRun(t.Context(), "u", g.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := ValidateForRun(g, s.blocks, nil, nil); !errors.As(err, &invalid) || len(invalid.NodeErrors) != 5 {
		t.Errorf("%v", err)
	}
	if list, total, err := s.List(t.Context(), "u", Filter{Limit: 9}); err != nil || total != 1 || len(list) != 1 {
		t.Errorf("the refused one was stored: %d, %v", total, err)
	}
}

// Limits of a node that are not understood are refused when the agent is saved, unless what is missing is allowed, as it is
// where files of others are imported; then executing it is refused. Other metadata are nobody's business.
func TestLimitsThatAreNotUnderstoodAreRefused(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	for metadata, want := range map[string]string{
		`{"execution":{"attempts":11}}`:                        "attempts must be a whole number from 1 to 10",
		`{"execution":"fast"}`:                                 "expects an object",
		`{"execution":{"attempts":3},"executor":{"x":"fast"}}`: "",
	} {
		body := []byte(`{"name":"x","nodes":[{"id":"n","block_id":"00000000-0000-4000-8000-0000000000a0","input_default":{"in":1},"metadata":` + metadata + `}]}`)
		refused := func(err error) bool {
			var invalid *Invalid
			return errors.As(err, &invalid) && len(invalid.NodeErrors) == 1 && strings.HasPrefix(invalid.NodeErrors["n"]["metadata.execution"], want)
		}
		_, _, err := s.Create(t.Context(), "u", body, Options{})
		if want == "" && err != nil || want != "" && !refused(err) {
			t.Errorf("%s: saving it: %v", metadata, err)
		}
		g, missing, err := s.Create(t.Context(), "u", body, Options{AllowMissing: true})
		if err != nil || len(missing) > 0 != (want != "") || string(g.Nodes[0].Metadata) != metadata {
			t.Fatalf("%s: importing it: %v, %v", metadata, missing, err)
		}
		if _, _, err := s.Update(t.Context(), "u", g.ID, body, Options{}); want == "" && err != nil || want != "" && !refused(err) {
			t.Errorf("%s: saving it again: %v", metadata, err)
		}
		if err := ValidateForRun(g, s.blocks, nil, nil); want == "" && err != nil || want != "" && !refused(err) {
			t.Errorf("%s: executing it: %v", metadata, err)
		}
	}
}

// C97 through the database: sub-graphs become the user's graphs, and nested agents lead to them.
func TestSubGraphs(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	ctx := t.Context()
	body, err := os.ReadFile("testdata/lead-finder.json")
	if err != nil {
		t.Fatal(err)
	}
	g, _, err := s.Create(ctx, "u", body, Options{AllowMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, total, err := s.List(ctx, "u", Filter{Limit: 9}); err != nil || total != 3 {
		t.Errorf("%d graphs, %v", total, err)
	}
	whole, err := s.ForRun(ctx, "u", g.ID, 0)
	if err != nil || len(whole.SubGraphs) != 2 || len(whole.unbound) != 0 {
		t.Fatalf("%+v, %v", whole.unbound, err)
	}
	file, err := s.Export(ctx, "u", g.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := s.Create(ctx, "v", file, Options{AllowMissing: true})
	if err != nil || len(again.SubGraphs) != 2 || again.SubGraphs[0].ID == whole.SubGraphs[0].ID {
		t.Errorf("the export of another user: %v", err)
	}
	// Their own node still leads to their own graph; without it, running is refused.
	if _, err := s.Delete(ctx, "u", whole.SubGraphs[0].ID, nil); err != nil {
		t.Fatal(err)
	}
	if whole, err = s.ForRun(ctx, "u", g.ID, 0); err != nil {
		t.Fatal(err)
	}
	var invalid *Invalid
	if err := ValidateForRun(whole, s.blocks, json.RawMessage(`{}`), nil); !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	told := false
	for i := range whole.Nodes {
		if n := &whole.Nodes[i]; n.BlockID == block.AgentID {
			told = told || strings.Contains(invalid.NodeErrors[n.ID]["graph_id"], "is not among your agents")
		}
	}
	if !told {
		t.Errorf("not told: %v", invalid.NodeErrors)
	}
}

func TestNestedAgentsNameTheUsersOwnGraphs(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	child := create(t, s, "u", fmt.Sprintf(one, "1"))
	parent := `{"name":"P","nodes":[{"id":"n","block_id":"` + block.AgentID + `","input_default":{"graph_id":"` + child.ID + `","graph_version":%d,"input_schema":{},"output_schema":{}}}]}`
	g := create(t, s, "u", fmt.Sprintf(parent, 1))
	if whole, err := s.ForRun(t.Context(), "u", g.ID, 1); err != nil || len(whole.SubGraphs) != 1 {
		t.Errorf("%v", err)
	}
	for user, version := range map[string]int{"other": 1, "u": 2} {
		_, _, err := s.Create(t.Context(), user, fmt.Appendf(nil, parent, version), Options{})
		var invalid *Invalid
		if !errors.As(err, &invalid) || invalid.NodeErrors["n"]["graph_id"] == "" {
			t.Errorf("%s, version %d: %v", user, version, err)
		}
	}
}
