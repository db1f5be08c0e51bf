package graph

import (
	"container/list"
	"sync"
)

// cache keeps decoded graph versions, which never change, so that executing one again neither reads nor decodes it.
// Whether it is still there, and which version is active, is another question: another server may have changed that.
type cache struct {
	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	order   *list.List // of *cacheEntry, used last first
	size    int        // bytes of documents
	drops   int
}

const (
	maxCacheSize = 32 << 20
	maxEntrySize = 8 << 20
	entryCost    = 1 << 10 // of an empty document
)

type cacheKey struct {
	id      string
	version int
}

type cacheEntry struct {
	graph *Graph
	size  int
}

func newCache() *cache { return &cache{entries: map[cacheKey]*list.Element{}, order: list.New()} }

// confirm finds an entry after the database was asked which version is active.
func (c *cache) confirm(id string, version int, user string, active int) (*Graph, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.find(id, version, user)
	if !ok || e.graph.IsActive != (version == active) {
		return nil, false
	}
	return e.graph, true
}

// lasting finds an entry of whatever user and age.
func (c *cache) lasting(id string, version int) (*Graph, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[cacheKey{id, version}]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(element)
	return element.Value.(*cacheEntry).graph, true
}

func (c *cache) find(id string, version int, user string) (*cacheEntry, bool) {
	element, ok := c.entries[cacheKey{id, version}]
	if !ok {
		return nil, false
	}
	e := element.Value.(*cacheEntry)
	if e.graph.UserID != user {
		return nil, false
	}
	c.order.MoveToFront(element)
	return e, true
}

// mark is taken before reading what put is to keep.
func (c *cache) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

// put keeps what was read, unless something was dropped since mark: it could be what was read.
func (c *cache) put(mark int, g *Graph, size int) {
	size += entryCost
	c.mu.Lock()
	defer c.mu.Unlock()
	if mark != c.drops || size > maxEntrySize {
		return
	}
	key := cacheKey{g.ID, g.Version}
	c.remove(key)
	c.entries[key] = c.order.PushFront(&cacheEntry{graph: g, size: size})
	c.size += size
	for c.size > maxCacheSize {
		last := c.order.Back().Value.(*cacheEntry).graph
		c.remove(cacheKey{last.ID, last.Version})
	}
}

// drop forgets all versions of a graph.
func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for key := range c.entries {
		if key.id == id {
			c.remove(key)
		}
	}
}

func (c *cache) remove(key cacheKey) {
	if element, ok := c.entries[key]; ok {
		c.size -= element.Value.(*cacheEntry).size
		c.order.Remove(element)
		delete(c.entries, key)
	}
}
