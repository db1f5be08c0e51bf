package blocktest_test

import (
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// BenchmarkRun measures round trips of small and large values through a plugin process.
func BenchmarkRun(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"800B", 800}, {"10MB", 10 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			p := blocktest.Start(b, trial, nil)
			input := `{"value":"` + strings.Repeat("x", size.bytes) + `"}`
			b.SetBytes(int64(size.bytes))
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := p.Run(b.Context(), "Echo", input); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
