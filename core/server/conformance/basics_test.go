package conformance

import (
	"strings"
	"testing"
)

// Members of the input family.
const (
	numberInput = "96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98"
	toggleInput = "cbf36ab5-df4a-43b6-8a7f-f7ed8652116e"
	tableInput  = "5603b273-f41e-4020-af7d-fbc9c6a8d928"
)

// Basics.
var basics = []scenario{
	{
		id: "C01", nodes: "x IN\ny OUT", links: "x.result => y.value", inputs: `{"x":"hi"}`,
		want: `outputs {"y":["hi"]}
			x: "hi"
			y: @{"output":["hi"],"name":["y"]}`,
	},
	{ // C02 by the contract: a required input that is missing is an error
		id: "C02", nodes: "x IN\ny OUT", links: "x.result => y.value", want: `refused x.value required`,
	},
	{
		id: "C02null", nodes: "x IN\ny OUT", links: "x.result => y.value", inputs: `{"x":null}`,
		want: "x: -\ny: none",
	},
	{
		id: "C03", nodes: `x IN {"value":"d"}` + "\ny OUT", links: "x.result => y.value", want: `outputs {"y":["d"]}`,
	},
	{
		id: "C04", nodes: "x IN\ny OUT", links: "x.result => y.value", inputs: `{"x":"hi","zzz":1}`,
		want: `outputs {"y":["hi"]}`,
		check: func(t *testing.T, d *details) {
			if compact(d.Inputs) != `{"x":"hi","zzz":1}` {
				t.Errorf("inputs %s", d.Inputs)
			}
		},
	},
	{id: "C05zero", nodes: "x IN\ny OUT", links: "x.result => y.value", inputs: `{"x":0}`, want: `outputs {"y":[0]}`},
	{id: "C05false", nodes: "x IN\ny OUT", links: "x.result => y.value", inputs: `{"x":false}`, want: `outputs {"y":[false]}`},
	{id: "C05empty", nodes: "x IN\ny OUT", links: "x.result => y.value", inputs: `{"x":""}`, want: `outputs {"y":[""]}`},
	{
		id: "C06", nodes: "x IN\ny OUT " + `{"format":"<{{ y }}>"}`, links: "x.result => y.value", inputs: `{"x":"hi"}`,
		want: `outputs {"y":["hi"]}
			y: @{"output":["<hi>"]}`,
	},
	{
		id: "C06broken", nodes: "x IN\ny OUT " + `{"format":"{{ y"}`, links: "x.result => y.value", inputs: `{"x":"hi"}`,
		want: `outputs {"y":["hi"]}
			y: *1`,
		check: func(t *testing.T, d *details) {
			n := d.of("y")[0]
			if len(n.Output["output"]) != 1 || len(n.Output) != 1 {
				t.Errorf("a template that cannot be rendered gives %s", n.output)
			}
		},
	},
	{
		id: "C07", nodes: `a IN {"name":"x"}` + "\n" + `b IN {"name":"x"}` + "\ny OUT\nz OUT", inputs: `{"x":1}`,
		links: "a.result => y.value\nb.result => z.value",
		want:  `outputs {"y":[1],"z":[1]}`,
	},
	{id: "C08", nodes: `e ECHO {"in":1}`, want: `e: @{"out":[1]}`},
	{id: "C09", nodes: `y OUT {"value":5}`, want: `outputs {"y":[5]}`},
	{id: "C10", nodes: `n NOTE {"text":"hello"}`, want: `refused - nothing to start with`},
	{id: "C10more", nodes: `n NOTE {"text":"hello"}` + "\n" + `e ECHO {"in":1}`, want: `e: 1`},
	{id: "C11", nodes: "a ECHO\nb ECHO", links: "a.out -> b.in\nb.out -> a.in", want: `refused - nothing to start with`},
	{
		id: "C11more", nodes: "a ECHO\nb ECHO\n" + `c ECHO {"in":1}`, links: "a.out -> b.in\nb.out -> a.in",
		want: "a: none\nb: none\nc: 1",
	},
	{
		id: "C12", nodes: "a IN\nb IN\n" + `d DICT {"values_#_c":"!"}`, links: "a.result => d.values_#_a\nb.result => d.values_#_b", inputs: `{"a":1,"b":[2]}`,
		want: `d: *1`,
		check: func(t *testing.T, d *details) {
			n := d.of("d")[0]
			for _, part := range []string{`"values_#_a":1`, `"values_#_b":[2]`, `"values_#_c":"!"`, `"values":{`} {
				if !strings.Contains(compact(n.Input), part) {
					t.Errorf("input %s lacks %s", n.Input, part)
				}
			}
			if got := compact(n.Output["dict"][0]); !strings.Contains(got, `"a":1`) || !strings.Contains(got, `"b":[2]`) || !strings.Contains(got, `"c":"!"`) || len(got) != len(`{"a":1,"b":[2],"c":"!"}`) {
				t.Errorf("dict %s", got)
			}
		},
	},
	{ // a toggle always has a value, a table a list; others are silent about null
		id: "family", nodes: "t " + toggleInput + ` {"name":"t"}` + "\nl " + tableInput + ` {"name":"l"}` + "\nn " + numberInput + ` {"name":"n"}
			y OUT
			z OUT`,
		inputs: `{"l":null,"n":null}`, links: "t.result => y.value\nl.result => z.value",
		want: `n: -
			outputs {"y":[false],"z":[[]]}`,
	},
	{
		id: "family-typed", nodes: "n " + numberInput + ` {"name":"n"}` + "\ny OUT", inputs: `{"n":"12"}`, links: "n.result => y.value",
		want: `outputs {"y":[12]}`,
	},
	{id: "family-unfit", nodes: "n " + numberInput + ` {"name":"n"}`, inputs: `{"n":true}`, want: "refused n.value integer"},
	{id: "C105", nodes: `e EMIT {"script":[]}` + "\nf ECHO", links: "e.p -> f.in", want: "e: -\nf: none"},
}
