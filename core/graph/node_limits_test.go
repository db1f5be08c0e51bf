package graph_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/graph"
)

func TestLimitsOfANode(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]graph.NodeLimits{
		``:                                  {},
		`{}`:                                {},
		`{"position":{"x":1}}`:              {},
		`{"execution":null}`:                {},
		`{"execution":{}}`:                  {Backoff: time.Second},
		`{"execution":{"timeout":1.5}}`:     {Timeout: 1500 * time.Millisecond, Backoff: time.Second},
		`{"execution":{"attempts":3}}`:      {Attempts: 3, Backoff: time.Second},
		`{"a":1,"execution":{"backoff":0}}`: {},
		`{"execution":{"attempts":3.0,"timeout":null}}`: {Attempts: 3, Backoff: time.Second},
	} {
		n := graph.Node{Metadata: json.RawMessage(metadata)}
		if got, err := n.Limits(); err != nil || got != want {
			t.Errorf("%s: %+v, %v", metadata, got, err)
		}
	}
	for limits, want := range map[string]string{
		`3`: "expects an object", `{"timeout":"30"}`: "timeout must be a number", `{"tries":2}`: `has no "tries"`, `{"Timeout":1}`: `has no "Timeout"`, `{"timeout":0}`: "timeout must", `{"timeout":1e300}`: "timeout must",
		`{"attempts":0}`: "attempts must", `{"attempts":11}`: "attempts must", `{"attempts":1.5}`: "attempts must be a whole number", `{"backoff":-1}`: "backoff must", `{"backoff":1e9}`: "backoff must",
	} {
		n := graph.Node{Metadata: json.RawMessage(`{"execution":` + limits + `}`)}
		if _, err := n.Limits(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", limits, err)
		}
	}
}

func TestPausesGrow(t *testing.T) {
	t.Parallel()
	l := graph.NodeLimits{Attempts: 4, Backoff: time.Second}
	for _, test := range []struct {
		failed     int
		wish, want time.Duration
		ok         bool
	}{
		{1, 0, time.Second, true}, {2, 0, 2 * time.Second, true}, {3, 0, 4 * time.Second, true}, {4, 0, 0, false},
		{1, time.Minute, time.Minute, true}, {1, 24 * time.Hour, 0, false},
	} {
		if got, ok := l.Pause(test.failed, test.wish); got != test.want || ok != test.ok {
			t.Errorf("after %d: %v %v", test.failed, got, ok)
		}
	}
	if _, ok := (graph.NodeLimits{}).Pause(1, 0); ok {
		t.Error("without attempts there is another one")
	}
}
