package collector

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The limit is the process's, so that no other test of this package may set or read it.
func TestLimitFollowsWhatLives(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	tune()
	if limit := debug.SetMemoryLimit(-1); limit != aim {
		t.Fatalf("at first the limit is %d MB, want %d", limit/mb, aim/mb)
	}
	living := make([]byte, 400*mb)
	await(t, "room beside what lives", func(limit int64) bool { return limit > 480*mb && limit < 700*mb })
	runtime.KeepAlive(living)
	await(t, "the aim again", func(limit int64) bool { return limit == aim })
}

// await collects until the limit is as wanted.
func await(t *testing.T, what string, wanted func(limit int64) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		runtime.GC()
		limit := debug.SetMemoryLimit(-1)
		if wanted(limit) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the limit is %d MB", what, limit/mb)
		}
	}
}

const mb = 1 << 20

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		m    memory
		want int64
	}{
		{"a quiet server", memory{mapped: 60 * mb, objects: 30 * mb, free: 5 * mb, live: 20 * mb}, aim},
		{"many clients", memory{mapped: 180 * mb, objects: 60 * mb, free: 10 * mb, live: 60 * mb}, (110 + 78) * mb},
		{"what is in reserve and garbage does not count", memory{mapped: 900 * mb, objects: 500 * mb, free: 300 * mb, live: 20 * mb}, aim},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := memoryLimit(c.m); got != c.want {
				t.Errorf("%d MB, want %d MB", got/mb, c.want/mb)
			}
		})
	}
}
