package plugin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func FuzzValueIsCheckedAsTheStandardLibraryDoes(f *testing.F) {
	for _, s := range []string{
		``, ` `, `null`, `-0`, `01`, `1e400`, `"\ud800"`, `"\u00zz"`, "\"\x00\"", "\"\xff\"", `[1,]`, `{"a":1,"a":2}`, `{} {}`, ` {"a" : [ true ]} `,
		strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		`"` + strings.Repeat(`[\"`, 10_000) + `"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		if got, want := checkJSON(v) == nil, json.Valid(v) && utf8.Valid(v); got != want {
			t.Errorf("%q: %t, want %t", v, got, want)
		}
	})
}

func FuzzLinesAreLoggedWhateverTheyHold(f *testing.F) {
	f.Add([]byte(`{"@level":"warn","@message":"m","@timestamp":"x","a":1,"b":"c","d":{"e":[]}}`))
	f.Add([]byte(`{"@level":1,"@message":2}`))
	f.Add([]byte("panic: x\n\ngoroutine 1\n" + strings.Repeat("z", 300) + "\n\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var last tail
		n := 0
		lines(bufio.NewReaderSize(bytes.NewReader(b), 64), func(line []byte) {
			n++
			if e, ok := parseLogLine(line); ok && (!utf8.ValidString(e.message) || len(e.fields)%2 != 0) {
				t.Errorf("%q: %+v", line, e)
			}
			last.add(line)
		})
		if s := last.String(); !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			t.Errorf("tail %q", s)
		}
		if n > bytes.Count(b, []byte("\n"))+1 {
			t.Errorf("%d lines", n)
		}
	})
}

func FuzzManifestIsRefusedOrWhole(f *testing.F) {
	f.Add([]byte(`{"name":"p","version":"1","protocol":1}`))
	f.Add([]byte(`{"name":"../p","version":"","protocol":-1,"auto_mtls":"x"}`))
	folder := filepath.Join(f.TempDir(), "p")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "p"), nil, 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(folder, manifestName), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := inspect("p", folder); err == nil && (got.Name != "p" || got.Version == "" || got.Protocol != proto.Version) {
			t.Errorf("%q: %+v", b, got)
		}
	})
}

func TestTailKeepsWhyATraceFollows(t *testing.T) {
	t.Parallel()
	var last tail
	for _, line := range []string{"starting", "runtime: failed to create new OS thread (have 8 already; errno=11)", "fatal error: newosproc"} {
		last.add([]byte(line))
	}
	for range 1000 {
		last.add([]byte("goroutine 1 [running]:"))
	}
	if s := last.String(); !strings.HasPrefix(s, "runtime: failed to create new OS thread (have 8 already; errno=11)\n…\n") {
		t.Errorf("%.200q", s)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var last tail
	for range 1000 {
		last.add([]byte(strings.Repeat("a", 100)))
	}
	last.add([]byte(strings.Repeat("b", 20_000) + "end"))
	last.add([]byte("really"))
	if s := last.String(); !strings.HasSuffix(s, "bend\nreally") || strings.Contains(s, "a\n") || len(s) > tailSize+1 {
		t.Errorf("%d bytes: …%q", len(s), s[max(0, len(s)-20):])
	}
}
