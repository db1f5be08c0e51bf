package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/mmcdole/gofeed"

	"github.com/patchbay-io/patchbay/sdk"
)

// maxFeed bounds a feed in bytes.
const maxFeed = 16 << 20

// shortestPoll is how often a feed may be asked for, whatever the input says.
const shortestPoll = time.Second

type readFeedInput struct {
	URL         string `json:"rss_url" required:"true" placeholder:"https://example.com/rss" doc:"Address of the feed: RSS, Atom or JSON Feed"`
	TimePeriod  int    `json:"time_period" default:"1440" placeholder:"1440" doc:"How old an entry may be, in minutes before the block begins"`
	PollingRate int    `json:"polling_rate" required:"true" placeholder:"300" doc:"Seconds from one reading to the next"`
	Continuous  bool   `json:"run_continuously" default:"true" doc:"Read again and again, and give what is new"`
}

// feedEntry is an entry as agents get it.
type feedEntry struct {
	Title       string   `json:"title"`
	Link        string   `json:"link"`
	Description string   `json:"description"`
	PubDate     string   `json:"pub_date"`
	Author      string   `json:"author"`
	Categories  []string `json:"categories"`
}

const entryProperties = `"properties":{"title":{"type":"string"},"link":{"type":"string"},"description":{"type":"string"},` +
	`"pub_date":{"type":"string"},"author":{"type":"string"},"categories":{"type":"array","items":{"type":"string"}}}`

var readFeed = sdk.Block[readFeedInput]{
	ID:   "5ebe6768-8e5d-41e3-9134-1c7bd89a8d52",
	Name: "Read RSS Feed",
	Description: "Reads the entries of a feed that are not older than some time, each once; and goes on reading, if so asked, " +
		"until it is stopped",
	Categories: []string{"INPUT"},
	Traits:     sdk.Streaming,
	Outputs: sdk.Outputs{
		sdk.Out("entry", sdk.Schema(`{"type":"object","description":"An entry",`+entryProperties+`}`)),
		sdk.Out("entries", sdk.Schema(`{"type":"array","description":"The entries of one reading","items":{"type":"object",`+entryProperties+`}}`)),
	},
	Run: func(ctx context.Context, in readFeedInput, out sdk.Emitter) error {
		begun, err := sdk.Deadline(ctx, 0) // the beginning of the first attempt
		if err != nil {
			return err
		}
		reader := feedReader{since: begun.Add(-time.Duration(in.TimePeriod) * time.Minute), out: out}
		if err := reader.recall(sdk.RunFrom(ctx).Recorded); err != nil {
			return err
		}
		for {
			switch err := reader.read(ctx, in.URL); {
			case err != nil && (!in.Continuous || reader.readings == 0 || ctx.Err() != nil):
				return err
			case err != nil: // the feed may be back at the next time
				sdk.Logger(ctx).Warn("a feed could not be read", "error", err)
			case !in.Continuous:
				return nil
			}
			if err := sleep(ctx, max(time.Duration(in.PollingRate)*time.Second, shortestPoll)); err != nil {
				return err
			}
		}
	},
	Examples: []sdk.Example{{
		Input: `{"rss_url": "https://news.example.com/rss", "time_period": 100000000, "polling_rate": 1, "run_continuously": false}`,
		Output: `{"entry": [{"title": "Patch bays", "link": "https://news.example.com/1", "description": "Cables", "pub_date": "2026-01-02T03:04:05Z",
			"author": "Ada", "categories": ["music"]}], "entries": [[{"title": "Patch bays", "link": "https://news.example.com/1",
			"description": "Cables", "pub_date": "2026-01-02T03:04:05Z", "author": "Ada", "categories": ["music"]}]]}`,
	}},
}

// feedReader gives each entry once.
type feedReader struct {
	since    time.Time
	out      sdk.Emitter
	seen     map[feedKey]bool
	batch    []json.RawMessage // entries that came out of this reading
	readings int
}

type feedKey struct{ link, title, date string }

// recall takes what earlier attempts gave: the entries of a reading that was cut off belong to the next one.
func (f *feedReader) recall(recorded []sdk.Value) error {
	f.seen = map[feedKey]bool{}
	for _, v := range recorded {
		if v.Pin != "entry" {
			f.batch, f.readings = nil, f.readings+1
			continue
		}
		var entry feedEntry
		if err := json.Unmarshal(v.Value, &entry); err != nil {
			return err
		}
		f.seen[entry.key()] = true
		f.batch = append(f.batch, v.Value)
	}
	return nil
}

func (e feedEntry) key() feedKey { return feedKey{e.Link, e.Title, e.PubDate} }

// read reads the feed once. Later readings that bring nothing give nothing.
func (f *feedReader) read(ctx context.Context, address string) error {
	entries, err := entriesOf(ctx, address)
	if err != nil {
		return err
	}
	now := map[feedKey]bool{} // what the feed no longer has cannot come again, and need not be kept
	for _, entry := range entries {
		if at, err := time.Parse(time.RFC3339, entry.PubDate); err == nil && !at.After(f.since) {
			continue
		}
		key := entry.key()
		known := f.seen[key] || now[key]
		now[key] = true
		if known {
			continue
		}
		raw, err := json.Marshal(entry)
		if err != nil {
			return err
		}
		if err := f.out.Emit("entry", json.RawMessage(raw)); err != nil {
			return err
		}
		f.batch = append(f.batch, raw)
	}
	f.seen = now
	if len(f.batch) == 0 && f.readings > 0 {
		return nil
	}
	batch := f.batch
	if batch == nil {
		batch = []json.RawMessage{}
	}
	if err := f.out.Emit("entries", batch); err != nil {
		return err
	}
	f.batch, f.readings = nil, f.readings+1
	return nil
}

// entriesOf are the entries that have a date, or are taken for new since they have none.
func entriesOf(ctx context.Context, address string) ([]feedEntry, error) {
	u, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	r := request{method: http.MethodGet, url: u, headers: http.Header{
		"Accept": {"application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"},
	}}
	content, err := r.fetch(ctx, maxFeed)
	if err != nil {
		return nil, err
	}
	return parseFeed(content)
}

func parseFeed(content []byte) (entries []feedEntry, err error) {
	defer func() { // gofeed panics at a null among a JSON Feed's authors
		if recover() != nil {
			entries, err = nil, sdk.InvalidInput("the answer is a broken feed")
		}
	}()
	feed, err := gofeed.NewParser().Parse(bytes.NewReader(content))
	if err != nil {
		return nil, sdk.InvalidInput("the answer is no feed: %w", err)
	}
	entries = make([]feedEntry, 0, len(feed.Items))
	for _, item := range feed.Items {
		entry := feedEntry{Title: item.Title, Link: item.Link, Description: item.Description, Categories: item.Categories}
		if entry.Categories == nil {
			entry.Categories = []string{}
		}
		at := item.PublishedParsed
		if at == nil {
			at = item.UpdatedParsed
		}
		if at != nil {
			entry.PubDate = at.UTC().Format(time.RFC3339)
		}
		if len(item.Authors) > 0 && item.Authors[0] != nil {
			entry.Author = item.Authors[0].Name
			if entry.Author == "" {
				entry.Author = item.Authors[0].Email
			}
		}
		entries = append(entries, entry)
	}
	return entries, nil
}
