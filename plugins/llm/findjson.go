package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/kaptinlin/jsonrepair"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// Bounds of the search for JSON. Repair takes time by the square of the length where quotes and brackets do not close.
const (
	maxRepair = 64 << 10 // bytes
	maxFences = 3        // the last ones, in which JSON is looked for
	maxDepth  = 64       // brackets inside each other in what is repaired
	maxStarts = 200      // braces at which JSON is looked for
)

var fence = regexp.MustCompile("(?s)```[a-zA-Z0-9]*[ \t]*\r?\n?(.*?)```")

// findJSON finds an object, or a list, in what a model says: between fences or in prose, the last one that stands for
// itself, and repairs it where it is broken. Where a list is wanted, an object is taken too if there is no list.
func findJSON(said string, want value.Kind) (json.RawMessage, bool) {
	if _, after, thought := strings.Cut(said, "</think>"); thought {
		said = after
	}
	said = strings.TrimSpace(said)
	var candidates []string
	for _, m := range fence.FindAllStringSubmatch(said, -1) {
		candidates = append(candidates, strings.TrimSpace(m[1]))
	}
	candidates = candidates[max(0, len(candidates)-maxFences):]
	kinds := []value.Kind{want}
	if want == value.List {
		kinds = append(kinds, value.Object)
	}
	for _, kind := range kinds {
		if found, ok := exact(said, kind); ok {
			return found, true
		}
		for i := len(candidates) - 1; i >= 0; i-- {
			if found, ok := exact(candidates[i], kind); ok {
				return found, true
			}
		}
		if found, ok := within(said, kind); ok {
			return found, true
		}
	}
	for _, kind := range kinds {
		for i := len(candidates) - 1; i >= 0; i-- {
			if found, ok := repaired(candidates[i], kind); ok {
				return found, true
			}
		}
		if found, ok := repaired(said, kind); ok {
			return found, true
		}
	}
	return nil, false
}

func exact(text string, kind value.Kind) (json.RawMessage, bool) {
	raw, ok := value.Parse(text)
	raw = value.Trim(raw)
	if !ok || value.KindOf(raw) != kind {
		return nil, false
	}
	return raw, true
}

func opening(kind value.Kind) string {
	if kind == value.List {
		return "["
	}
	return "{"
}

// within finds the last JSON of a kind that is no part of another one.
func within(text string, kind value.Kind) (found json.RawMessage, ok bool) {
	for range maxStarts {
		start := strings.Index(text, opening(kind))
		if start < 0 {
			break
		}
		text = text[start:]
		var raw json.RawMessage
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&raw); err != nil {
			text = text[1:]
			continue
		}
		// What looks like a reference, [1], is none of what was asked for when something larger is there.
		if !ok || len(raw) >= len(found) || kind == value.Object {
			found, ok = raw, true
		}
		text = text[len(raw):]
	}
	return found, ok
}

// repaired mends what is between the first opening bracket and the last closing one, or the end where the model was
// cut off.
func repaired(text string, kind value.Kind) (found json.RawMessage, ok bool) {
	start := strings.Index(text, opening(kind))
	if start < 0 || len(text) > maxRepair {
		return nil, false
	}
	text = text[start:]
	closing := map[value.Kind]string{value.Object: "}", value.List: "]"}[kind]
	ends := []int{len(text)}
	if end := strings.LastIndex(text, closing); end >= 0 {
		ends = []int{end + 1, len(text)}
	}
	for _, end := range ends {
		if found, ok := repair(text[:end], kind); ok {
			return found, true
		}
	}
	return nil, false
}

func repair(text string, kind value.Kind) (found json.RawMessage, ok bool) {
	if depth(text) > maxDepth {
		return nil, false
	}
	defer func() { // the library reads what strangers write
		if recover() != nil {
			found, ok = nil, false
		}
	}()
	mended, err := jsonrepair.Repair(text)
	if err != nil {
		return nil, false
	}
	found, ok = exact(mended, kind)
	return bytes.ToValidUTF8(found, []byte("\uFFFD")), ok
}

// depth is how deep brackets lie in each other, those in strings too: nobody knows where strings end in broken JSON.
func depth(text string) (deepest int) {
	now := 0
	for _, c := range []byte(text) {
		switch c {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now = max(now-1, 0)
		}
	}
	return deepest
}
