package conformance

import (
	"strings"
	"testing"
)

// Waiting, joining, multiplicity.
var joins = []scenario{
	{
		id: "C13", nodes: `e ECHO {"in":1}
			f ECHO {"in":2}
			pair PAIR {"a":0,"b":0}`,
		links: `e.out -> pair.a
			f.out -> pair.b`,
		want: "pair: [1,2]",
	},
	{
		id: "C14", nodes: `e ECHO {"in":1}
			o OPT`,
		links: "e.out -> o.a", want: "o: [1,10]",
	},
	{
		id: "C15", nodes: `e ECHO {"in":1}
			m EMIT {"script":[["q",1]]}
			o OPT`,
		links: `e.out -> o.a
			m.p -> o.b`,
		want: `o: none
			waiting o a|b`,
	},
	{
		id: "C16", nodes: `e EMIT {"script":[["p","p1"],["q","q1"],["p","p2"],["q","q2"]]}
			pair PAIR`,
		links: `e.p -> pair.a
			e.q -> pair.b`,
		want: `e: *1
			pair: ["p1","q1"] ["p2","q2"]`,
	},
	{
		id: "C17", nodes: `e EMIT {"script":[["p","p1"],["p","p2"],["q","q1"],["q","q2"]]}
			pair PAIR`,
		links: `e.p -> pair.a
			e.q -> pair.b`,
		want: `pair: ["p1","q1"] ["p2","q2"]`,
	},
	{
		id: "C18", nodes: `e EMIT {"script":[["p","p1"],["p","p2"],["p","p3"],["q","q1"],["q","q2"]]}
			pair PAIR`,
		links: `e.p -> pair.a
			e.q -> pair.b`,
		want: `pair: ["p1","q1"] ["p2","q2"]
			waiting pair a|b`,
	},
	{
		id: "C19", nodes: `e EMIT {"script":[["p",1],["p",2],["p",3]]}
			f ECHO
			y OUT`,
		links: `e.p -> f.in
			f.out -> y.value`,
		want: `f: 1 2 3
			y: *3
			outputs {"y":[1,2,3]}`,
	},
	{
		id: "C20", nodes: `e EMIT {"script":[["p",1],["p",2],["p",3]]}
			f ECHO {"in":9}
			pair PAIR`,
		links: `e.p -> pair.a
			f.out -> pair.b`,
		want: `pair: [1,9]
			waiting pair a|b
			waiting pair a|b`,
	},
	{
		id: "C21", nodes: `e ECHO {"in":1}
			f ECHO {"in":2}
			o OPT`,
		links: `e.out -> o.a
			f.out -> o.a`,
		want: "o%: [1,10] [2,10]",
	},
	{
		id: "C22", nodes: `e ECHO {"in":1}
			f ECHO {"in":2}
			g ECHO {"in":9}
			pair PAIR`,
		links: `e.out -> pair.a
			f.out -> pair.a
			g.out -> pair.b`,
		want: `pair: *1
			waiting pair a|b`,
		check: func(t *testing.T, d *details) {
			if got := string(d.of("pair")[0].output); got != `{"pair":[[1,9]]}` && got != `{"pair":[[2,9]]}` {
				t.Error(got)
			}
		},
	},
	{
		id: "C23", nodes: `e ECHO {"in":7}
			pair PAIR`,
		links: `e.out -> pair.a
			e.out -> pair.b`,
		want: "pair: [7,7]",
	},
	{
		id: "C24", nodes: `e ECHO {"in":7}
			f ECHO
			g ECHO`,
		links: `e.out -> f.in
			e.out -> g.in`,
		want: "f: 7\ng: 7",
	},
	{
		id: "C25", nodes: `e ECHO {"in":7}
			o OPT`,
		links: `e.out -> o.a
			e.out -> o.a`,
		want: "o: [7,10] [7,10]",
	},
	{
		id: "C26", nodes: `n NULL {"in":1}
			e ECHO`,
		links: "n.out -> e.in",
		want: `n: null
			e: none
			waiting e |in`,
	},
	{ // by the contract the place of the null stays taken
		id: "C26later", nodes: `m EMIT {"script":[["p",null],["p",5]]}
			e ECHO`,
		links: "m.p -> e.in",
		want: `e: 5
			waiting e |in`,
	},
	{
		id: "C26pair", nodes: `m EMIT {"script":[["p",null],["p",1],["q",8],["q",9]]}
			pair PAIR`,
		links: `m.p -> pair.a
			m.q -> pair.b`,
		want: `pair: [1,9]
			waiting pair b|a`,
	},
	{
		id: "C27", nodes: `n NULL {"in":1}
			e ECHO {"in":1}
			o OPT`,
		links: `n.out -> o.b
			e.out -> o.a`,
		want: "o: [1,10]",
		check: func(t *testing.T, d *details) {
			if in := compact(d.of("o")[0].Input); !strings.Contains(in, `"b":null`) {
				t.Errorf("input %s", in)
			}
		},
	},
	{
		id: "C28", nodes: `n NULL {"in":1}
			y OUT`,
		links: "n.out -> y.value", want: `outputs {"y":[null]}`,
	},
}
