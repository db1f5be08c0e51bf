//go:build !race

package jinja

import "golang.org/x/sys/unix"

// limitAddressSpace is the backstop behind watchHeap for single huge allocations. Under 1 GiB Go does not run.
func limitAddressSpace() {
	_ = unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: 2 << 30, Max: 2 << 30}) // without it watchHeap has to do
}
