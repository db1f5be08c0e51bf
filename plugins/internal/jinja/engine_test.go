package jinja

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestTemplatesPrintAsPythonDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ template, values, want string }{
		{`{{hello}}, {{ world }} {{name}}`, `{"name": "Alice", "hello": "Hello", "world": "World!"}`, `Hello, World! Alice`},
		{`{{ l }}`, `{"l":["a",1,1.0,null,true,{"z":1,"a":"it's"},[],"\"'\\\n\u0001é"]}`, `['a', 1, 1.0, None, True, {'z': 1, 'a': "it's"}, [], '"\'\\\n\x01é']`},
		{`{{ a }}|{{ b }}|{{ c }}|{{ d }}|{{ missing }}`, `{"a":true,"b":null,"c":1.0,"d":123456789012345678901234567890}`, `True|None|1.0|123456789012345678901234567890|`},
		{`{{ x }} {{ y }} {{ z }} {{ n }}`, `{"x":1e16,"y":0.00001,"z":1e400,"n":-0.5}`, `1e+16 1e-05 1e400 -0.5`},
		{`{{ a.b }}|{{ a['c d'] }}|{{ a.x }}|{{ l[0].q }}|{{ l[-1] }}|{{ l[9] }}`, `{"a":{"b":null,"c d":7},"l":[{"q":"é"},2]}`, `None|7||é|2|`},
		{`{% for k, v in d.items() %}{{k}}={{v}};{% endfor %}`, `{"d":{"z":1,"a":2,"m":null}}`, `z=1;a=2;m=None;`},
		{`{% for k in d %}{{k}}{% else %}none{% endfor %}{% for c in "aé日" %}[{{c}}]{% endfor %}`, `{"d":{"z":1,"a":2}}`, `za[a][é][日]`},
		{`{{ data | safe }} {{ nothing | safe }}`, `{"data":["<b>"],"nothing":null}`, `['<b>'] None`},
		{`{{ 3.14159 | format("%.2f") }} {{ n | format("%05d") }} {{ n | format("%s!") }} {{ "2.5" | format("%.1f%%") }}`, `{"n":42}`, `3.14 00042 42! 2.5%`},
		{`{{ "%s-%d" | format("a", 3) }}`, `{}`, `a-3`},
		{`{{ range(3) | list }}{% for i in range(2) %} {{ loop.index }}{{ i }}{% endfor %}`, `{}`, `[0, 1, 2] 10 21`},
		{`{{ a if a else "no" }}{{ b if b }}`, `{"a":{}}`, `no`},
		{`{% set l = [1,'a'] %}{% do l.append(2) %}{{ l }}`, `{}`, `[1, 'a', 2]`},
		{`{% set ns = namespace(t=0) %}{% for x in l %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}`, `{"l":[1,2,3]}`, `6`},
		{`{{ d }} {{ d | length }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.get('q', 5) }}`, `{"d":{"z":1,"a":2}}`, `{'z': 1, 'a': 2} 2 [('z', 1), ('a', 2)] ['z', 'a'] 5`},
		{`{{ x | join(', ') }} {{ s | upper }} {{ s.split(',') }} {{ x | first }} {{ x | sort }}`, `{"x":["b","a"],"s":"a,b"}`, `b, a A,B ['a', 'b'] b ['a', 'b']`},
		{"line\n{% if true %}\nx\n{% endif %}\nend\n", `{}`, "line\n\nx\n\nend"},
		{`{% with a = 1 %}{{ a }}{{ n }}{% endwith %}{% set b %}[{{ n }}]{% endset %}{{ b }}{% filter upper %}x{{ n }}{% endfilter %}`, `{"n":null}`, `1None[None]XNONE`},
		{`{% raw %}{{ x }}{% endraw %}{# c #}`, `{}`, `{{ x }}`},
		{`{{ x | int + 1 }} {{ [1,2,3] | sum }} {{ 2.567 | round(2) }}`, `{"x":"41"}`, `42 6 2.57`},
		{`{{ l | map(attribute="a") | list }} {{ l | selectattr("a", "equalto", 2) | list }}`, `{"l":[{"a":1},{"a":2}]}`, `[1, 2] [{'a': 2}]`},
		{`{% if x %}yes{% elif y is defined %}y{% else %}no{% endif %}`, `{"x":[]}`, `no`},
		{`no template at all`, `{}`, `no template at all`},
		{``, `{}`, ``},
	} {
		got, err := newEngine().render(c.template, []byte(c.values), false)
		if err != nil || got != c.want {
			t.Errorf("%s\n got %q, %v\nwant %q", c.template, got, err, c.want)
		}
	}
}

// The texts in testdata are what Jinja itself, in its sandbox, makes of the templates; error stands for any error.
func TestTemplatesGiveWhatPythonGives(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/python.json", "testdata/python_tags.json", "testdata/python_expressions.json", "testdata/python_markup.json"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Values json.RawMessage
			Escape bool
			Cases  []struct {
				Template, Want string
				Error          bool
			}
		}
		if err := json.Unmarshal(content, &all); err != nil || len(all.Cases) == 0 {
			t.Fatalf("%s: %d cases, %v", file, len(all.Cases), err)
		}
		engine := newEngine()
		for _, c := range all.Cases {
			got, err := engine.render(c.Template, all.Values, all.Escape)
			if (err != nil) != c.Error || !c.Error && got != c.Want {
				t.Errorf("%s\n got %q, %v\nwant %q, error %t", c.Template, got, err, c.Want, c.Error)
			}
		}
	}
}

func TestEscapingForHTML(t *testing.T) {
	t.Parallel()
	got, err := newEngine().render(`{{ x }}{{ l }}{{ x | safe }}<`, []byte(`{"x":"<b>&","l":["'"]}`), true)
	if want := `&lt;b&gt;&amp;[&#34;&#39;&#34;]<b>&<`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"a\n{{ missing.x }}":                            `line 2 of the template: "x" is asked of what is undefined`,
		`{{ x | tojson }}`:                              "filter 'tojson' not found",
		`{{ x | pprint }}`:                              "filter 'pprint' not found",
		`{{ x | urlize }}`:                              "filter 'urlize' not found",
		`{{ x | xmlattr }}`:                             "filter 'xmlattr' not found",
		`{{ `:                                           "the template is malformed",
		`{% if x %}`:                                    "expected tag elif or else or endif",
		`{% include "a" %}`:                             "the tag include is not supported: there is no other template",
		`{% include [x] ignore missing %}`:              "the tag include is not supported",
		`{% extends "a" %}`:                             "the tag extends is not supported",
		`{% from "a" import b %}`:                       "the tag from is not supported",
		`{% import "a" as b %}`:                         "the tag import is not supported",
		`{% trans %}x{% endtrans %}`:                    "the tag trans is not supported",
		`{% for a, b in [(1, 2, 3)] %}{% endfor %}`:     "there are 2 names for a tuple of 3 elements",
		`{% for a, (b in x %}{% endfor %}`:              "the template is malformed",
		`{% for x in [1] %}{{ loop([1]) }}{% endfor %}`: "the loop is not recursive",
		`{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}`: "deeper than 300 levels",
		`{{ loop(1) }}`:          "loop is not callable",
		`{{ x.y.z is defined }}`: "asked of what is undefined",
		`{{ nope | int }}`:       "undefined",
		`{% nope %}`:             "tag 'nope' not found",
		`{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`:                                       "macro m: macros call each other deeper than 300 levels",
		`{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}`: "deeper than 300 levels",
		"{% macro m(a) %}\n{{ 1/0 }}{% endmacro %}\n{{ m(1) }}":                                 "line 2 of the template: ",
		`{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}`:                                           "macro m: it takes no more than 1 arguments",
		`{% macro m(a) %}{% endmacro %}{{ m(b=2) }}`:                                            "macro m: it takes no argument b",
		`{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}`:                                         "macro m: the argument a is given twice",
		`{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}`:                              "macro m: it takes no argument caller",
		`{% macro m(*a) %}{% endmacro %}`:                                                       "further arguments are in varargs and kwargs",
		`{% call x %}{% endcall %}`:                                                             "a call of a macro is expected",
		`{% call(1) m() %}{% endcall %}`:                                                        "the name of a parameter is expected",
		`{% block a %}{% endblock b %}`:                                                         "block a ends as b",
		`{% block a %}{% endblock %}{% block a %}{% endblock %}`:                                "two blocks a",
		`{% set a, b = 1, 2, 3 %}`:                                                              "there are 2 names for a tuple of 3 elements",
		`{% set 1 = 2 %}`:                                                                       "the name of a variable is expected",
		`{% set a = 1 2 %}`:                                                                     "unexpected 2",
		`{% set d.a.b = 1 %}`:                                                                   "expected '='",
		`{% set x.y = 1 %}`:                                                                     "x has no attributes that could be set",
		`{{ lipsum() }}`:                                                                        "not callable",
		`{{ 1 | format("%q") }}`:                                                                "unknown conversion",
		`{{ "abc" | format("%d") }}`:                                                            "%d takes a number, not a string",
		`{{ d.nope() }}`:                                                                        "not callable",
		`{% for x in l %}{% continue %}{% endfor %}`:                                            "tag 'continue' not found",
		`{% for x in l %}{% break %}{% endfor %}`:                                               "tag 'break' not found",
		`{{ 1 and (2 | nope) }}`:                                                                "line 1: filter 'nope' not found",
		`{{ x if x is nope }}`:                                                                  "test 'nope' not found",
		"{{ [\n1 is nope] }}":                                                                   "line 2: test 'nope' not found",
		`{% if x %}{% for a in x if a | nope %}{% endfor %}{% endif %}`:                         "filter 'nope' not found",
		`{% for a in x if a.b.c.d %}{% endfor %}`:                                               "asked of what is undefined",
		`{{ f(*x) }}`:                                                                           "one by one",
		`{{ (1 }}`:                                                                              "the template is malformed",
		`{{ x) }}`:                                                                              `unexpected ')'`,
		`{{ $ }}`:                                                                               `unexpected '$'`,
		`{{ '\ud800' }}`:                                                                        "a character that does not exist",
		`{{ {}.pop('a') }}`:                                                                     "no such key",
		`{# `:                                                                                   "#} is missing",
		`{% raw %}`:                                                                             "endraw is missing",
		`{{ "a".append(1) }}`:                                                                   "method append: a string has no such method",
		`{{ (1,).append(1) }}`:                                                                  "a tuple cannot be changed",
		`{{ 1/0 }}`:                                                                             "division by zero",
		`{{ 10**5000 }}`:                                                                        "too large",
		`{{ [1] * 99999999999 }}`:                                                               "more memory",
		`{{ "%999999999d" % 1 }}`:                                                               "too large",
		`{{ "a".ljust(999999999) }}`:                                                            "longer than 16 MiB",
		`{{ range(0, 5, 0) }}`:                                                                  "step of range()",
		strings.Repeat("x", 5000) + "{{ ":                                                       "the template is malformed",
	} {
		text, err := newEngine().render(template, []byte(`{"x":[1],"d":{"a":1}}`), false)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x00") || len(err.Error()) > 1100 {
			t.Errorf("%.60s\n got %q and error %v\nwant one with %q", template, text, err, want)
		}
	}
}

// FuzzTemplates goes through the real thing, children with limits, since a template may ask for anything.
func FuzzTemplates(f *testing.F) {
	for _, seed := range []string{`{{ x }}`, `{% for a in l %}{{ a|join }}{% endfor %}`, `{{ l[-1:] ~ d.k }}`, `{% set x %}{% endset %}`, `{{ {'a':(1,)} }}`, `{%- raw -%}`, `{% macro m(a, b=1) %}{{ caller(a) }}{{ varargs }}{% endmacro %}{% call(x) m(1, 2, 3) %}{{ x }}{% endcall %}`,
		`{% set a, b = l[0], 2 %}{% set c | upper %}{{ a }}{% endset %}{% block q %}{{ c }}{% endblock %}`, `{{ (x if l[0] else 'a' 'b')|e ~ not -1 is odd }}`, `{%- raw -%} {{ {%- endraw -%}{# #}`} {
		f.Add(seed)
	}
	var r Renderer
	f.Cleanup(r.Close)
	f.Fuzz(func(t *testing.T, template string) {
		if _, err := r.Render(t.Context(), template, []byte(`{"x":"a","l":[1,null,"b"],"d":{"k":1.5}}`), false); err != nil {
			if strings.Contains(err.Error(), "the renderer ended") {
				t.Fatalf("%q: %v", template, err)
			}
		}
	})
}
