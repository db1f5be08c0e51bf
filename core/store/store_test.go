package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/core/graph"
)

func TestASubmissionIsListedWhenItIsApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.submit("ada", Draft{Name: "  Tax Helper  ", Description: "Counts", Categories: []string{"Money", "money", "Home"}, ImageURLs: []string{"https://..."}})
	if v.Status != Pending || v.Version != 1 || v.Slug != "tax-helper" || v.Name != "Tax Helper" || len(v.Categories) != 2 || v.ReviewedAt != nil {
		t.Errorf("submitted %+v", v)
	}
	if got := w.names(Filter{}); got != "" {
		t.Errorf("listed before its review: %s", got)
	}
	for _, id := range []string{v.ID, v.ListingID, v.GraphID} {
		if _, err := w.Details(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("details before the review: %v", err)
		}
	}
	if _, total, err := w.Creators(t.Context(), CreatorFilter{Limit: 5}); total != 0 || err != nil {
		t.Errorf("creators before the review: %d %v", total, err)
	}
	if v = w.decide(v.ID, true); v.Status != Approved || v.ReviewedAt == nil || v.ReviewerID != "admin" || v.Comments != "because" {
		t.Errorf("approved %+v", v)
	}
	if got := w.names(Filter{}) + w.names(Filter{Category: "MONEY"}) + w.names(Filter{Category: "other"}) + w.names(Filter{Creator: "ada"}); got != strings.Repeat("Tax Helper", 3) {
		t.Errorf("listed %s", got)
	}
	for _, id := range []string{v.ID, v.ListingID, v.GraphID} {
		d, err := w.Details(t.Context(), id)
		if err != nil || d.ID != v.ListingID || d.SubmissionID != v.ID || d.Creator != "ada" || len(d.Versions) != 1 || d.ImageURL != "https://..." || len(d.ImageURLs) != 1 {
			t.Errorf("details by %s: %+v %v", id, d, err)
		}
	}
	if d, err := w.DetailsBySlug(t.Context(), "ADA", "Tax-Helper"); err != nil || d.ID != v.ListingID {
		t.Errorf("by slug: %v", err)
	}
	creators, total, err := w.Creators(t.Context(), CreatorFilter{Limit: 5})
	if err != nil || total != 1 || creators[0].Agents != 1 || !slices.Equal(creators[0].TopCategories, []string{"Home", "Money"}) {
		t.Errorf("creators %+v %d %v", creators, total, err)
	}
	again := func(approved bool) {
		t.Helper()
		if _, err := w.Decide(t.Context(), "admin", v.ID, Decision{Approved: approved}); !errors.Is(err, ErrConflict) {
			t.Errorf("%t about what is %s: %v", approved, v.Status, err)
		}
	}
	again(true)
	if v = w.decide(v.ID, false); v.Status != Rejected || w.names(Filter{}) != "" {
		t.Errorf("taken back: %+v", v)
	}
	again(true)
	again(false)
	if w.names(Filter{}) != "" {
		t.Error("what was rejected is listed")
	}
	if _, total, _ := w.Creators(t.Context(), CreatorFilter{Limit: 5}); total != 0 {
		t.Errorf("%d creators of nothing", total)
	}
}

func TestTheNextVersionReplacesWhatWaitsAndThenWhatIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.submit("ada", Draft{Name: "One"})
	second := w.submit("ada", Draft{GraphID: first.GraphID, Name: "Two"})
	if _, err := w.Submission(t.Context(), "ada", first.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the first still waits: %v", err)
	}
	if second.Version != 2 || second.ListingID != first.ListingID || second.Slug != "one" {
		t.Errorf("second %+v", second)
	}
	w.decide(second.ID, true)
	third := w.submit("ada", Draft{GraphID: first.GraphID, Name: "Three"})
	if got := w.names(Filter{}); got != "Two" {
		t.Errorf("shown before the review: %s", got)
	}
	w.decide(third.ID, true)
	d, err := w.Details(t.Context(), first.ListingID)
	if err != nil || d.Name != "Three" || len(d.Versions) != 2 || d.Versions[0].Version != 3 {
		t.Errorf("details %+v %v", d, err)
	}
	w.decide(third.ID, false)
	if got := w.names(Filter{}); got != "Two" {
		t.Errorf("shown after the newest was taken back: %s", got)
	}
	list, total, err := w.Submissions(t.Context(), "ada", SubmissionFilter{Limit: 10})
	if err != nil || total != 2 || list[0].Name != "Three" || list[1].Name != "Two" {
		t.Errorf("submissions %+v %d %v", list, total, err)
	}
	for status, want := range map[Status]int{"": 2, Approved: 1, Rejected: 1, Pending: 0} {
		if _, total, err := w.AllSubmissions(t.Context(), SubmissionFilter{Status: status, Limit: 1}); total != want || err != nil {
			t.Errorf("%q: %d submissions, want %d, %v", status, total, want, err)
		}
	}
}

func TestOnlyWhatWaitsIsEditedAndOnlyWhatIsNotApprovedWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.submit("ada", Draft{Name: "One"})
	edited, err := w.Edit(t.Context(), "ada", v.ID, Draft{GraphID: v.GraphID, GraphVersion: 1, Name: "Uno", Slug: "Únö"})
	if err != nil || edited.Name != "Uno" || edited.Slug != "uno" || edited.Version != 1 {
		t.Errorf("edited %+v %v", edited, err)
	}
	if _, err := w.Edit(t.Context(), "ada", v.ID, Draft{GraphID: w.graph("ada", "x").ID, GraphVersion: 1, Name: "Uno"}); err == nil {
		t.Error("moved to another graph")
	}
	w.decide(v.ID, true)
	if _, err := w.Edit(t.Context(), "ada", v.ID, Draft{GraphID: v.GraphID, GraphVersion: 1, Name: "Duo"}); !errors.Is(err, ErrConflict) {
		t.Errorf("edit what is approved: %v", err)
	}
	if err := w.Withdraw(t.Context(), "ada", v.ID); !errors.Is(err, ErrConflict) {
		t.Errorf("withdraw what is approved: %v", err)
	}
	if got := w.names(Filter{}); got != "Uno" {
		t.Errorf("listed %s", got)
	}
	w.decide(v.ID, false)
	if err := w.Withdraw(t.Context(), "ada", v.ID); err != nil {
		t.Error(err)
	}
	if err := w.Withdraw(t.Context(), "ada", v.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("withdraw twice: %v", err)
	}
	var listings int
	if err := w.db.QueryRow(`SELECT count(*) FROM store_listing`).Scan(&listings); err != nil || listings != 0 {
		t.Errorf("%d listings are left: %v", listings, err)
	}
}

func TestForeignThingsAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.submit("ada", Draft{Name: "One"})
	own := w.graph("bob", "Mine")
	if _, err := w.Submit(t.Context(), "bob", "", Draft{GraphID: v.GraphID, GraphVersion: 1, Name: "Stolen"}); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("submit a foreign graph: %v", err)
	}
	if _, err := w.Submit(t.Context(), "bob", "", Draft{GraphID: own.ID, GraphVersion: 2, Name: "Mine"}); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("submit an unknown version: %v", err)
	}
	for _, id := range []string{v.ID, "x", "{" + v.ID + "}", ""} {
		if _, err := w.Submission(t.Context(), "bob", id); !errors.Is(err, ErrNotFound) {
			t.Errorf("see %q: %v", id, err)
		}
		if _, err := w.Edit(t.Context(), "bob", id, Draft{GraphID: own.ID, GraphVersion: 1, Name: "Mine"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("edit %q: %v", id, err)
		}
		if err := w.Withdraw(t.Context(), "bob", id); !errors.Is(err, ErrNotFound) {
			t.Errorf("withdraw %q: %v", id, err)
		}
		if _, err := w.Rate(t.Context(), "bob", id, 5, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("rate %q: %v", id, err)
		}
		if _, err := w.Feature(t.Context(), id, true); !errors.Is(err, ErrNotFound) {
			t.Errorf("feature %q: %v", id, err)
		}
	}
	if list, total, err := w.Submissions(t.Context(), "bob", SubmissionFilter{Limit: 5}); len(list) != 0 || total != 0 || err != nil {
		t.Errorf("bob's submissions: %v %v", list, err)
	}
}

func TestADeletedGraphLeavesTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.publish("ada", Draft{Name: "One", Categories: []string{"a"}})
	waiting := w.submit("ada", Draft{Name: "Two"})
	for _, id := range []string{v.GraphID, waiting.GraphID} {
		if _, err := w.graphs.Delete(t.Context(), "ada", id, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.names(Filter{}) + w.names(Filter{Category: "a"}) + w.names(Filter{Search: "one"}); got != "" {
		t.Errorf("listed %s", got)
	}
	if _, err := w.Details(t.Context(), v.ListingID); !errors.Is(err, ErrNotFound) {
		t.Errorf("details: %v", err)
	}
	if ok, err := w.AnyListed(t.Context(), []graph.Ref{{GraphID: v.GraphID, Version: 1}}); ok || err != nil {
		t.Errorf("may still be added: %v", err)
	}
	if _, err := w.Decide(t.Context(), "admin", waiting.ID, Decision{Approved: true}); !errors.Is(err, ErrConflict) {
		t.Errorf("approve what is no more: %v", err)
	}
}

func TestSlugsAndUsernamesAreTheirOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var slugs []string
	for _, name := range []string{"Réviews", "Same!", "same", "Same", "日本"} {
		slugs = append(slugs, w.submit("ada", Draft{Name: name}).Slug)
	}
	if got := strings.Join(slugs, " "); got != "reviews-2 same same-2 same-3 agent" {
		t.Errorf("slugs %s", got)
	}
	if slug := w.submit("bob", Draft{Name: "same"}).Slug; slug != "same" {
		t.Errorf("bob's slug is %s", slug)
	}
	if _, err := w.Submit(t.Context(), "ada", "", Draft{GraphID: w.graph("ada", "n").ID, GraphVersion: 1, Name: "n", Slug: "SAME"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a taken slug: %v", err)
	}
	other := w.publish("mallory", Draft{Name: "x"})
	if _, err := w.Submit(t.Context(), "second", "ADA@elsewhere.example", Draft{GraphID: w.graph("second", "n").ID, GraphVersion: 1, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if p, err := w.Profile(t.Context(), "second"); err != nil || !strings.HasPrefix(p.Username, "ada-") {
		t.Errorf("profile %+v %v", p, err)
	}
	if p, err := w.SetProfile(t.Context(), "mallory", "", Creator{Username: "Mal", Name: "M", Links: []string{"https://m.example"}}); err != nil || p.Username != "mal" || p.Agents != 1 {
		t.Errorf("profile %+v %v", p, err)
	}
	if _, err := w.SetProfile(t.Context(), "mallory", "", Creator{Username: "bob"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a taken username: %v", err)
	}
	if d, err := w.Details(t.Context(), other.ListingID); err != nil || d.Creator != "mal" {
		t.Errorf("details %+v %v", d, err)
	}
	if _, err := w.Profile(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's profile: %v", err)
	}
}

func TestTextsAreDataAndHaveBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hostile := `<script>alert("x")</script>'; DROP TABLE store_listing; -- \' ?0 %s ` + "\u202e😀"
	v := w.publish("ada", Draft{Name: hostile, SubHeading: hostile, Description: hostile, Categories: []string{`"a",{b}`, `c\d'e`, "NULL"}})
	d, err := w.Details(t.Context(), v.ID)
	if err != nil || d.Name != hostile || d.Description != hostile || !slices.Equal(d.Categories, []string{`"a",{b}`, `c\d'e`, "NULL"}) {
		t.Errorf("came back as %+v %v", d, err)
	}
	if got := w.names(Filter{Category: `C\D'E`}) + w.names(Filter{Category: "null"}); got != hostile+hostile {
		t.Errorf("found %s", got)
	}
	g := w.graph("ada", "g").ID
	for field, change := range map[string]func(*Draft){
		"name":                      func(d *Draft) { d.Name = " \t " },
		"sub_heading":               func(d *Draft) { d.SubHeading = strings.Repeat("x", 201) },
		"description":               func(d *Draft) { d.Description = "a\x00b" },
		"slug":                      func(d *Draft) { d.Slug = "!!" },
		"categories.0":              func(d *Draft) { d.Categories = []string{" "} },
		"image_urls.0":              func(d *Draft) { d.ImageURLs = []string{"javascript:alert(1)"} },
		"image_urls.1":              func(d *Draft) { d.ImageURLs = []string{"https://a.example/b.png", "https://user:pw@a.example"} },
		"image_urls":                func(d *Draft) { d.ImageURLs = slices.Repeat([]string{"https://a.example"}, 11) },
		"video_url":                 func(d *Draft) { d.VideoURL = "http://a.example" },
		"agent_output_demo_url":     func(d *Draft) { d.OutputDemoURL = "data:text/html,x" },
		"recommended_schedule_cron": func(d *Draft) { d.ScheduleCron = strings.Repeat("*", 101) },
	} {
		d := Draft{GraphID: g, GraphVersion: 1, Name: "n"}
		change(&d)
		_, err := w.Submit(t.Context(), "ada", "", d)
		invalid, ok := errors.AsType[*Invalid](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[field] == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRatingsCountOnceAUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.publish("ada", Draft{Name: "One"})
	if _, err := w.Rate(t.Context(), "ada", v.ListingID, 5, ""); !errors.Is(err, ErrOwn) {
		t.Errorf("rated her own: %v", err)
	}
	var group sync.WaitGroup
	for i := range 10 { // two ratings each of five users at once
		group.Go(func() {
			if _, err := w.Rate(t.Context(), fmt.Sprint("user", i%5), v.GraphID, 1+i%5, "c"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	d, err := w.Details(t.Context(), v.ListingID)
	if err != nil || d.Rating != 3 || d.Reviews != 5 {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := w.Rate(t.Context(), "user0", v.ID, 5, "better"); err != nil {
		t.Fatal(err)
	}
	list, total, err := w.Reviews(t.Context(), v.ListingID, 0, 2)
	if err != nil || total != 5 || len(list) != 2 || list[0].Score != 5 || list[0].Comments != "better" {
		t.Errorf("reviews %+v %d %v", list, total, err)
	}
	if c, err := w.Creator(t.Context(), "ada"); err != nil || c.Rating != 3.8 {
		t.Errorf("creator %+v %v", c, err)
	}
}

func TestRunsAndFeatured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.publish("ada", Draft{Name: "One"}), w.publish("ada", Draft{Name: "Two"})
	three := w.publish("bob", Draft{Name: "Three"})
	w.runs.add(two.GraphID, 3)
	w.runs.add(one.GraphID, 1)
	w.runs.add("00000000-0000-4000-8000-000000000000", 7) // listed nowhere
	if got := w.names(Filter{Sort: ByRuns}); got != "Two, One, Three" {
		t.Errorf("by runs: %s", got)
	}
	if _, err := w.Feature(t.Context(), three.ListingID, true); err != nil {
		t.Fatal(err)
	}
	if got := w.names(Filter{}); got != "Three, Two, One" {
		t.Errorf("featured first: %s", got)
	}
	if got := w.names(Filter{Featured: true}); got != "Three" {
		t.Errorf("featured: %s", got)
	}
	if _, err := w.Rate(t.Context(), "ada", three.ID, 4, ""); err != nil {
		t.Fatal(err)
	}
	for sort, want := range map[Sort]string{ByRating: "Three", ByNewest: "Three", ByName: "One"} {
		if got := w.names(Filter{Sort: sort}); !strings.HasPrefix(got, want) {
			t.Errorf("by %s: %s", sort, got)
		}
	}
	for sort, want := range map[Sort]string{"": "ada", ByAgents: "ada", ByAgentRuns: "ada", ByAgentRatings: "bob"} {
		list, _, err := w.Creators(t.Context(), CreatorFilter{Sort: sort, Limit: 1})
		if err != nil || list[0].Username != want {
			t.Errorf("creators by %q: %+v %v", sort, list, err)
		}
	}
	if list, total, err := w.Creators(t.Context(), CreatorFilter{Featured: true, Limit: 5}); err != nil || total != 1 || list[0].Username != "bob" || !list[0].Featured {
		t.Errorf("featured creators: %+v %v", list, err)
	}
	if v, err := w.Submission(t.Context(), "ada", two.ID); err != nil || v.Runs != 3 {
		t.Errorf("submission %+v %v", v, err)
	}
	w.decide(two.ID, false)
	if c, err := w.Creator(t.Context(), "ada"); err != nil || c.Agents != 1 || c.Runs != 1 {
		t.Errorf("creator %+v %v", c, err)
	}
}

func TestWithoutReviewSubmissionsAppearAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.AutoApprove = true
	v := w.submit("ada", Draft{Name: "One"})
	if v.Status != Approved || v.ReviewedAt == nil || v.ReviewerID != "" || w.names(Filter{}) != "One" {
		t.Errorf("%+v", v)
	}
}

// What many do at once leaves the counts exact and nobody waiting for ever.
func TestCountsStayExactWhateverHappensAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var group sync.WaitGroup
	for i := range 8 {
		user := fmt.Sprint("u", i%3)
		group.Go(func() {
			v := w.publish(user, Draft{Name: fmt.Sprint("n", i), Categories: []string{fmt.Sprint("c", i%2), fmt.Sprint("c", (i+1)%2)}})
			w.runs.add(v.GraphID, 1)
			if _, err := w.Rate(t.Context(), "rater", v.ID, 3, ""); err != nil {
				t.Error(err)
			}
			w.names(Filter{Featured: true})
			switch i % 4 {
			case 0:
				w.decide(v.ID, false)
			case 1:
				if _, err := w.graphs.Delete(t.Context(), user, v.GraphID, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, f := range []Filter{{}, {Category: "c0"}, {Category: "c1"}} {
		if list := strings.Split(w.names(f), ", "); len(list) != 4 {
			t.Errorf("%+v: %v", f, list)
		}
	}
	var agents, runs int
	if err := w.db.QueryRow(`SELECT sum(num_agents), sum(agent_runs) FROM store_creator`).Scan(&agents, &runs); err != nil || agents != 4 || runs != 4 {
		t.Errorf("%d agents, %d runs, %v", agents, runs, err)
	}
}
