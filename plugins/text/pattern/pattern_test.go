package pattern

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	status := m.Run()
	regexp2.StopTimeoutClock()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// all gives for every match what each of its groups took, nil for nothing.
func all(ctx context.Context, pattern, text string, options Options, groups int) ([][]*string, error) {
	var matches [][]*string
	for group := range groups {
		i := 0
		err := Find(ctx, pattern, text, options, group, func(found []rune, ok bool) bool {
			if group == 0 {
				matches = append(matches, nil)
			}
			var taken *string
			if ok {
				s := string(found)
				taken = &s
			}
			matches[i] = append(matches[i], taken)
			i++
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return matches, nil
}

// The file holds what CPython 3.11 finds, or that it refuses the pattern.
func TestFindsWhatPythonFinds(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Pattern    string
		Text       string
		IgnoreCase bool `json:"ignore_case"`
		DotAll     bool `json:"dot_all"`
		Matches    [][]*string
		Error      bool
	}
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		groups := 1
		if len(c.Matches) > 0 {
			groups = len(c.Matches[0])
		}
		got, err := all(t.Context(), c.Pattern, c.Text, Options{IgnoreCase: c.IgnoreCase, DotAll: c.DotAll}, groups)
		if (err != nil) != c.Error {
			t.Errorf("%q: error %v, want one: %v", c.Pattern, err, c.Error)
		}
		if len(got)+len(c.Matches) > 0 && !reflect.DeepEqual(got, c.Matches) {
			t.Errorf("%q on %q: got %s, want %s", c.Pattern, c.Text, encoded(t, got), encoded(t, c.Matches))
		}
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func find(ctx context.Context, pattern, text string) error {
	return Find(ctx, pattern, text, Options{}, 0, func([]rune, bool) bool { return true })
}

func TestCatastrophicPatternEndsInTime(t *testing.T) {
	t.Parallel()
	began := time.Now()
	err := find(t.Context(), `(a+)+$`, strings.Repeat("a", 40)+"b")
	if took := time.Since(began); !errors.Is(err, ErrTimeLimit) || took > 3*TimeLimit {
		t.Errorf("%v after %s", err, took)
	}
}

func TestDeadlineOfTheRunComesFirst(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := find(ctx, `(a+)+$`, strings.Repeat("a", 40)+"b"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestEmptyMatchesWithoutEndStopWhenCancelled(t *testing.T) {
	t.Parallel()
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	err := Find(ctx, ``, strings.Repeat("a", 1000), Options{}, 0, func([]rune, bool) bool {
		if n++; n == 10 {
			cancel(stopped)
		}
		return true
	})
	if !errors.Is(err, stopped) || n != 10 {
		t.Errorf("%v after %d matches", err, n)
	}
}

func TestPatternsThatWouldFillTheMemoryAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1_000_000)
	for pattern, text := range map[string]string{
		`(?:a??){2000000000}x`:                           "aaa",
		`(?:(?:(?:){1000}){1000}){1000}`:                 "",
		`(?:` + strings.Repeat(`(?:b|)`, 1000) + `a)*x`:  long,
		`(?:(?=((?:(a)|b)*))a)*x`:                        long,
		`(?:(?=(?:a|b)*)a)*x`:                            long,
		strings.Repeat(`(?:a|b)*`, 100) + `(?:(a)|b)*^x`: strings.Repeat(long, 60),
	} {
		if err := find(t.Context(), pattern, text); !errors.Is(err, ErrTooCostly) {
			t.Errorf("%.40s: %v", pattern, err)
		}
	}
	for _, pattern := range []string{`(?:[^"\\]|\\.)*`, `((a)|b|c)*$`, `(?s)(?:(?!</x>).)*`, `(\w+\s*)+`, `.{1,1000000}`} {
		// How long a search takes is the machine's matter; that it is tried is ours.
		if err := find(t.Context(), pattern, long[:100_000]); errors.Is(err, ErrTooCostly) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestMalformedPatternsAreRefused(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		`(a`: "character 2: a group does not end", `a{99999999999}`: "too large", `\N{DASH}`: "there is no character named",
		strings.Repeat("(", 500): "nested", strings.Repeat("a", maxPattern+1): "longer than", `(?<n>a)`: "(?<",
	} {
		if err := find(t.Context(), pattern, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %v, want %s", pattern, err, want)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, seed := range []string{`(?P<a>x)(?P=a)|[^\W\d]`, `(?i-s:a{,2}+)\b`, `(?(1)a|b)(c)`, `[]\x00-\U0010ffff]`, `\ud800`, `(?x) a # b`} {
		f.Add(seed, "ab\nx1 é", false, true)
	}
	f.Fuzz(func(t *testing.T, pattern, text string, ignoreCase, dotAll bool) {
		if len(text) > 100 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		n := 0
		err := Find(ctx, pattern, text, Options{ignoreCase, dotAll}, 0, func(found []rune, ok bool) bool {
			if n++; !ok || n > 2*len([]rune(text))+1 || !strings.Contains(string([]rune(text)), string(found)) {
				t.Fatalf("%q on %q: match %d is %q", pattern, text, n, string(found))
			}
			return true
		})
		if err != nil && strings.Contains(err.Error(), "cannot be used") {
			t.Fatalf("%q: %v", pattern, err)
		}
	})
}
