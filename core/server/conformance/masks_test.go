package conformance

// hidden is a child whose pair has a constant.
var hidden = map[string]scenario{"child": {nodes: "text IN\np PAIR {\"b\":\"constant\"}\npair OUT", links: `text.result => p.a
	p.pair -> pair.value`}}

// Input masks: C96, and the rules of 4.8 beside it. Each is retried too, with its masks.
var masks = []scenario{
	{
		id: "C96", nodes: `e ECHO {"in":1}
			m EMIT {"script":[["q",1]]}
			pair PAIR`,
		links: `e.out -> pair.a
			m.p -> pair.b`,
		masks: `{"pair":{"b":5},"nobody":{"x":1}}`,
		want:  "pair: [1,5]",
	},
	{
		id: "C96each", nodes: `e EMIT {"script":[["p",1],["p",2]]}
			pair PAIR {"b":"constant"}`,
		links: "e.p -> pair.a",
		masks: `{"pair":{"b":1e400}}`,
		want: `e: *1
			pair: [1,1e400] [2,1e400]`,
	},
	{id: "C96start", nodes: `e ECHO {"in":1}`, masks: `{"e":{"in":9}}`, want: "e: 9"},
	{id: "C96required", nodes: "e ECHO", masks: `{"e":{"in":9}}`, want: "e: 9"},
	{id: "C96null", nodes: "e ECHO", masks: `{"e":{"in":null}}`, want: "refused e.in This field is required"},
	{id: "C96unfit", nodes: "m MODE", masks: `{"m":{"m":"z"}}`, want: "refused m.m one of"},
	{
		id: "C96dynamic", nodes: "x IN\n" + `d DICT {"values":{"c":1}}`, links: "x.result => d.values_#_a", inputs: `{"x":1}`,
		masks: `{"d":{"values_#_a":2,"values_#_b":3}}`, want: `d: {"c":1,"a":2,"b":3}`,
	},
	{
		id: "C96input", nodes: "x IN\ny OUT", links: "x.result => y.value",
		masks: `{"x":{"value":3}}`, want: `outputs {"y":[3]}`,
	},
	{
		id: "C96linked", nodes: `e ECHO {"in":1}` + "\nx IN\ny OUT", links: "e.out -> x.value\nx.result => y.value",
		inputs: `{"x":1}`, masks: `{"x":{"value":3}}`, want: `x: 3 3
			y: *2
			outputs {"y":[3,3]}`,
	},
	{
		id: "C96down", nodes: "t IN\na AGENT:child\ns OUT", links: "t.result => a.text\na.pair -> s.value",
		inputs: `{"t":"hi"}`, children: hidden, masks: `{"p":{"b":"down"}}`, want: `outputs {"s":[["hi","down"]]}`,
	},
	{
		id: "C96own", nodes: "t IN\n" + `a AGENT:child {"nodes_input_masks":{"p":{"b":"own"}}}` + "\ns OUT", links: "t.result => a.text\na.pair -> s.value",
		inputs: `{"t":"hi"}`, children: hidden, want: `outputs {"s":[["hi","own"]]}`,
	},
	{
		id: "C96both", nodes: "t IN\n" + `a AGENT:child {"nodes_input_masks":{"p":{"a":"own","b":"own"}}}` + "\ns OUT", links: "t.result => a.text\na.pair -> s.value",
		inputs: `{"t":"hi"}`, children: hidden, masks: `{"p":{"b":"down"},"a":{"text":"masked"}}`, want: `outputs {"s":[["own","down"]]}`,
	},
}
