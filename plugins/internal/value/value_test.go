package value

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTruthy(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		`null`: false, `false`: false, `true`: true, `0`: false, `-0`: false, `0.0`: false, `0e9`: false, `0E9`: false,
		`1e-400`: true, `-3`: true, `""`: false, `"0"`: true, `[]`: false, `[ ]`: false, `[0]`: true, `{}`: false,
		`{"a":0}`: true, ``: false,
	} {
		if Truthy(json.RawMessage(raw)) != want {
			t.Errorf("%s: want %v", raw, want)
		}
	}
}

func TestEqualAndCompareFollowPython(t *testing.T) {
	t.Parallel()
	const unordered = 9
	for _, c := range []struct {
		a, b  string
		equal bool
		order int
	}{
		{`1`, `1.0`, true, 0},
		{`true`, `1`, true, 0},
		{`0`, `false`, true, 0},
		{`1e400`, `10e399`, true, 0},
		{`1e999999999999999999999`, `1e400`, false, 1},
		{`-1e999999999999999999999`, `1e-400`, false, -1},
		{`9007199254740993`, `9007199254740992`, false, 1},
		{`-5`, `-4.5`, false, -1},
		{`0.0`, `-0`, true, 0},
		{`100`, `1E2`, true, 0},
		{`"a"`, `"b"`, false, -1},
		{`"\u0061"`, `"a"`, true, 0},
		{`"\ud83d\ude00"`, `"😀"`, true, 0},
		{`"Z"`, `"a"`, false, -1},
		{`"1"`, `1`, false, unordered},
		{`null`, `null`, true, unordered},
		{`[1,2]`, `[1, 2.0]`, true, 0},
		{`[1,2]`, `[1,3]`, false, -1},
		{`[1]`, `[1,0]`, false, -1},
		{`[1,"a"]`, `[1,2]`, false, unordered},
		{`{"a":1,"b":[{}]}`, `{ "b" : [ { } ] , "a" : 1 }`, true, unordered},
		{`{"a":1}`, `{"a":2}`, false, unordered},
		{`{"a":1}`, `{"b":1}`, false, unordered},
		{`{}`, `[]`, false, unordered},
	} {
		a, b := json.RawMessage(c.a), json.RawMessage(c.b)
		if Equal(a, b) != c.equal || Equal(b, a) != c.equal {
			t.Errorf("%s == %s: want %v", a, b, c.equal)
		}
		order, err := Compare(a, b)
		if err != nil {
			order = unordered
		}
		if order != c.order {
			t.Errorf("order of %s and %s is %d, %v; want %d", a, b, order, err, c.order)
		}
	}
}

func TestParseNumberReadsAsPythonDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" 10 ": "10", "+1_000.": "1000", ".5": "0.5", "-.5e+3": "-0.5e+3", "007": "7", "1e5": "1e5", "-0": "-0",
		"9007199254740993": "9007199254740993", "1E400": "1e400", "\u00a05\u2003": "5", "1_0.0_1": "10.01",
		"": "", "-": "", ".": "", "1_": "", "_1": "", "1__0": "", "0x10": "", "inf": "", "nan": "", "1e": "",
		"٤٢": "42", "-٣.٥": "-3.5", "१_०": "10", "１２e３": "12e3", "𝟗": "9", "²": "", "Ⅷ": "", "٤٢x": "", "1 2": "", "e5": "",
	} {
		got, ok := ParseNumber(text)
		if ok != (want != "") || string(got) != want {
			t.Errorf("%q: got %s, %v; want %s", text, got, ok, want)
		}
	}
}

func TestNonFiniteReadsAsPythonDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"inf": "inf", " -Infinity\n": "-inf", "+iNF": "inf", "nan": "nan", "-NaN": "nan",
		"": "", "--inf": "", "1": "", "in f": "", "+-inf": "",
	} {
		f, ok := NonFinite(text)
		if ok != (want != "") || ok && FloatText(f) != want {
			t.Errorf("%q: got %v, %v; want %s", text, f, ok, want)
		}
	}
	if got, err := Convert([]byte(`"-inf"`), Number); err == nil {
		t.Errorf("-inf converts to %s, which is no JSON", got)
	}
}

// The digits of Unicode come in rows of ten, each from its zero on.
func TestDigitsOfAllScripts(t *testing.T) {
	t.Parallel()
	row := 0
	for r := range rune(unicode.MaxRune) {
		if !unicode.IsDigit(r) {
			if row%10 != 0 {
				t.Fatalf("the digits before %U are no row of ten", r)
			}
			continue
		}
		if got := digit(r); got != rune(row%10) {
			t.Errorf("%U is %d, want %d", r, got, row%10)
		}
		row++
	}
}

func TestConvertFollowsTheRulesOfCoercion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw  string
		to   Kind
		want string
	}{
		{`5`, String, `"5"`},
		{`true`, String, `"true"`},
		{`{"a":1,"b":[1.50,"é😀\u0001/"]}`, String, `"{\"a\": 1, \"b\": [1.5, \"\\u00e9\\ud83d\\ude00\\u0001/\"]}"`},
		{`"5"`, String, `"5"`},
		{`123456789012345678901234567890`, String, `"123456789012345678901234567890"`},
		{`1e22`, String, `"1e+22"`},
		{`"3.7"`, Number, `3.7`},
		{`"x"`, Number, `0.0`},
		{`3`, Number, `3.0`},
		{`[1,2]`, Number, `2.0`},
		{`{"a":1}`, Number, `1.0`},
		{`true`, Number, `1.0`},
		{`"TRUE"`, Bool, `true`},
		{`"1"`, Bool, `true`},
		{`"yes"`, Bool, `false`},
		{`0.0`, Bool, `false`},
		{`[0]`, Bool, `true`},
		{`{"a":1,"b":2}`, List, `[["a",1],["b",2]]`},
		{`" [1, {\"z\":1e400}] "`, List, `[1, {"z":1e400}]`},
		{`"[1,"`, List, `["[1,"]`},
		{`"[1,]"`, List, `["[1,]"]`},
		{`" a "`, List, `["a"]`},
		{`7`, List, `[7]`},
		{`"{\"z\":1,\"a\":2}"`, Object, `{"z":1,"a":2}`},
		{`"[1]"`, Object, `{"value":[1]}`},
		{`"text"`, Object, `{"value":"text"}`},
		{`["a","b"]`, Object, `{"0":"a","1":"b"}`},
		{`3`, Object, `{"value":3}`},
	} {
		got, err := Convert(json.RawMessage(c.raw), c.to)
		if err != nil || string(got) != c.want {
			t.Errorf("%s to %s: got %s, %v; want %s", c.raw, c.to, got, err, c.want)
		}
	}
}

func TestContainersKeepTheBytesOfWhatTheyHold(t *testing.T) {
	t.Parallel()
	list := json.RawMessage(`[ 9007199254740993 , 1e400,"\u0000,]", {"b" : 1, "a":[1 ,2]} ,[] ]`)
	elements := Elements(list)
	want := []string{`9007199254740993`, `1e400`, `"\u0000,]"`, `{"b" : 1, "a":[1 ,2]}`, `[]`}
	if len(elements) != len(want) || Len(list) != len(want) {
		t.Fatalf("got %d elements", len(elements))
	}
	for i := range want {
		if string(elements[i]) != want[i] {
			t.Errorf("element %d: %s", i, elements[i])
		}
	}
	object := json.RawMessage(`{ "z\"" : 1 , "\u0061":{"x":"}"}, "a" :3}`)
	members := Members(object)
	if len(members) != 3 || members[0].Key() != `z"` || string(members[1].RawKey) != `"\u0061"` || Keys(object) != 2 {
		t.Errorf("members %s", members)
	}
	if v, ok := Lookup(object, "a"); !ok || string(v) != "3" {
		t.Errorf("the last of equal keys: %s, %v", v, ok)
	}
	if got := string(ObjectOf(Set(members, "n", json.RawMessage(`0`)))); got != `{"z\"":1,"\u0061":{"x":"}"},"a":3,"n":0}` {
		t.Errorf("got %s", got)
	}
	if got := string(Append(json.RawMessage(`[ 1 ]`), json.RawMessage(`2`))); got != `[ 1 ,2]` {
		t.Errorf("got %s", got)
	}
	if got := string(Append(json.RawMessage(`[ ]`), json.RawMessage(`2`))); got != `[2]` {
		t.Errorf("got %s", got)
	}
}

func TestDeepNestingIsNoTrouble(t *testing.T) {
	t.Parallel()
	const depth = 10_000
	deep := json.RawMessage(strings.Repeat("[", depth) + "1" + strings.Repeat("]", depth))
	other := json.RawMessage(strings.Repeat("[", depth) + "2" + strings.Repeat("]", depth))
	if Equal(deep, other) || !Equal(deep, append(json.RawMessage(" "), deep...)[1:]) {
		t.Error("deep lists compare wrongly")
	}
	if order, err := Compare(deep, other); err != nil || order != -1 {
		t.Errorf("order %d, %v", order, err)
	}
	if len(Elements(deep)) != 1 || !Truthy(deep) || JSONText(deep) != string(deep) {
		t.Error("a deep list is not read right")
	}
	if _, ok := Parse(strings.Repeat("[", 1_000_000)); ok {
		t.Error("an endless beginning is no JSON")
	}
}

func FuzzValuesTakenApart(f *testing.F) {
	for _, seed := range []string{`[1, "a", {"b": null}]`, `{"a": [true, -0.5e7], "": "\ud800\u0000"}`, `" x "`, `1e400`, `[[]]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw, ok := Parse(text)
		if !ok || !utf8.ValidString(text) {
			return
		}
		if !Equal(raw, append(json.RawMessage{}, raw...)) || !parse(raw).equal(parse(raw)) {
			t.Fatalf("%s does not equal itself", raw)
		}
		for _, kind := range []Kind{String, Number, Bool, List, Object} {
			converted, err := Convert(raw, kind)
			if err != nil || !json.Valid(converted) || KindOf(converted) != kind {
				t.Fatalf("%s to %s: %s, %v", raw, kind, converted, err)
			}
		}
		if KindOf(raw) == String {
			var want string
			if err := json.Unmarshal(raw, &want); err != nil || Text(raw) != want {
				t.Fatalf("%s reads as %q, want %q", raw, Text(raw), want)
			}
		}
		if KindOf(raw) == List && !Equal(ListOf(Elements(raw)), raw) || KindOf(raw) == Object && !Equal(ObjectOf(Members(raw)), raw) {
			t.Fatalf("%s is another value when put together again", raw)
		}
		Truthy(raw)
		if _, err := Compare(raw, raw); err == nil && KindOf(raw) == Object {
			t.Fatal("dictionaries have no order")
		}
	})
}

func FuzzParseNumber(f *testing.F) {
	for _, seed := range []string{"1_0.5e-7", " +.5 ", "1e", "--1", "٣"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		number, ok := ParseNumber(text)
		if !ok {
			return
		}
		if !json.Valid(number) {
			t.Fatalf("%q became %s", text, number)
		}
		want, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimFunc(text, IsSpace), "_", ""), 64)
		got, _ := strconv.ParseFloat(string(number), 64)
		if err == nil && got != want {
			t.Fatalf("%q became %s: %v, want %v", text, number, got, want)
		}
	})
}
