package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if !w.trigrams {
		t.Fatal("the tests' database lacks pg_trgm")
	}
	for _, d := range []Draft{
		{Name: "Calculator", Description: "Adds numbers."},
		{Name: "Tax Calculator Pro", SubHeading: "For the yearly return"},
		{Name: "Newsletter", Description: "Summarizes articles and mails them; no calculator."},
		{Name: "Übersetzer", SubHeading: "Deutsch ↔ 日本語"},
		{Name: "100% Cotton_shop", Description: "C++ inside"},
	} {
		w.publish("ada", d)
	}
	for search, want := range map[string]string{
		"calculator":            "Calculator, Tax Calculator Pro, Newsletter", // the name itself, a word of the name, the description
		"CALC":                  "Calculator, Tax Calculator Pro, Newsletter",
		"tax return":            "Tax Calculator Pro",
		"return tax":            "Tax Calculator Pro",
		"summarizing":           "Newsletter",                     // of one stem
		"kalculator":            "Calculator, Tax Calculator Pro", // a typing error
		"newsleter":             "Newsletter",
		"ubersetzer":            "Übersetzer",
		"ÜBERSETZER":            "Übersetzer",
		"日本":                    "Übersetzer",
		"%":                     "100% Cotton_shop",
		"_":                     "100% Cotton_shop",
		"++":                    "100% Cotton_shop",
		"'":                     "",
		"zzzzqqq":               "",
		"calculator zzzzqqqxyw": "",
		"a\x00b":                "",
	} {
		if got := w.names(Filter{Search: search}); got != want {
			t.Errorf("%q finds %s, want %s", search, got, want)
		}
	}
	if got := w.names(Filter{Search: "calculator", Sort: ByName}); got != "Calculator, Newsletter, Tax Calculator Pro" {
		t.Errorf("by name: %s", got)
	}
	if got := w.names(Filter{Search: "calculator", Category: "none"}); got != "" {
		t.Errorf("of no category: %s", got)
	}
	w.trigrams = false // as in a database that has none
	if got := w.names(Filter{Search: "kalculator"}) + w.names(Filter{Search: "newsletter"}); got != "Newsletter" {
		t.Errorf("without trigrams: %s", got)
	}
}

// Whatever is typed, a search answers.
func FuzzSearch(f *testing.F) {
	for _, s := range []string{"a", "' OR 1=1 --", `\' & | ! ( ) :* <->`, "a:*b & !c", "?0 ?", "$1", "%_\\", "\u0000", "\xff", strings.Repeat("(", 100), "İ ß ﬁ"} {
		f.Add(s)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 400 {
			return
		}
		if _, _, err := w.List(context.Background(), Filter{Search: s, Category: s, Creator: s, Limit: 5}); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if _, _, err := w.List(context.Background(), Filter{Search: s, Limit: 5}); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if _, _, err := w.Creators(context.Background(), CreatorFilter{Search: s, Limit: 5}); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if slug := slugOf(s); strings.Trim(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(slug, "-") || len(slug) > maxSlug {
			t.Errorf("%q has the slug %q", s, slug)
		}
	})
}

// Each order of the list has its index, so that a page of many costs no more than a page of few.
func TestListsUseTheirIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("ada", Draft{Name: "One"})
	tx, err := w.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, off := range []string{"enable_seqscan", "enable_sort"} { // small tables are not worth an index
		if _, err := tx.Exec("SET LOCAL " + off + " = off"); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(query string, args ...any) string {
		rows, err := tx.Query("EXPLAIN "+query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer func() { _ = rows.Close() }()
		var b strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for sort, index := range map[Sort]string{"": "store_listing_first", ByRuns: "store_listing_by_runs", ByRating: "store_listing_by_rating", ByNewest: "store_listing_by_age", ByName: "store_listing_by_name"} {
		if got := plan(`SELECT l.id` + fromListed + ` ORDER BY ` + orders[sort] + ` LIMIT 20`); !strings.Contains(got, index) {
			t.Errorf("by %q:\n%s", sort, got)
		}
	}
	for sort, index := range map[Sort]string{"": "store_creator_", ByAgents: "store_creator_by_agents", ByAgentRuns: "store_creator_by_runs", ByAgentRatings: "store_creator_by_rating"} {
		if got := plan(`SELECT c.username FROM store_creator c WHERE c.num_agents > 0 ORDER BY ` + creatorOrders[sort] + ` LIMIT 20`); !strings.Contains(got, index) {
			t.Errorf("creators by %q:\n%s", sort, got)
		}
	}
	for _, order := range []string{"first", "by_runs", "by_rating", "by_age", "by_name"} { // any index is good enough for one row
		if _, err := tx.Exec("DROP INDEX store_listing_" + order); err != nil {
			t.Fatal(err)
		}
	}
	for index, where := range map[string]string{
		"store_listing_search":     `l.search @@ to_tsquery('simple', 'a')`,
		"store_listing_words":      `'abc' <% l.words`,
		"store_listing_categories": `l.category_keys @> '{a}'`,
	} {
		if got := plan(`SELECT l.id FROM store_listing l WHERE l.listed AND ` + where); !strings.Contains(got, index) {
			t.Errorf("%s:\n%s", where, got)
		}
	}
	if got := plan(`SELECT v.id` + fromSubmissions + ` WHERE v.user_id = 'ada' ORDER BY v.submitted_at DESC, v.id LIMIT 5`); !strings.Contains(got, "store_submission_by_user") {
		t.Errorf("submissions:\n%s", got)
	}
}
