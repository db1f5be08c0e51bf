package plugin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/patchbay-io/patchbay/core/block"
)

// catalogue is all blocks and providers at one moment. It is never changed: a new one takes its place.
type catalogue struct {
	byID   map[string]entry
	sorted []*block.Block

	providers       map[string]providerEntry // by name
	providersSorted []*Provider
}

type entry struct {
	block  *block.Block
	plugin *supervisor // nil: the core runs it
}

// Block finds a block by its id.
func (h *Host) Block(id string) (*block.Block, bool) {
	e, ok := h.catalogue.Load().byID[id]
	return e.block, ok
}

// Blocks are all blocks, sorted by name. The slice is shared and must not be changed.
func (h *Host) Blocks() []*block.Block { return h.catalogue.Load().sorted }

// Advice says how a block could be had that is not there: a clause, or nothing.
func (h *Host) Advice(block string) string {
	if advice := h.unset(block); advice != "" {
		return advice
	}
	if h.config.Advice == nil {
		return ""
	}
	return h.config.Advice(block)
}

// unset says which settings the plugin lacks that would bring a block.
func (h *Host) unset(block string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.plugins {
		if unset := s.lacks(block); unset != nil {
			return fmt.Sprintf("the plugin %q brings it and %v", s.name, unset)
		}
	}
	return ""
}

func (h *Host) advice(block string) string {
	if advice := h.Advice(block); advice != "" {
		return "; " + advice
	}
	return ""
}

func newCatalogue(builtin []*block.Block) (*catalogue, error) {
	c := &catalogue{byID: make(map[string]entry, len(builtin)), providers: map[string]providerEntry{}}
	for _, b := range builtin {
		if _, ok := c.byID[b.ID]; ok {
			return nil, fmt.Errorf("two built-in blocks have the id %s", b.ID)
		}
		c.byID[b.ID] = entry{block: b}
	}
	c.sort()
	return c, nil
}

func (c *catalogue) sort() {
	c.sorted = make([]*block.Block, 0, len(c.byID))
	for _, e := range c.byID {
		c.sorted = append(c.sorted, e.block)
	}
	slices.SortFunc(c.sorted, func(a, b *block.Block) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	c.nameProviders()
}

// without is the catalogue but for what a plugin offers, not sorted yet.
func (c *catalogue) without(s *supervisor) *catalogue {
	next := &catalogue{byID: maps.Clone(c.byID), providers: maps.Clone(c.providers)}
	maps.DeleteFunc(next.byID, func(_ string, e entry) bool { return e.plugin != nil && e.plugin == s })
	maps.DeleteFunc(next.providers, func(_ string, p providerEntry) bool { return p.plugin == s || p.plugin == nil })
	return next
}

// register puts what a plugin offers in the place of what it offered before. Blocks stay while their plugin is
// down, so that graphs that use them remain valid. A plugin that has been replaced or unloaded offers nothing.
func (h *Host) register(s *supervisor, o *offer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.life.Err() != nil {
		return errRetired
	}
	return h.offer(s, s, o)
}

// offer puts what the plugin s offers in the place of what another or itself did. h.mu is held.
func (h *Host) offer(s, instead *supervisor, o *offer) error {
	next := h.catalogue.Load().without(instead)
	for _, b := range o.blocks {
		if other, ok := next.byID[b.ID]; ok {
			owner := "the core"
			if other.plugin != nil {
				owner = "plugin " + other.plugin.name
			}
			return permanent(fmt.Errorf("block %q of plugin %s has the id %s of %q, which %s offers: only one of them can be enabled",
				b.Name, s.name, b.ID, other.block.Name, owner))
		}
		next.byID[b.ID] = entry{block: b, plugin: s}
	}
	settings, _, err := settingsFor(o.description, s.set)
	if err != nil {
		return err
	}
	if err := next.addProviders(s, o.configured(settings)); err != nil {
		return err
	}
	next.sort()
	h.catalogue.Store(next)
	return nil
}
