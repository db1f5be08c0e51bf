package execution

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// What records say is what the database reads, whatever is in a text.
func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	text := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("\"\\,(){} \n\x00\uFFFD'$1")), rapid.Rune()))
	type row struct {
		User   string  `json:"user_id"`
		Graph  *string `json:"graph_id"`
		Nested bool    `json:"nested"`
		Status string  `json:"status"`
		N      *int    `json:"n"`
	}
	rapid.Check(t, func(t *rapid.T) {
		want := []row{}
		var r records
		for range rapid.IntRange(0, 3).Draw(t, "rows") {
			w := row{User: text.Draw(t, "user"), Nested: rapid.Bool().Draw(t, "nested"), Status: text.Draw(t, "status")}
			r.begin()
			r.text(w.User)
			if rapid.Bool().Draw(t, "graph") {
				id := uuid.New()
				r.uuid(id)
				w.Graph = new(id.String())
			} else {
				r.null()
			}
			r.bool(w.Nested)
			r.time(time.Time{})
			r.text(w.Status)
			if n := rapid.IntRange(-2, 2).Draw(t, "n"); n == 0 {
				r.positive(0)
			} else {
				r.int(int64(n))
				w.N = &n
			}
			w.User, w.Status = strings.ReplaceAll(w.User, "\x00", ""), strings.ReplaceAll(w.Status, "\x00", "")
			want = append(want, w)
		}
		var answer string
		if err := db.DB.QueryRow(`SELECT coalesce(json_agg(v), '[]') FROM unnest($1::batch_count[]) WITH ORDINALITY AS v (user_id, graph_id, nested, day, status, n, place)`, r.array()).Scan(&answer); err != nil {
			t.Fatalf("%s: %v", r.array(), err)
		}
		var got []row
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("%s\nwas read as %s\nof %s", r.array(), a, b)
		}
	})

	at, plan := time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.FixedZone("", 3600)), []byte{0, '\\', '"', 255}
	var r records
	r.begin()
	for place := range 27 {
		switch place {
		case 7:
			r.bytes(plan)
		case 10:
			r.time(at)
		default:
			r.null()
		}
	}
	var gotAt time.Time
	var gotPlan []byte
	if err := db.DB.QueryRow(`SELECT v.created_at, v.plan_id FROM unnest($1::batch_execution[]) AS v`, r.array()).Scan(&gotAt, &gotPlan); err != nil {
		t.Fatal(err)
	}
	if !gotAt.Equal(at) || !bytes.Equal(gotPlan, plan) {
		t.Errorf("%s, %x", gotAt, gotPlan)
	}
}
