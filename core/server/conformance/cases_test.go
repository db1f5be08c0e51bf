package conformance

import (
	"net/http"
	"testing"
)

// suites are the scenarios by what they are about.
var suites = map[string][]scenario{
	"basics":  basics,
	"joins":   joins,
	"static":  static,
	"dynamic": dynamic,
	"types":   types,
	"errors":  failures,
	"cycles":  cycles,
	"order":   order,
	"nested":  nested,
	"masks":   masks,
	"refused": refusals,
}

// Every scenario runs with blocks that have effects and with pure ones, which the scheduler may run ahead.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for name, h := range hosts {
		w := newWorld(t, h, 0)
		for suite, list := range suites {
			for _, s := range list {
				t.Run(name+"/"+suite+"/"+s.id, func(t *testing.T) {
					t.Parallel()
					w.play(t, &s)
				})
			}
		}
	}
}

// input is what an execution is asked for with, behind "input_data":.
func (s *scenario) input() string {
	inputs := s.inputs
	if inputs == "" {
		inputs = "{}"
	}
	if s.masks != "" {
		inputs += `,"nodes_input_masks":` + s.masks
	}
	return inputs
}

// play stores and executes a scenario and checks what comes of it.
func (w *world) play(t *testing.T, s *scenario) {
	t.Helper()
	c := w.client()
	want := parseExpectation(t, s.want)
	if want.unsaved != nil {
		checkRefusal(t, c.do(t, http.MethodPost, "/builder/graphs", s.document(t, nil)), want.unsaved)
		return
	}
	g := s.store(t, c)
	if want.refused != nil {
		checkRefusal(t, c.do(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", `{"input_data":`+s.input()+`}`), want.refused)
		return
	}
	d := w.finish(t, c, c.execute(t, g.ID, s.input()))
	want.check(t, s, d)
	if s.check != nil {
		s.check(t, d)
	}
	w.retried(t, c, s, d)
}
