//go:build race

package jinja

// limitAddressSpace does nothing: the race detector maps terabytes.
func limitAddressSpace() {}
