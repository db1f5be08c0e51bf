package graph

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// Those who ask at once are answered by few questions, each with what is theirs, and nobody with what was true before he
// asked.
func TestStatesOfManyWhoAskAtOnce(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			user := fmt.Sprintf("user %d, \"o'hara\" \\ {é}", i)
			g := create(t, s, user, fmt.Sprintf(one, "1"))
			for version := 1; version <= 4; version++ {
				if got, err := s.states.state(t.Context(), user, g.ID); err != nil || got.latest != version {
					t.Errorf("%s has version %d, %v; not %d", user, got.latest, err, version)
				}
				if _, err := s.states.state(t.Context(), user+"x", g.ID); !errors.Is(err, ErrNotFound) {
					t.Errorf("somebody else found the graph: %v", err)
				}
				if _, _, err := s.Update(t.Context(), user, g.ID, []byte(fmt.Sprintf(one, "2")), Options{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Who leaves while he waits leaves the turn to whoever comes next.
func TestStatesOutliveThoseWhoLeave(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	g := create(t, s, "u", fmt.Sprintf(one, "1"))
	gone, leave := context.WithCancel(t.Context())
	leave()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := s.states.state(gone, "u", g.ID); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		all.Go(func() {
			if got, err := s.states.state(t.Context(), "u", g.ID); err != nil || got.latest != 1 {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	all.Wait()
	if _, err := s.states.state(t.Context(), "u", uuid.NewString()); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
