package conformance

// Dynamic pins.
var dynamic = []scenario{
	{
		id: "C39", nodes: `e ECHO {"in":"A"}
			f ECHO {"in":"B"}
			l LIST`,
		links: `e.out -> l.items_$_1
			f.out -> l.items_$_0`,
		want: `l: ["B","A"]`,
	},
	{
		id: "C40", nodes: `e ECHO {"in":"Z"}
			l LIST`,
		links: "e.out -> l.items_$_2", want: `l: [null,null,"Z"]`,
	},
	{
		id: "C41", nodes: `e ECHO {"in":9}
			l LIST {"items":[1,2]}`,
		links: "e.out -> l.items_$_1", want: "l: [1,9]",
	},
	{
		id: "C42", nodes: `e ECHO {"in":2}
			d DICT {"values":{"x":1}}`,
		links: "e.out -> d.values_#_y", want: `d: {"x":1,"y":2}`,
	},
	{
		id: "C43", nodes: `e ECHO {"in":5}
			d DICT`,
		links: "e.out -> d.values_#_k_$_0", want: `d: {"k":[5]}`,
	},
	{id: "C44", nodes: `l LIST {"items_$_x":1}`, want: "refused l.items_$_x whole number"},
	{ // C44 by the contract: invalid input fails
		id: "C44fed", nodes: `e ECHO {"in":1}
			l LIST {"items_$_x":1}`,
		links: "e.out -> l.items_$_0",
		want: `l: !whole_number
			failed l whole number`,
	},
	{
		id: "C45", nodes: `e EMIT {"script":[["p",{"name":"n","l":[1,2]}]]}
			a ECHO
			b ECHO
			c ECHO
			d ECHO`,
		links: `e.p_#_name -> a.in
			e.p_#_l_$_1 -> b.in
			e.p_#_zzz -> c.in
			e.p_$_0 -> d.in`,
		want: `a: "n"
			b: 2
			c: none
			d: none`,
	},
	{ // an accident of the reference's that agents may rely on (execution.md 4.7)
		id: "C45negative", nodes: `e EMIT {"script":[["p",[1,2,3]]]}
			a ECHO
			b ECHO`,
		links: `e.p_$_-1 -> a.in
			e.p_$_-4 -> b.in`,
		want: "a: 3\nb: none",
	},
	{
		id: "C46", nodes: `e EMIT {"script":[["p",{"a":null}]]}
			y OUT`,
		links: "e.p_#_a -> y.value", want: "y: none",
	},
	{
		id: "C47", nodes: `e EMIT {"script":[["p",[1]],["p",[1,2]]]}
			f ECHO`,
		links: "e.p_$_1 -> f.in", want: "f: 2",
	},
	{
		id: "C48", nodes: `e EMIT {"script":[["p",1],["p",2]]}
			f EMIT {"script":[["p",3],["p",4]]}
			l LIST`,
		links: `e.p -> l.items_$_0
			f.p -> l.items_$_1`,
		want: "l: [1,3] [2,4]",
	},
	{
		id: "C49", nodes: `p PREFIX {"in":1}
			e ECHO
			f ECHO`,
		links: `p.foo -> e.in
			p.fo -> f.in`,
		want: "e: none\nf: 1",
	},
	{
		id: "C104", nodes: `e ECHO {"in":[1,2]}
			f ECHO {"in":3}
			l LIST`,
		links: `e.out -> l.items
			f.out -> l.items_$_2`,
		want: "l: [1,2,3]",
	},
	{ // the same with the base last
		id: "C104late", nodes: `f EMIT {"script":[["p",3],["q",[1,2]]]}
			l LIST`,
		links: `f.p -> l.items_$_2
			f.q -> l.items`,
		want: "l: [1,2,3]",
	},
}
