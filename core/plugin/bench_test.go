package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// BenchmarkRun measures runs of a block that does nothing, and of one that gives an output of the size of a usual
// value back, in one process.
func BenchmarkRun(b *testing.B) {
	value := `{"value":"` + strings.Repeat("v", 850) + `"}`
	for _, c := range []struct{ name, block, input string }{
		{"nothing", blockNothing, `{}`},
		{"echo", blockEcho, value},
	} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", c.name, callers), func(b *testing.B) {
				h := start(b, "good")
				b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
				rc := &proto.RunContext{NodeExecutionId: "n", ExecutionId: "e", IdempotencyKey: "k", Attempt: 1}
				pid := h.status("good").PID
				b.ReportAllocs()
				b.ResetTimer()
				host, plugin := cpu(b, os.Getpid()), cpu(b, pid)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						r := h.Run(context.Background(), Run{
							Block: c.block, Input: json.RawMessage(c.input), Context: rc,
							Output: func(string, json.RawMessage) error { return nil },
						})
						if r.Err != nil || r.Crashed != nil {
							b.Errorf("%v %+v", r.Err, r.Crashed)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
				b.ReportMetric(float64((cpu(b, os.Getpid())-host).Microseconds())/float64(b.N), "host-µs/run")
				b.ReportMetric(float64((cpu(b, pid)-plugin).Microseconds())/float64(b.N), "plugin-µs/run")
			})
		}
	}
}

// cpu is the processor time that a process has used, where the system tells it.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkStart measures what a plugin takes from the start of its process until it is ready.
func BenchmarkStart(b *testing.B) {
	config := Config{Dirs: []string{install(b, "good")}}
	for b.Loop() {
		b.StopTimer()
		config.RuntimeDir = runtimeFolder(b)
		h, err := newHost(config, testPace())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		err = h.Start(b.Context())
		b.StopTimer()
		if st := h.Plugins(); err != nil || st[0].State != Ready {
			b.Fatalf("%v %+v", err, st)
		}
		h.Close()
		b.StartTimer()
	}
}
