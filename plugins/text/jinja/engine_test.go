package jinja

import "testing"

func TestExploration(t *testing.T) {
	for _, c := range [][2]string{
		{`{{hello}}, {{ world }} {{name}}`, `{"name": "Alice", "hello": "Hello", "world": "World!"}`},
		{`{% for item in list %}{{ item }}{% endfor %}`, `{"list": ["Hello", " World!"]}`},
		{`{% set name = 'Alice' %}Hello, World! {{ name }}`, `{}`},
		{`{{ a }}|{{ b }}|{{ c }}|{{ d }}|{{ e }}|{{ missing }}|{{ f }}`, `{"a":["a",1,1.0,null,true,{"z":1,"a":"it's"}],"b":true,"c":null,"d":1.0,"e":{"z":[],"a":{}},"f":123456789012345678901234567890}`},
		{`{{ a.b }}|{{ a['c d'] }}|{{ a.x }}|{{ l[0].q }}|{{ l[-1] }}`, `{"a":{"b":null,"c d":7},"l":[{"q":"é"},2]}`},
		{`{% for k, v in d.items() %}{{k}}={{v}};{% endfor %}{% for k in d %}{{k}}{% endfor %}{% for c in "aé日" %}[{{c}}]{% endfor %}`, `{"d":{"z":1,"a":2,"m":null}}`},
		{`{{ data | safe }}{{ none | safe }}`, `{"data":["<b>"],"none":null}`},
		{`{{ 3.14159 | format("%.2f") }} {{ n | format("%05d") }} {{ "%s-%d"|format("a", 3) }}`, `{"n":42}`},
		{`{{ missing.x }}`, `{}`},
		{`{{ 1/0 }}`, `{}`},
		{`{{ 1 % 0 }}`, `{}`},
		{`{{ x | tojson }}`, `{"x":1}`},
		{`{{ `, `{}`},
		{`{% if x %}`, `{}`},
		{`{% include "a" %}`, `{}`},
		{`{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`, `{}`},
		{`{{ range(3)|list }} {% for i in range(2) %}{{ loop.index }}{{ i }}{% endfor %}`, `{}`},
		{`{{ a if a else "no" }}{{ b if b }}`, `{"a":{}}`},
		{`{% set l = [1,'a'] %}{% do l.append(2) %}{{ l }}{% set _ = l.append(3) %}{{ l|length }}`, `{}`},
		{`{% set ns = namespace(t=0) %}{% for x in l %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}`, `{"l":[1,2,3]}`},
		{`{{ d }} {{ d|length }} {{ d.items()|list }} {{ d.keys() }} {{ d.get('q', 5) }}`, `{"d":{"z":1,"a":2}}`},
		{"{{ x|join(', ') }} {{ s|upper }} {{ s.split(',') }} {{ s|replace('a','b') }} {{ x|first }} {{ x | sort }} {{s|trim}} {{ s|title }}", `{"x":["b","a"],"s":"a,b"}`},
		{"line\n{% if true %}\nx\n{% endif %}\nend\n", `{}`},
		{`{{ 7 // 2 }} {{ -7 // 2 }} {{ 2 ** 3 }} {{ 7 / 2 }} {{ "a" * 3 }} {{ 1 + 1.5 }} {{ "a" ~ 1 ~ l }} {{ x == none }} {{ not x }}`, `{"l":["q"],"x":null}`},
		{`{{ (1, 2) }} {{ {'a': 1} }} {{ x is defined }} {{ x is none }} {{ "b" in "abc" }} {{ 2 in [1,2] }} {{ 'k' in d }}`, `{"x":null,"d":{"k":1}}`},
		{`{% with a = 1 %}{{ a }}{{ n }}{% endwith %}{% set b %}[{{ n }}]{% endset %}{{ b }}{% filter upper %}x{{ n }}{% endfilter %}`, `{"n":null}`},
		{`{% raw %}{{ x }}{% endraw %}{# c #}`, `{}`},
		{`{{ x.__class__ }} {{ x.Len }}`, `{"x":[1]}`},
		{`{{ "\u00e9\n" }}{{ x }}`, `{"x":"a\nb"}`},
		{`{{ x|int + 1 }} {{ x|float }} {{ 10|round }} {{ 2.567|round(2) }} {{ [1,2,3]|sum }}`, `{"x":"41"}`},
		{`{{ [{"a":1},{"a":2}]|map(attribute="a")|list }} {{ l|selectattr("a","equalto",2)|list }}`, `{"l":[{"a":1},{"a":2}]}`},
		{`{{ (l|first).a }} {{ l|length > 1 }} {{ l[:1] }} {{ "abc"[1:] }} {{ x|default("q") }} {{ 1 < 2 and 3 }}`, `{"l":[{"a":1},{"a":2}]}`},
	} {
		got, err := newEngine().render(c[0], []byte(c[1]), false)
		t.Logf("%s\n   → %q %v", c[0], got, err)
	}
	got, err := newEngine().render(`{{ x }}{{ l }}<{{ x|safe }}{{ x|escape }}`, []byte(`{"x":"<b>'\"&","l":["<"]}`), true)
	t.Log(got, err)
}
