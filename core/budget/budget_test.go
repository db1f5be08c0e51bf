package budget

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestBudgetIsSharedInTurn(t *testing.T) {
	t.Parallel()
	// Each step is a user who takes so many bytes, or with a dash before it the one who held them and gives them back.
	for name, c := range map[string]struct {
		steps []string
		held  string
	}{
		"what fits":                               {[]string{"ann 10", "bob 20", "eve 30"}, "ann 10, bob 20, eve 30"},
		"a share is all that one user gets":       {[]string{"ann 30", "ann 20"}, "ann 30"},
		"who has none left stops nobody":          {[]string{"ann 40", "ann 1", "bob 40"}, "ann 40, bob 40"},
		"who holds nothing waits for nobody":      {[]string{"ann 40", "bob 40", "eve 30"}, "ann 40, bob 40, eve 30"},
		"all together":                            {[]string{"ann 40", "bob 20", "eve 20", "bob 11"}, "ann 40, bob 20, eve 20"},
		"what was given back":                     {[]string{"ann 40", "bob 20", "eve 20", "bob 11", "-eve 20"}, "ann 40, bob 11, bob 20"},
		"first come, first served":                {[]string{"ann 40", "bob 20", "eve 20", "bob 11", "eve 5"}, "ann 40, bob 20, eve 20"},
		"but not before who holds nothing":        {[]string{"ann 40", "bob 20", "eve 20", "bob 11", "dan 40"}, "ann 40, bob 20, dan 40, eve 20"},
		"and both when there is room":             {[]string{"ann 40", "bob 20", "eve 20", "bob 11", "eve 5", "-ann 40"}, "bob 11, bob 20, eve 20, eve 5"},
		"one that is too large passes as a share": {[]string{"ann 40", "bob 900"}, "ann 40, bob 900"},
		"but not beside others of its user":       {[]string{"ann 1", "ann 900"}, "ann 1"},
		"in turn with others of its user":         {[]string{"ann 40", "ann 30", "ann 5", "-ann 40"}, "ann 30, ann 5"},
		"who gives up leaves the line":            {[]string{"ann 40", "bob 20", "eve 20", "bob 11", "eve 5", "-bob 11"}, "ann 40, bob 20, eve 20, eve 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := New(90, 40)
				var mu sync.Mutex // two may be let in at once
				held := map[string]bool{}
				hold := func(step string, holds bool) {
					mu.Lock()
					defer mu.Unlock()
					if held[step] = holds; !holds {
						delete(held, step)
					}
				}
				ends := map[string]context.CancelFunc{}
				for _, step := range c.steps {
					if end, ok := ends[strings.TrimPrefix(step, "-")]; ok {
						end()
						synctest.Wait()
						continue
					}
					ctx, end := context.WithCancel(t.Context())
					ends[step] = end
					go func() {
						user, bytes := parse(step)
						release, err := b.Take(ctx, user, bytes)
						if errors.Is(err, context.Canceled) {
							return
						}
						hold(step, true)
						<-ctx.Done()
						hold(step, false)
						release()
						release() // again, which gives nothing back
					}()
					synctest.Wait()
				}
				mu.Lock()
				got := strings.Join(slices.Sorted(maps.Keys(held)), ", ")
				mu.Unlock()
				if got != c.held {
					t.Errorf("held are %s, want %s", got, c.held)
				}
				for _, end := range ends {
					end()
					synctest.Wait()
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.held != 0 || len(b.users) != 0 || len(b.waiting) != 0 {
					t.Errorf("at the end %d bytes are held, by %v, and %d wait", b.held, b.users, len(b.waiting))
				}
			})
		})
	}
}

// parse reads "user bytes".
func parse(step string) (user string, bytes int) {
	user, number, _ := strings.Cut(step, " ")
	for _, digit := range number {
		bytes = 10*bytes + int(digit-'0')
	}
	return user, bytes
}
