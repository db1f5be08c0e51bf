package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// health answers for the server while it starts, serves and stops.
type health struct {
	state atomic.Pointer[healthState]
}

// healthState is what is asked for readiness; nil parts are not there yet.
type healthState struct {
	notReady string // why not, whatever the parts say; empty while serving
	db       *bun.DB
	bus      func() error // nil where there is none
	plugins  func() []plugin.Status
}

const pingLimit = 2 * time.Second

func newHealth() *health {
	h := &health{}
	h.set(healthState{notReady: "the server is starting"})
	return h
}

func (h *health) set(s healthState) { h.state.Store(&s) }

func (h *health) stopping() {
	s := *h.state.Load()
	s.notReady = "the server is shutting down"
	h.set(s)
}

// alive is GET /healthz.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"status": "alive"})
}

type pluginHealth struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Error   string `json:"error,omitempty"`
	// Of one that dies again and again, however it fares at this moment.
	Deaths    int           `json:"deaths,omitempty"` // in the last hour
	LastDeath *plugin.Death `json:"last_death,omitempty"`
}

// ready is GET /readyz. A plugin that fails is named; its blocks fail, and everything else works.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	s := h.state.Load()
	var reasons []string
	if s.notReady != "" {
		reasons = append(reasons, s.notReady)
	}
	if s.db != nil {
		ctx, cancel := context.WithTimeout(r.Context(), pingLimit)
		defer cancel()
		if _, err := s.db.ExecContext(ctx, "SELECT 1"); err != nil {
			reasons = append(reasons, "the database does not answer")
		}
	}
	if s.bus != nil {
		if err := s.bus(); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	plugins := []pluginHealth{}
	if s.plugins != nil {
		for _, p := range s.plugins() {
			one := pluginHealth{Name: p.Name, Version: p.Version, State: string(p.State), Error: p.Error}
			if p.Frail() {
				one.Deaths, one.LastDeath = p.Deaths, p.LastDeath
			}
			plugins = append(plugins, one)
		}
	}
	if len(reasons) > 0 {
		p := problem.Unavailable("the server is not ready: " + reasons[0])
		p.Details = map[string]any{"reasons": reasons, "plugins": plugins}
		problem.Write(w, p)
		return
	}
	answer(w, map[string]any{"status": "ready", "plugins": plugins})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs no answer
}
