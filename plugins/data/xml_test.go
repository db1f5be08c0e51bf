package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestXMLBecomesDictionaries(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`<a/>`: `{"a":""}`,
		"\ufeff<?xml version='1.0' encoding='ISO-8859-1'?>\n<!DOCTYPE html>\n<!-- c -->\n<a>é</a>\n": `{"a":"é"}`,
		"<a>\n <b> 1 </b>\n <c>2</c></a>":               `{"a":{"b":"1","c":"2"}}`,
		`<a><b>1</b><c/><b>2</b></a>`:                   `{"a":[{"b":"1"},{"c":""},{"b":"2"}]}`,
		`<a x="1" Y='&lt;'>t</a>`:                       `{"a":{"@x":"1","@y":"<","#text":"t"}}`,
		`<a x="1"/>`:                                    `{"a":{"@x":"1"}}`,
		`<p>some <b>bold</b> text</p>`:                  `{"p":{"b":"bold","#text":"some  text"}}`,
		`<a><![CDATA[<x>&]]></a>`:                       `{"a":"<x>&"}`,
		`<a>&amp;&#65;&#x42; &lt;b&gt;</a>`:             `{"a":"&AB <b>"}`,
		`<u h="a&b">https://x.y/?a=1&b=2 &</u>`:         `{"u":{"@h":"a&b","#text":"https://x.y/?a=1&b=2 &"}}`,
		`<a>&#xFFFD;&#57344;<![CDATA[&#xD800;]]></a>`:   `{"a":"�&#xD800;"}`,
		`<a><![CDATA[&]]>&<!-- & --><?p & ?>&#x26;</a>`: `{"a":"&&&"}`,
		`<a b='"c"d' e="f'g"	h
="i"></a>`: `{"a":{"@b":"\"c\"d","@e":"f'g","@h":"i"}}`,
		`<A><n:B>1</n:b></a>`:           `{"a":{"n:b":"1"}}`,
		`<a><?php x ?>1<!-- 2 -->3</a>`: `{"a":"13"}`,
		`<a>"\` + "\u2028" + `</a>`:     `{"a":"\"\\"}`,
		`<a>` + strings.Repeat("<b>", maxXMLDepth-1) + strings.Repeat("</b>", maxXMLDepth-1) + `</a>`: `{"a":` + strings.Repeat(`{"b":`, maxXMLDepth-1) + `""` + strings.Repeat("}", maxXMLDepth),
	} {
		root, err := readXML(document)
		if err != nil {
			t.Errorf("%.100s: %v", document, err)
			continue
		}
		if got := string((&element{children: []*element{root}}).write(nil)); got != want {
			t.Errorf("%.100s: got %.200s, want %.200s", document, got, want)
		}
	}
}

func TestXMLThatIsNoneOrHarmfulIsRefused(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&laughs, `<!ENTITY lol%d "%s">`, i, strings.Repeat(fmt.Sprintf("&lol%d;", i-1), 10))
	}
	for document, want := range map[string]string{
		"":                             "no root",
		"   ":                          "no root",
		"text":                         "text outside the root",
		"<a/>text":                     "text outside the root",
		"<a/><b/>":                     "more than one root",
		"<a>":                          "<a> does not end",
		"<a><b></a></b>":               "</a> ends no element",
		"</a>":                         "</a> ends no element",
		"<a>\n<b>\n<c":                 "line 3",
		"<a>\x01</a>":                  "line 1",
		"<a>1 < 2</a>":                 "line 1",
		"<a>\n<b c=d/></a>":            "line 2: unquoted or missing attribute value",
		"<a>\n<b c/></a>":              "line 2: attribute name without = in element",
		`<a b="1" b="2"/>`:             "line 1: <a> has the attribute b twice",
		`<a b="1"c="2"/>`:              "line 1: attributes stand apart",
		`<a b="1/>`:                    "line 1: unexpected EOF",
		`<a b="<"/>`:                   "line 1: unescaped < inside quoted string",
		"<a>\n&copy;</a>":              "line 2: invalid character entity &copy;",
		"<a b='&nbsp;'/>":              "line 1: invalid character entity &nbsp;",
		"<a>&#0;</a>":                  "line 1: ",
		"<a>&#55296;</a>":              "line 1: a reference",
		"<a b='&#x00dFfF;'/>":          "line 1: a reference",
		"<a>&#xD800;</a>":              "line 1: ",
		"<a>]]></a>":                   "line 1: unescaped ]]>",
		"<a><!-- -- --></a>":           "line 1: ",
		"<a><!-- </a>":                 "line 1: ",
		"<a><![CDATA[ </a>":            "line 1: ",
		"<1a/>":                        "line 1: ",
		"< a/>":                        "line 1: ",
		"<a/><?xml version='1.0'?>":    "line 1: the XML declaration",
		"<a/><!DOCTYPE a>":             "line 1: a document type",
		"<!DOCTYPE a><!DOCTYPE b><a/>": "line 1: a document type",
		"<a></b>":                      "</b> ends no element",
		"<!DOCTYPE a [<!ENTITY lol0 \"lol\">" + laughs.String() + "]><a>&lol9;</a>": "declares entities",
		`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`:          "declares entities",
		`<!DOCTYPE a [<!entity % x SYSTEM "http://x/">%x;]><a/>`:                    "declares entities",
		strings.Repeat("<a>", 2_000_000):                                            "nested deeper",
		"<a>" + strings.Repeat("<b/>", maxXMLElements) + "</a>":                     "more than 1000000 elements",
		"<a>" + strings.Repeat(" ", maxXML) + "</a>":                                "longer than 10 MiB",
	} {
		if root, err := readXML(document); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v, %v, want %s", document, root, err, want)
		}
	}
}

func FuzzXML(f *testing.F) {
	for _, seed := range []string{`<a x="1">t<b/>&amp;<![CDATA[x]]></a>`, `<a><b>1</b><b>2</b></a>`, `<!DOCTYPE a [<!ELEMENT a ANY>]><a/>`, `<?xml version="1.1"?><n:a/>`, `<a x>`, `<a>&b &c; &<!-- & --></a>`, `<a b='1'c="2" c=''>`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		root, err := readXML(document)
		if err != nil {
			return
		}
		if written := (&element{children: []*element{root}}).write(nil); !json.Valid(written) || written[0] != '{' {
			t.Fatalf("%q became %q", document, written)
		}
	})
}
