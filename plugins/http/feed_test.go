package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

const atom = `<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>%s</feed>`

func atomEntry(n int, at time.Time) string {
	return fmt.Sprintf(`<entry><title>t%d</title><link href="https://a.example/%d"/><id>%d</id><updated>%s</updated><summary>s</summary>
		<author><name>Ada</name></author></entry>`, n, n, n, at.UTC().Format(time.RFC3339))
}

func TestFeedGivesWhatIsNotTooOld(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, atom, atomEntry(1, time.Now().Add(-time.Hour))+atomEntry(2, time.Now().Add(-time.Minute))+atomEntry(2, time.Now().Add(-time.Minute)))
	})
	got, err := run(t, &blocktest.Host{}, readFeed, `{"rss_url": "`+address+`", "time_period": 30, "polling_rate": 1, "run_continuously": false}`)
	if err != nil || len(got) != 2 || got[0].Pin != "entry" || got[1].Pin != "entries" {
		t.Fatalf("%v, %v", got, err)
	}
	var entry feedEntry
	if err := json.Unmarshal(got[0].Value, &entry); err != nil || entry.Title != "t2" || entry.Link != "https://a.example/2" || entry.Author != "Ada" || entry.Description != "s" {
		t.Errorf("%s, %v", got[0].Value, err)
	}
}

// A block that was cut off goes on behind what it gave, and gives nothing twice.
func TestFeedGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	at := time.Now()
	var readings atomic.Int32
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch readings.Add(1) {
		case 1:
			fmt.Fprintf(w, atom, atomEntry(1, at)+atomEntry(2, at))
		case 2:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprintf(w, atom, atomEntry(2, at)+atomEntry(3, at))
		}
	})
	entry := func(n int) json.RawMessage {
		raw, err := json.Marshal(feedEntry{
			Title: fmt.Sprintf("t%d", n), Link: fmt.Sprintf("https://a.example/%d", n), Description: "s",
			PubDate: at.UTC().Format(time.RFC3339), Author: "Ada", Categories: []string{},
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx = sdk.WithHost(ctx, &blocktest.Host{Transport: http.DefaultTransport})
	ctx = sdk.WithRun(ctx, sdk.Run{Recorded: []sdk.Value{{Pin: "entry", Value: entry(1)}}})
	out := &until{cancel: cancel, pins: 2}
	err := sdk.Execute(ctx, readFeed, json.RawMessage(`{"rss_url": "`+address+`", "polling_rate": 1}`), out)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	join := func(list ...json.RawMessage) json.RawMessage {
		raw, _ := json.Marshal(list)
		return raw
	}
	expect(t, "after the interruption", out.values,
		sdk.Value{Pin: "entry", Value: entry(2)}, sdk.Value{Pin: "entries", Value: join(entry(1), entry(2))},
		sdk.Value{Pin: "entry", Value: entry(3)}, sdk.Value{Pin: "entries", Value: join(entry(3))})
}

// until cancels a block that would go on for ever.
type until struct {
	cancel context.CancelFunc
	pins   int // values of the pin entries after which it ends
	values []sdk.Value
}

func (u *until) Emit(pin string, value any) error {
	u.values = append(u.values, sdk.Value{Pin: pin, Value: value.(json.RawMessage)})
	if pin == "entries" {
		if u.pins--; u.pins == 0 {
			u.cancel()
		}
	}
	return nil
}

func (u *until) Progress(sdk.Progress) {}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/text":
			fmt.Fprint(w, "no feed")
		case "/limited":
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/api/rest_v1/page/summary/a%2Fb", "/api/rest_v1/page/summary/a/b":
			fmt.Fprint(w, `{"title": "a"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	for path, want := range map[string]proto.ErrorKind{
		"/text":    proto.ErrorKind_ERROR_KIND_INVALID_INPUT,
		"/limited": proto.ErrorKind_ERROR_KIND_RATE_LIMITED,
		"/nothing": proto.ErrorKind_ERROR_KIND_INVALID_INPUT,
	} {
		_, err := run(t, &blocktest.Host{}, readFeed, `{"rss_url": "`+address+path+`", "polling_rate": 1}`)
		var known *sdk.Error
		if !errors.As(err, &known) || known.Kind != want || (known.RetryAfter == 100*time.Second) != (path == "/limited") {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx := sdk.WithHost(t.Context(), &blocktest.Host{Transport: http.DefaultTransport})
	ctx = sdk.WithSettings(ctx, map[string]string{wikipediaURL: address})
	for _, topic := range []string{"a/b", "nothing"} {
		if _, err := blocktest.RunContext(ctx, t, wikipediaSummary, `{"topic": "`+topic+`"}`); err == nil {
			t.Errorf("%s: there is a summary", topic)
		}
	}
}

func FuzzFeeds(f *testing.F) {
	for _, seed := range []string{fmt.Sprintf(atom, atomEntry(1, time.Unix(0, 0))), `<rss><channel><item><author/></item></channel></rss>`, `{"version":"https://jsonfeed.org/version/1.1","items":[{"id":"1","authors":[null]}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		entries, err := parseFeed(content)
		if (err == nil) == (entries == nil) {
			t.Errorf("%d entries, %v", len(entries), err)
		}
	})
}
