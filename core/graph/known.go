package graph

import (
	_ "embed"
	"strings"
	"sync"
)

// knownList names the blocks that agent files refer to, a line each: id, space, name; then, behind a tab, the plugin
// that brings it, where one is known. make generate fills in the plugins of this repository.
//
//go:embed known_blocks.txt
var knownList string

// knownBlock is what can be said of a block that is not there.
type knownBlock struct{ name, plugin string }

// knownBlocks finds them by id.
var knownBlocks = sync.OnceValue(func() map[string]knownBlock {
	known := map[string]knownBlock{}
	for line := range strings.Lines(knownList) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name, plugin, _ := strings.Cut(rest, "\t")
		known[id] = knownBlock{name, plugin}
	}
	return known
})
