package store

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what an author writes, in characters and entries.
const (
	maxName        = 100
	maxHeading     = 200
	maxText        = 10_000
	maxURL         = 2_048
	maxImages      = 10
	maxCategories  = 10
	maxCategory    = 50
	maxLinks       = 10
	defaultChanges = "Initial Submission"
)

// check tidies a draft up and says what is wrong with it. Texts are data: whatever markup they hold stays as it is.
func (d *Draft) check() error {
	c := checker{}
	d.Name = c.line("name", d.Name, maxName)
	if d.Name == "" {
		c.wrong("name", "a value is required")
	}
	if d.Slug != "" {
		if slug := slugOf(d.Slug); slug == "" {
			c.wrong("slug", "needs letters or digits")
		} else {
			d.Slug = slug
		}
	}
	d.SubHeading = c.line("sub_heading", d.SubHeading, maxHeading)
	c.text("description", d.Description, maxText)
	c.text("instructions", d.Instructions, maxText)
	c.text("changes_summary", d.ChangesSummary, maxText)
	d.ScheduleCron = c.line("recommended_schedule_cron", d.ScheduleCron, maxName)
	d.Categories = c.categories(d.Categories)
	d.ImageURLs = append([]string{}, d.ImageURLs...) // the database knows no nil
	if len(d.ImageURLs) > maxImages {
		c.wrong("image_urls", fmt.Sprintf("has more than %d entries", maxImages))
	}
	for i, u := range d.ImageURLs {
		c.url(fmt.Sprintf("image_urls.%d", i), u)
	}
	if d.VideoURL != "" {
		c.url("video_url", d.VideoURL)
	}
	if d.OutputDemoURL != "" {
		c.url("agent_output_demo_url", d.OutputDemoURL)
	}
	return c.err()
}

// checker collects what is wrong with fields.
type checker map[string]string

func (c checker) wrong(field, message string) {
	if _, known := c[field]; !known {
		c[field] = message
	}
}

func (c checker) err() error {
	if len(c) > 0 {
		return &Invalid{Fields: c}
	}
	return nil
}

// text checks what Postgres can hold and lists can show.
func (c checker) text(field, s string, limit int) {
	switch {
	case strings.ContainsRune(s, 0) || !utf8.ValidString(s):
		c.wrong(field, "has characters that no text has")
	case utf8.RuneCountInString(s) > limit:
		c.wrong(field, fmt.Sprintf("is longer than %d characters", limit))
	}
}

// line is a text without space around it.
func (c checker) line(field, s string, limit int) string {
	s = strings.TrimSpace(s)
	c.text(field, s, limit)
	return s
}

// url takes addresses that a browser may be sent to without harm.
func (c checker) url(field, s string) {
	c.text(field, s, maxURL)
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		c.wrong(field, "must be an https URL")
	}
}

func (c checker) categories(list []string) []string {
	tidy := []string{}
	for i, category := range list {
		field := fmt.Sprintf("categories.%d", i)
		category = c.line(field, category, maxCategory)
		if category == "" {
			c.wrong(field, "is empty")
		}
		if !slices.ContainsFunc(tidy, func(known string) bool { return categoryKey(known) == categoryKey(category) }) {
			tidy = append(tidy, category)
		}
	}
	if len(tidy) > maxCategories {
		c.wrong("categories", fmt.Sprintf("has more than %d entries", maxCategories))
	}
	return tidy
}

// categoryKey is what categories are compared by.
func categoryKey(category string) string { return strings.ToLower(strings.TrimSpace(category)) }

func categoryKeys(categories []string) []string {
	keys := make([]string, len(categories))
	for i, c := range categories {
		keys[i] = categoryKey(c)
	}
	return keys
}

// escapable says whether the database can hold a text that is looked for; else nothing is like it.
func escapable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
