package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestBombLeavesThePluginAlive(t *testing.T) {
	t.Parallel()
	p := blocktest.Start(t, blocktest.Build(t, "."), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for bomb, want := range map[string]string{
		`{{ 'a' * 2000000000 }}`: "memory",
		`{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}`: "did not end within",
	} {
		_, err := p.Run(ctx, "Fill Text Template", `{"values": {}, "format": "`+bomb+`"}`)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", bomb, err)
		}
	}
	values, err := p.Run(ctx, "Fill Text Template", `{"values": {"x": "alive"}, "format": "{{ x }}"}`)
	if err != nil || len(values) != 1 || string(values[0].Value) != `"alive"` || p.Exited() {
		t.Errorf("after the bombs: %v, %v", values, err)
	}
}

func TestRenderersDieWithThePlugin(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs /proc to find children")
	}
	p := blocktest.Start(t, blocktest.Build(t, "."), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := p.Run(ctx, "Fill Text Template", `{"values": {}, "format": "x"}`); err != nil {
		t.Fatal(err)
	}
	started := children(t, p.PID())
	if len(started) == 0 {
		t.Fatal("there is no renderer")
	}
	// One that is deep in a loop reads no request any more, and must see the end all the same.
	go func() {
		_, _ = p.Run(ctx, "Fill Text Template", `{"values": {}, "format": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"}`)
	}()
	for !busy(started) {
		if ctx.Err() != nil {
			t.Fatal("the renderer does not begin")
		}
		time.Sleep(10 * time.Millisecond)
	}
	plugin, err := os.FindProcess(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := plugin.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range started {
		for alive(pid) {
			if ctx.Err() != nil {
				t.Fatalf("renderer %s outlives its plugin", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// children gives the process ids of a process's children.
func children(t *testing.T, parent int) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range stats {
		fields := statFields(path)
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

// busy says whether one of the processes has used a tenth of a second of processor time.
func busy(pids []string) bool {
	for _, pid := range pids {
		if fields := statFields(filepath.Join("/proc", pid, "stat")); len(fields) > 11 {
			if ticks, err := strconv.Atoi(fields[11]); err == nil && ticks >= 10 {
				return true
			}
		}
	}
	return false
}

// alive says whether a process runs; a zombie does not.
func alive(pid string) bool {
	fields := statFields(filepath.Join("/proc", pid, "stat"))
	return len(fields) > 0 && fields[0] != "Z"
}

// statFields are the fields of a stat file from the state on.
func statFields(path string) []string {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	return strings.Fields(rest)
}
