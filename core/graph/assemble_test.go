package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// pins writes delivered values down: "pin=value".
func pins(list ...string) []PinValue {
	var data []PinValue
	for _, p := range list {
		name, v, _ := strings.Cut(p, "=")
		data = append(data, PinValue{name, json.RawMessage(v)})
	}
	return data
}

func TestAssemble(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t)
	for _, c := range []struct {
		name, block, constants string
		data                   []PinValue
		want                   string
		missing                []string
		problem                string
	}{
		{"a link overrides a constant at its place", "PAIR", `{"a":0, "b":0}`, pins("b=2", "a=1"), `{"a":1,"b":2}`, nil, ""},
		{"unknown constants stay", "ECHO", `{"x":[1, 2]}`, pins("in=1"), `{"x":[1, 2],"in":1}`, nil, ""},
		{"a null overrides a constant", "OPT", `{"a":1,"b":5}`, pins("b=null"), `{"a":1,"b":null}`, nil, ""},
		{"C26: null on a required pin waits", "ECHO", `{}`, pins("in=null"), `{"in":null}`, []string{"in"}, ""},
		{"an absent required pin waits", "PAIR", `{}`, pins("a=1"), `{"a":1}`, []string{"b"}, ""},
		{"C14: block defaults are the block's", "OPT", `{}`, pins("a=1"), `{"a":1}`, nil, ""},
		{"C12: raw keys stay beside the merged one", "DICT", `{"values_#_c":"!"}`, pins("values_#_b=2", "values_#_a=1"),
			`{"values_#_c":"!","values_#_b":2,"values_#_a":1,"values":{"c":"!","b":2,"a":1}}`, nil, ""},
		{"C39: list by index", "LIST", `{}`, pins(`items_$_1="A"`, `items_$_0="B"`), `{"items_$_1":"A","items_$_0":"B","items":["B","A"]}`, nil, ""},
		{"C40: padded with null", "LIST", `{}`, pins(`items_$_2="Z"`), `{"items_$_2":"Z","items":[null,null,"Z"]}`, nil, ""},
		{"C41: into a constant list", "LIST", `{"items":[1,2]}`, pins(`items_$_1=9`), `{"items":[1,9],"items_$_1":9}`, nil, ""},
		{"C42: into a constant object", "DICT", `{"values":{"x":1}}`, pins(`values_#_y=2`), `{"values":{"x":1,"y":2},"values_#_y":2}`, nil, ""},
		{"C43: chained", "DICT", `{}`, pins(`values_#_k_$_0=5`), `{"values_#_k_$_0":5,"values":{"k":[5]}}`, nil, ""},
		{"attribute", "DICT", `{}`, pins(`values_@_k=5`), `{"values_@_k":5,"values":{"k":5}}`, nil, ""},
		{"C44: an index that is none", "LIST", `{"items_$_x":1}`, nil, "", nil, `input "items_$_x" expects a whole number from 0 behind _$_, got "x"`},
		{"the same on a link", "LIST", `{}`, pins("items_$_x=1"), "", nil, `input "items_$_x" expects`},
		{"C26 goes before an index that is none", "PAIR", `{}`, pins("a=null", "b_$_x=1"), `{"a":null,"b_$_x":1,"b":[]}`, []string{"a"}, ""},
		{"a negative index", "LIST", `{}`, pins(`items_$_-1=1`), "", nil, "a negative index"},
		{"an index that stands for gigabytes", "LIST", `{}`, pins(`items_$_99999999=1`), "", nil, "an index over"},
		{"C104: the base comes first", "LIST", `{}`, pins(`items_$_2=3`, `items=[1,2]`), `{"items_$_2":3,"items":[1,2,3]}`, nil, ""},
		{"a base of the wrong kind is converted", "LIST", `{"items":5}`, pins(`items_$_1=9`), `{"items":[5,9],"items_$_1":9}`, nil, ""},
		{"a null base is empty", "LIST", `{"items":null}`, pins(`items_$_0=9`), `{"items":[9],"items_$_0":9}`, nil, ""},
		{"an object base becomes a list and back", "DICT", `{"values":{"a":1}}`, pins(`values_$_1=9`), `{"values":{"0":["a",1],"1":9},"values_$_1":9}`, nil, ""},
		{"malformed paths stay", "ECHO", `{"x_#_":1,"y_$__$_0":2}`, pins("in=1"), `{"x_#_":1,"y_$__$_0":2,"in":1}`, nil, ""},
		{"escaped keys are dynamic too", "LIST", `{"items\u005f$_0":7}`, nil, `{"items\u005f$_0":7,"items":[7]}`, nil, ""},
		{"C50: coercion", "ADD", `{"a":"3"}`, pins("b=4"), `{"a":3.0,"b":4}`, nil, ""},
		{"C50: unparsable counts as zero", "ADD", `{"a":"abc","b":1}`, nil, `{"a":0.0,"b":1}`, nil, ""},
		{"C52: text into a list", "LIST", `{}`, pins(`items="[1,2]"`), `{"items":[1,2]}`, nil, ""},
		{"C53: an enum is not coerced", "MODE", `{}`, pins(`m="z"`), "", nil, `input "m" expects one of "x", "y", got a string`},
		{"missing goes before misfit", "ADD", `{"a":null}`, pins(`b={}`), `{"a":null,"b":0.0}`, []string{"a"}, ""},
		{"big numbers, escapes and order pass", "ECHO", `{}`, pins(`in={"z":12345678901234567890,"a":1e400,"n":"\u0000\ud800"}`),
			`{"in":{"z":12345678901234567890,"a":1e400,"n":"\u0000\ud800"}}`, nil, ""},
		{"the last of doubled constants counts", "ECHO", `{"in":1,"in":2}`, nil, `{"in":2}`, nil, ""},
		{"odd pin names are quoted", "ECHO", `{"in":1}`, pins(`a"b=2`), `{"in":1,"a\"b":2}`, nil, ""},
		{"nested agent: its child's inputs", "AGENT", `{"graph_id":"g","inputs":{"lang":"en","n":1},"input_schema":{"required":["text"]}}`,
			pins(`text="hi"`, `n=2`), `{"lang":"en","n":2,"text":"hi"}`, nil, ""},
		{"nested agent of an old export", "AGENT", `{"data":{"lang":"en"}}`, nil, `{"lang":"en"}`, nil, ""},
		{"nested agent without inputs", "AGENT", `{}`, pins("x_#_a=1"), `{"x_#_a":1,"x":{"a":1}}`, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := Node{ID: "n", BlockID: blockID(c.block), InputDefault: json.RawMessage(c.constants)}
			b, _ := blocks.Block(n.BlockID)
			a, err := Assemble(&n, b, c.data)
			if c.problem != "" {
				var invalid *InvalidInput
				if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("got %v, want %s", err, c.problem)
				}
				return
			}
			if err != nil || string(a.Input) != c.want || !slices.Equal(a.Missing, c.missing) {
				t.Errorf("got %s, missing %v, %v; want %s", a.Input, a.Missing, err, c.want)
			}
			if string(n.InputDefault) != c.constants {
				t.Errorf("the constants of the graph became %s", n.InputDefault)
			}
		})
	}
}

// Beyond few fields names are looked up by a map, with the same outcome and in time that grows with their number only.
func TestAssembleManyFields(t *testing.T) {
	t.Parallel()
	dict := blocksOf(t)[blockID("DICT")]
	const many = 20_000
	constants := newObject()
	var data []PinValue
	for i := range many {
		constants.set(fmt.Sprintf("values_#_c%d", i), json.RawMessage("1"))
		data = append(data, PinValue{fmt.Sprintf("values_#_d%d", i), json.RawMessage("2")}, PinValue{fmt.Sprintf("b%d_$_0", i), json.RawMessage("3")})
	}
	data = append(data, PinValue{"values_#_c7", json.RawMessage("7")})
	n := Node{InputDefault: constants.json()}
	a, err := Assemble(&n, dict, data)
	if err != nil {
		t.Fatal(err)
	}
	merged, _ := jsonscan.Find(a.Input, "values")
	if c, _ := jsonscan.Find(merged, "c7"); string(c) != "7" || jsonscan.Len(merged) != 2*many || jsonscan.Len(a.Input) != 4*many+1 {
		t.Errorf("%s of %d values in %d fields", c, jsonscan.Len(merged), jsonscan.Len(a.Input))
	}
}

func TestWithoutNulls(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                        `{}`,
		`{"a":1, "b":{"c":null}}`:   `{"a":1, "b":{"c":null}}`,
		`{"a":null,"b":2,"c":null}`: `{"b":2}`,
		`{"b":2,"c": null}`:         `{"b":2}`,
	} {
		if got := WithoutNulls(json.RawMessage(in)); string(got) != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	const v = `{"name":"n","l":[1,2],"nul":null,"deep":[{"k":[[7]]}]}`
	for _, c := range []struct{ source, pin, value, want string }{
		{"p", "p", v, v},
		{"p", "p", "null", "null"},
		{"p_#_name", "p", v, `"n"`},
		{"p_@_name", "p", v, `"n"`},
		{"p_#_l_$_1", "p", v, "2"},
		{"p_#_l_$_-1", "p", v, "2"},
		{"p_#_l_$_-3", "p", v, ""},
		{"p_#_l_$_2", "p", v, ""},
		{"p_#_zzz", "p", v, ""},
		{"p_$_0", "p", v, ""},
		{"p_#_nul", "p", v, ""},
		{"p_#_deep_$_0_#_k_$_0_$_0", "p", v, "7"},
		{"p_$_1", "p", "[1]", ""},
		{"p_$_1", "p", "[1,2]", "2"},
		{"p_$_x", "p", "[1,2]", ""},
		{"p_$_", "p", "[1,2]", ""},
		{"foo", "fo", v, ""},
		{"fo", "foo", v, ""},
		{"foo_#_name", "fo", v, ""},
		{"q", "p", v, ""},
		{"", "p", v, ""},
	} {
		got, ok := Select(c.source, c.pin, json.RawMessage(c.value))
		if ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("%s of %s: %s, %v; want %s", c.source, c.pin, got, ok, c.want)
		}
	}
}

// Whatever the values are, those that only pass come out byte for byte, beside merged ones that equal them.
func TestAssembleKeepsBytes(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t)
	echo, _ := blocks.Block(blockID("ECHO"))
	rapid.Check(t, func(t *rapid.T) {
		constants := newObject()
		var data []PinValue
		names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"in", "x", "y_#_k", "y_#_l_$_1", "é", `q"`, "z_$_0"}), func(s string) string { return s })
		for _, name := range names.Draw(t, "names") {
			v := json.RawMessage(jsonText(3).Draw(t, name))
			if rapid.Bool().Draw(t, "constant") {
				constants.set(name, v)
			} else {
				data = append(data, PinValue{name, v})
			}
		}
		n := Node{InputDefault: constants.json()}
		a, err := Assemble(&n, echo, data)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(a.Input) {
			t.Fatalf("no JSON: %s", a.Input)
		}
		check := func(name string, want json.RawMessage) {
			if got, _ := jsonscan.Find(a.Input, name); string(got) != string(want) {
				t.Fatalf("%s: %s, not %s", name, got, want)
			}
			if at := nextDelimiter(name, 0); at >= 0 {
				base, _ := jsonscan.Find(a.Input, name[:at])
				got, ok := Select(name, name[:at], base)
				if ok != (jsonscan.KindOf(want) != jsonscan.Null) || ok && string(got) != string(want) {
					t.Fatalf("%s of %s: %s, not %s", name, base, got, want)
				}
			}
		}
		for name, v := range constants.values {
			check(name, v)
		}
		for _, d := range data {
			check(d.Pin, d.Value)
		}
	})
}

// jsonText draws a value.
func jsonText(depth int) *rapid.Generator[string] {
	leaves := rapid.SampledFrom([]string{"null", "true", "0", "-1.50", "1e400", "12345678901234567890", `""`, `"\u0000"`, `"<&>"`, `"a\/b"`, `"\ud83d"`, `{ }`, `[ ]`})
	return rapid.Custom(func(t *rapid.T) string {
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case depth == 0 || kind < 2:
			return leaves.Draw(t, "leaf")
		case kind == 2:
			return "[" + strings.Join(rapid.SliceOfN(jsonText(depth-1), 0, 3).Draw(t, "list"), " ,") + "]"
		}
		var members []string
		for i, v := range rapid.SliceOfN(jsonText(depth-1), 0, 3).Draw(t, "object") {
			members = append(members, fmt.Sprintf(`"%c" :%s`, 'z'-i, v))
		}
		return "{" + strings.Join(members, ",") + "}"
	})
}

func FuzzDynamicPins(f *testing.F) {
	f.Add("items_$_1", `{"items":[1]}`, `5`)
	f.Add("a_#_k_@_l_$_-1", `{"a":{"k":5}}`, `{"x":null}`)
	f.Add("_$_", `{"_$_0":1}`, `null`)
	f.Add("x_$__#_y", `{"x":"[1]"}`, `[[]]`)
	blocks := blocksOf(f)
	dict, _ := blocks.Block(blockID("DICT"))
	f.Fuzz(func(t *testing.T, pin, constants, v string) {
		if base := Base(pin); !strings.HasPrefix(pin, base) || dynamic(base) {
			t.Fatalf("base of %q is %q", pin, base)
		}
		selected, ok := Select(pin, Base(pin), json.RawMessage(v))
		if !json.Valid([]byte(constants)) || !json.Valid([]byte(v)) || jsonscan.KindOf([]byte(constants)) != jsonscan.Object {
			return
		}
		if ok && !json.Valid(selected) {
			t.Fatalf("%q of %s is %s", pin, v, selected)
		}
		n := Node{InputDefault: json.RawMessage(constants)}
		for _, b := range []*block.Block{dict, blocks[block.AgentID]} {
			a, err := Assemble(&n, b, []PinValue{{pin, json.RawMessage(v)}})
			if err == nil && !json.Valid(a.Input) {
				t.Fatalf("%s with %q=%s gives %s", constants, pin, v, a.Input)
			}
			if err == nil && !json.Valid(WithoutNulls(a.Input)) {
				t.Fatalf("%s without nulls is %s", a.Input, WithoutNulls(a.Input))
			}
		}
	})
}

func BenchmarkAssemblePlain(b *testing.B) {
	blocks := blocksOf(b)
	pair, _ := blocks.Block(blockID("PAIR"))
	n := Node{InputDefault: json.RawMessage(`{"a":0,"b":0}`)}
	data := pins(`a={"k":[1,2,3]}`, `b="text"`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Assemble(&n, pair, data); err != nil {
			b.Fatal(err)
		}
	}
}
