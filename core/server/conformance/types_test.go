package conformance

// Coercion and values that do not fit.
var types = []scenario{
	{
		id: "C50", nodes: `e ECHO {"in":"3"}
			f ECHO {"in":4}
			add ADD`,
		links: `e.out -> add.a
			f.out -> add.b`,
		want: "add: 7",
	},
	{
		id: "C50text", nodes: `e ECHO {"in":"abc"}
			f ECHO {"in":4}
			add ADD`,
		links: `e.out -> add.a
			f.out -> add.b`,
		want: "add: 4",
	},
	{id: "C51string", nodes: `e ECHO {"in":{"a":1}}` + "\ns STR", links: "e.out -> s.in", want: `s: "{\"a\": 1}"`},
	{id: "C51integer", nodes: `e ECHO {"in":[1,2,3]}` + "\ni INT", links: "e.out -> i.in", want: "i: 3"},
	{id: "C51yes", nodes: `e ECHO {"in":"yes"}` + "\nb BOOL", links: "e.out -> b.in", want: "b: false"},
	{id: "C51one", nodes: `e ECHO {"in":"1"}` + "\nb BOOL", links: "e.out -> b.in", want: "b: true"},
	{id: "C52list", nodes: `e ECHO {"in":"[1,2]"}` + "\nl LIST", links: "e.out -> l.items", want: "l: [1,2]"},
	{id: "C52text", nodes: `e ECHO {"in":"x"}` + "\nl LIST", links: "e.out -> l.items", want: `l: ["x"]`},
	{id: "C52object", nodes: `e ECHO {"in":{"k":1}}` + "\nl LIST", links: "e.out -> l.items", want: `l: [["k",1]]`},
	{ // C53, C54 by the contract: what does not fit fails, and says so
		id: "C53", nodes: `e ECHO {"in":"z"}` + "\nm MODE", links: "e.out -> m.m",
		want: `m: !"m"_expects
			failed m input "m" expects`,
	},
	{id: "C53constant", nodes: `m MODE {"m":"z"}`, want: "refused m.m expects"},
	{
		id: "C53kind", nodes: `e ECHO {"in":true}` + "\ni INT", links: "e.out -> i.in",
		want: `i: !integer
			failed i boolean`,
	},
	{
		id: "C54", nodes: `e EMIT {"script":[["p","z"],["p","x"]]}` + "\nm MODE", links: "e.p -> m.m",
		want: `m: !"m" "x"
			failed m "m"`,
	},
	{ // the join pairs as if the bad value were good
		id: "C54join", nodes: `e EMIT {"script":[["q","z"],["q","x"],["p",1],["p",2]]}
			mix MIX`,
		links: `e.p -> mix.v
			e.q -> mix.m`,
		want: `mix: !"m" ["x",2]
			failed mix "m"`,
	},
	{ // a bad value alone waits for its partner
		id: "C54alone", nodes: `e EMIT {"script":[["q","z"]]}
			mix MIX`,
		links: `e.p -> mix.v
			e.q -> mix.m`,
		want: `mix: none
			waiting mix m|v`,
	},
	{
		id: "C53handled", nodes: `e ECHO {"in":"z"}
			m MODE
			f ECHO`,
		links: `e.out -> m.m
			m.error -> f.in`,
		want: `m: !"m"
			f: *1`,
	},
	{ // values that no double holds
		id: "exact", nodes: `x IN
			e ECHO
			pair PAIR
			y OUT`,
		links: `x.result => e.in
			e.out -> pair.a
			x.result => pair.b
			pair.pair -> y.value`,
		inputs: `{"x":{"z":18446744073709551617,"a":1e400,"t":"\u0000<&>é"}}`,
		want:   `outputs {"y":[[{"z":18446744073709551617,"a":1e400,"t":"\u0000<&>é"},{"z":18446744073709551617,"a":1e400,"t":"\u0000<&>é"}]]}`,
	},
}
