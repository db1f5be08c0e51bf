package conformance

import "fmt"

// raised is the value on an error pin (execution.md 4.10).
func raised(block, message string) string {
	return fmt.Sprintf("raised by %s with message: %s. block_id: %s", block, message, blockIDs[block])
}

// Errors. By the contract an execution FAILED where a failure is not handled.
var failures = []scenario{
	{
		id: "C55", nodes: `e ECHO {"in":1}
			f FAIL`,
		links: "e.out -> f.in",
		want: `f: !boom
			failed f boom`,
	},
	{
		id: "C56", nodes: `f FAIL {"in":1}
			e OUT`,
		links: "f.error -> e.value",
		want: `f: !boom
			outputs {"e":["` + raised("FAIL", "boom") + `"]}`,
	},
	{
		id: "C57", nodes: `h HALF {"in":5}
			o OUT
			e OUT`,
		links: `h.out -> o.value
			h.error -> e.value`,
		want: `h: !late@{"out":[5]}
			outputs {"o":[5],"e":["` + raised("HALF", "late") + `"]}`,
	},
	{
		id: "C58", nodes: `f FAIL {"in":1}
			a ECHO {"in":1}
			b ECHO
			c ECHO
			y OUT`,
		links: `a.out -> b.in
			b.out -> c.in
			c.out -> y.value`,
		want: `f: !boom
			failed f boom
			outputs {"y":[1]}`,
	},
	{
		id: "C59", nodes: `p PANIC {"in":1}
			h PANIC {"in":1}
			e ECHO`,
		links: "h.error -> e.in",
		want: `p: !alarm
			h: !alarm
			failed p alarm`,
	},
	{
		id: "C60", nodes: `b BADOUT {"in":1}
			e ECHO`,
		links: "b.n -> e.in",
		want: `b: !invalid_output
			e: none
			failed b invalid output`,
	},
	{
		id: "C61", nodes: `e EMIT {"script":[["p",1],["p",2],["p",3]]}
			o ODD
			y OUT`,
		links: `e.p -> o.in
			o.out -> y.value`,
		want: `o: 1 !two 3
			y: *2
			failed o two
			outputs {"y":[1,3]}`,
	},
	{
		id: "C62", nodes: `s SFAIL {"in":1}
			e ECHO {"in":1}
			pair PAIR`,
		links: `s.out => pair.b
			e.out -> pair.a`,
		want: `s: !boom
			pair: none
			failed s boom
			waiting pair a|b`,
	},
	{
		id: "C103", nodes: `e ECHO {"in":"z"}
			m MODE
			f ECHO`,
		links: `e.out -> m.m
			e.out -> f.in`,
		want: `m: !"m"
			f: "z"
			failed m "m"`,
	},
	{ // the first unhandled failure is the execution's, whatever was handled before
		id: "first", nodes: `f FAIL {"in":1}
			g FAIL
			h FAIL
			i FAIL`,
		links: `f.error -> g.in
			g.error -> h.in
			h.error -> i.in`,
		want: `f: !boom
			g: !boom
			h: !boom
			i: !boom
			failed i boom`,
	},
}

// Cycles.
var cycles = []scenario{
	{
		id: "C63", nodes: `s SECHO {"in":0}
			add ADD {"b":1}
			lt LT {"limit":3}
			r OUT`,
		links: `s.out => add.a
			add.sum -> lt.x
			lt.yes -> add.a
			lt.no -> r.value`,
		want: `add: 1 2 3
			lt: @{"yes":[1]} @{"yes":[2]} @{"no":[3]}
			outputs {"r":[3]}`,
	},
	{
		id: "C64", nodes: `s SECHO {"in":0}
			b ECHO {"in":1}
			add ADD
			lt LT {"limit":3}
			r OUT`,
		links: `s.out => add.a
			b.out -> add.b
			add.sum -> lt.x
			lt.yes -> add.a
			lt.no -> r.value`,
		want: `add: 1
			lt: 1
			r: none
			waiting add a|b`,
	},
	{
		id: "C65", nodes: `s SECHO {"in":0}
			b SECHO {"in":1}
			add ADD
			lt LT {"limit":3}
			r OUT`,
		links: `s.out => add.a
			b.out => add.b
			add.sum -> lt.x
			lt.yes -> add.a
			lt.no -> r.value`,
		want: `add: 1 2 3
			lt: *3
			outputs {"r":[3]}`,
	},
	{
		id: "C65long", nodes: `s SECHO {"in":0}
			add ADD {"b":1}
			lt LT {"limit":60}
			r OUT`,
		links: `s.out => add.a
			add.sum -> lt.x
			lt.yes -> add.a
			lt.no -> r.value`,
		want: `add: *60
			lt: *60
			outputs {"r":[60]}`,
	},
}
