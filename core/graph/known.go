package graph

import (
	_ "embed"
	"strings"
	"sync"
)

// knownBlocks names the blocks that agent files refer to, so that a missing one can be told by its name.
//
//go:embed known_blocks.txt
var knownBlocks string

var blockNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for line := range strings.Lines(knownBlocks) {
		if id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			names[id] = name
		}
	}
	return names
})

// knownBlock is the name of a block by its id, empty for one that is not known.
func knownBlock(id string) string { return blockNames()[id] }
