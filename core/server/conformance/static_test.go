package conformance

import "testing"

// Static links. What arrives first is a matter of who triggers whom.
var static = []scenario{
	{
		id: "C29", nodes: `e EMIT {"script":[["p",1],["p",2],["p",3],["q",9]]}
			s SECHO
			pair PAIR`,
		links: `e.p -> pair.a
			e.q -> s.in
			s.out => pair.b`,
		want: "pair: [1,9] [2,9] [3,9]",
	},
	{
		id: "C30", nodes: `s SECHO {"in":9}
			e EMIT {"script":[["p",1],["p",2],["p",3]]}
			pair PAIR`,
		links: `s.out => pair.b
			s.out => e.t
			e.p -> pair.a`,
		want: "pair: [1,9] [2,9] [3,9]",
	},
	{
		id: "C31", nodes: `e EMIT {"script":[["p",1],["q",9]]}
			s SECHO
			f EMIT {"script":[["p",2],["p",3]]}
			pair PAIR`,
		links: `e.p -> pair.a
			e.q -> s.in
			s.out => pair.b
			s.out => f.t
			f.p -> pair.a`,
		want: "pair: [1,9] [2,9] [3,9]",
	},
	{
		id: "C32", nodes: `s SEMIT {"script":[["p",1]]}
			u SEMIT {"script":[["p",10],["p",20]]}
			pair PAIR`,
		links: `s.p => pair.a
			u.p => pair.b`,
		want: "pair: [1,10] [1,20]",
	},
	{
		id: "C32a", nodes: `s SEMIT {"script":[["p",1],["q",0]]}
			u SEMIT {"script":[["p",10],["p",20]]}
			pair PAIR`,
		links: `s.p => pair.a
			s.q => u.t
			u.p => pair.b`,
		want: "pair: [1,10] [1,20]",
	},
	{
		id: "C32b", nodes: `s SEMIT {"script":[["p",1]]}
			u SEMIT {"script":[["p",10],["p",20],["q",0]]}
			pair PAIR`,
		links: `s.p => pair.a
			u.p => pair.b
			u.q => s.t`,
		want: "pair: [1,10] [1,20]",
	},
	{
		id: "C33", nodes: `u SEMIT {"script":[["p",10],["p",20],["q",0]]}
			e EMIT {"script":[["p",1],["p",2],["p",3]]}
			pair PAIR`,
		links: `u.p => pair.b
			u.q => e.t
			e.p -> pair.a`,
		want: "pair: [1,10] [2,20] [3,20]",
	},
	{
		id: "C34", nodes: `a SECHO {"in":4}
			b SECHO {"in":4}
			c SECHO {"in":4}
			d SECHO {"in":5}
			add ADD`,
		links: `a.out -> add.a
			b.out -> add.a
			c.out -> add.a
			d.out => add.b`,
		want: "add: 9 9 9",
	},
	{
		id: "C34fed", nodes: `a SECHO {"in":4}
			b SECHO {"in":4}
			c SECHO {"in":4}
			f SECHO {"in":5}
			d SECHO
			add ADD`,
		links: `a.out -> add.a
			b.out -> add.a
			c.out -> add.a
			f.out => d.in
			d.out => add.b`,
		want: "add: 9 9 9",
		check: func(t *testing.T, d *details) {
			if d.Stats.Total != 8 {
				t.Errorf("%d node executions", d.Stats.Total)
			}
		},
	},
	{ // a link that only the client calls static
		id: "C35acts", nodes: `e ECHO {"in":9}
			m EMIT {"script":[["p",1],["p",2]]}
			pair PAIR`,
		links: `e.out => pair.b
			m.p -> pair.a`,
		want: "pair: [1,9] [2,9]",
	},
	{
		id: "C36", nodes: `s SEMIT {"script":[]}
			e ECHO {"in":1}
			pair PAIR`,
		links: `s.p => pair.b
			e.out -> pair.a`,
		want: `s: -
			pair: none
			waiting pair a|b`,
	},
	{
		id: "C37", nodes: `e EMIT {"script":[["p",1],["p",2],["q",5]]}
			s SECHO
			u SECHO
			t TRIPLE`,
		links: `e.p -> t.a
			e.q -> s.in
			s.out => t.b
			s.out => u.in
			u.out => t.c`,
		want: "t: [1,5,5] [2,5,5]",
	},
	{
		id: "C37waits", nodes: `e EMIT {"script":[["p",1],["p",2],["q",5]]}
			s SECHO
			u SEMIT {"script":[]}
			t TRIPLE`,
		links: `e.p -> t.a
			e.q -> s.in
			s.out => t.b
			s.out => u.t
			u.p => t.c`,
		want: `u: -
			t: none
			waiting t a,b|c
			waiting t a|b,c`,
	},
	{
		id: "C38", nodes: `x IN
			e EMIT {"script":[["p",1],["p",2]]}
			pair PAIR`,
		links: `x.result => pair.b
			e.p -> pair.a`,
		inputs: `{"x":"k"}`, want: `pair: [1,"k"] [2,"k"]`,
	},
	{
		id: "C102", nodes: `s SECHO {"in":1}
			e EMIT {"script":[["p",10],["q",0]]}
			f EMIT {"script":[["p",5],["q",0]]}
			g EMIT {"script":[["p",20],["p",30]]}
			pair PAIR`,
		links: `s.out => pair.a
			s.out => e.t
			e.p -> pair.b
			e.q -> f.t
			f.p -> pair.a
			f.q -> g.t
			g.p -> pair.b`,
		want: "pair: [1,10] [5,20] [5,30]",
	},
	{ // by the contract a node execution that failed for its input does not feed static pins
		id: "static-unfed", nodes: `e EMIT {"script":[["p",1],["q","x"],["p",2],["q","z"],["q","y"]]}
			mix MIX`,
		links: `e.p => mix.v
			e.q -> mix.m`,
		want: `mix: ["x",1] !m ["y",1]
			failed mix "m"`,
	},
	{
		id: "static-selected", nodes: `s SEMIT {"script":[["p",{"a":7}]]}
			e EMIT {"script":[["p",1],["p",2]]}
			pair PAIR`,
		links: `s.p_#_a => pair.b
			e.p -> pair.a`,
		want: "pair: [1,7] [2,7]",
	},
	{
		id: "static-dynamic", nodes: `s SECHO {"in":9}
			e EMIT {"script":[["p",1],["p",2]]}
			l LIST`,
		links: `s.out => l.items_$_1
			e.p -> l.items_$_0`,
		want: "l: [1,9] [2,9]",
	},
	{ // several static values that wait are taken one by one, then the last one stays
		id: "static-piled", nodes: `e EMIT {"script":[["p",1],["p",2],["q","x"],["q","y"],["q","x"],["p",3],["q","y"]]}
			mix MIX`,
		links: `e.p => mix.v
			e.q -> mix.m`,
		want: `mix: ["x",1] ["y",2] ["x",2] ["y",3]`,
	},
}
