package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestAnswersAreRepairedUntilTheyFit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		input string
		says  []string // one after the other
		want  string
		asked int
	}{
		"as asked":    {`"expected_format": {"a": "x", "b": "y"}`, []string{`{"b": 18446744073709551616, "a": [1]}`}, `{"b": 18446744073709551616, "a": [1]}`, 1},
		"in a fence":  {`"expected_format": {"a": "x"}`, []string{"I think: {x}\n```json\n{\"a\": 1}\n```\nDone."}, `{"a": 1}`, 1},
		"repaired":    {`"expected_format": {"a": "x"}`, []string{"{'a': True, // yes\n 'b': 'its',}"}, `{"a": true`, 1},
		"cut off":     {`"expected_format": {"a": "x"}`, []string{`{"a": ["one", "tw`}, `{"a": ["one", "tw"]}`, 1},
		"missing":     {`"expected_format": {"a": "x", "b": "y"}`, []string{`{"a": 1}`, `no`, `{"a": 1, "b": 2}`}, `{"a": 1, "b": 2}`, 3},
		"never":       {`"expected_format": {"a": "x"}, "retry": 2`, []string{"no"}, "", 2},
		"list":        {`"expected_format": {"a": "x"}, "list_result": true`, []string{`[{"a": 1}, {"a": 2}]`}, `[{"a": 1}, {"a": 2}]`, 1},
		"list inside": {`"expected_format": {"a": "x"}, "list_result": true`, []string{`{"results": [{"a": 1}]}`}, `[{"a": 1}]`, 1},
		"list of one": {`"expected_format": {"a": "x"}, "list_result": true`, []string{`{"a": 1}`}, `[{"a": 1}]`, 1},
		"list broken": {`"expected_format": {"a": "x"}, "list_result": true`, []string{`[1]`, `[{"b": 1}]`, `[{"a": 1}]`}, `[{"a": 1}]`, 3},
		"no format":   {`"expected_format": {}`, []string{"free"}, `{"response":"free"}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, func(_ question, n int) reply { return reply{text: test.says[min(n, len(test.says))-1]} })
			ctx := v.context(t.Context(), providerOpenAI)
			w := &watcher{}
			err := sdk.Execute(ctx, structuredGenerator, json.RawMessage(`{"prompt": "p", "model": "m", `+test.input+`}`), w)
			got := text(w.values)
			if test.want == "" {
				if err == nil || !strings.Contains(err.Error(), "no JSON object") {
					t.Errorf("%s, %v", got, err)
				}
			} else if err != nil || !strings.HasPrefix(got, "response = "+test.want) {
				t.Errorf("%s, %v", got, err)
			}
			if n := len(v.asked()); n != test.asked || sdk.Counted(ctx)["llm_retry_count"] != int64(n-1) {
				t.Errorf("asked %d times, counted %v", n, sdk.Counted(ctx))
			}
		})
	}
}

func TestTheModelLearnsWhatIsWrong(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(q question, n int) reply {
		if n == 1 {
			return reply{text: `{"a": 1}`}
		}
		last := q.messages[len(q.messages)-1].Content
		if q.messages[len(q.messages)-2] != (message{roleAssistant, `{"a": 1}`}) || !strings.Contains(last, "missing: b") {
			t.Errorf("it is told %q", last)
		}
		return reply{text: `{"a": 1, "b": 2}`}
	})
	got, err := v.run(t, providerAnthropic, structuredGenerator, `{"prompt": "{{x}}", "prompt_values": {"x": "filled"}, "model": "m", "force_json_output": true,
		"expected_format": {"a": "x", "b": "y"}, "conversation_history": [{"role": "user", "content": "before"}], "sys_prompt": "s"}`)
	if err != nil || len(got) != 2 || !strings.HasPrefix(string(got[1].Value), `[{"role":"user","content":"before"},{"role":"system","content":"s"},{"role":"system"`) || !strings.Contains(string(got[1].Value), "filled") {
		t.Errorf("%s, %v", text(got), err)
	}
	v = newVendor(t, func(question, int) reply { return reply{text: `{"a": 1}`} })
	if _, err := v.run(t, providerOpenAI, structuredGenerator, `{"prompt": "p", "model": "m", "force_json_output": true, "expected_format": {"a": "x"}}`); err != nil || string(v.asked()[0]["response_format"]) != `{"type":"json_object"}` {
		t.Errorf("%v: asked %s", err, v.asked())
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		`["a", "b"]`: `["a","b"]`,
		"Here:\n```\n[\"a\", 1, null, {\"b\": 2}]\n```": `["a","1","null","{\"b\": 2}"]`,
		`['it\'s', "b",]`:              `["it's","b"]`,
		`{"results": ["a", "b"]}`:      `["a","b"]`,
		`{"results": []}`:              `[]`,
		`As [1] says: ["x", "y"]`:      `["x","y"]`,
		`[]`:                           `[]`,
		`no list`:                      "",
		`{"a": 1}`:                     "",
		`<think>["no"]</think>["yes"]`: `["yes"]`,
	} {
		list, ok := listOf(said)
		got, _ := json.Marshal(list)
		if ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s: %s, %t", said, got, ok)
		}
	}
	v := newVendor(t, func(_ question, n int) reply { return reply{text: []string{"sorry", `["a", "b"]`}[n-1]} })
	got, err := v.run(t, "groq", listGenerator, `{"focus": "f", "model": "m"}`)
	if err != nil || len(got) != 4 || !strings.HasPrefix(text(got), "generated_list = [\"a\",\"b\"]\nlist_item = \"a\"\nlist_item = \"b\"\nprompt") {
		t.Errorf("%s, %v", text(got), err)
	}
	if _, err := v.run(t, "groq", listGenerator, `{"model": "m", "source_data": " "}`); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Error(err)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"true": "true", "False.": "false", "**Yes**": "true", "<think>true or false?</think>\nfalse": "false", "It is true: true": "true",
		"maybe": "", "true or false": "", "truest": "",
	} {
		met, ok := verdict(said)
		if got := fmt.Sprint(met); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s, %t", said, got, ok)
		}
	}
	v := newVendor(t, func(q question, n int) reply { return reply{text: []string{"hm", "false", "true"}[n-1]} })
	got, err := v.run(t, providerOpenAI, condition, `{"input_value": {"a": 1}, "condition": "c", "model": "m", "no_value": 0, "yes_value": "y"}`)
	if err != nil || text(got) != "result = false\nno_output = 0\n" {
		t.Errorf("%s, %v", text(got), err)
	}
	got, err = v.run(t, providerOpenAI, condition, `{"input_value": {"a": 1}, "condition": "c", "model": "m"}`)
	if err != nil || text(got) != "result = true\nyes_output = {\"a\": 1}\n" {
		t.Errorf("%s, %v", text(got), err)
	}
	v = newVendor(t, func(question, int) reply { return reply{text: "perhaps"} })
	if _, err := v.run(t, providerOpenAI, condition, `{"input_value": 1, "condition": "c", "model": "m"}`); kindOf(err) != proto.ErrorKind_ERROR_KIND_TEMPORARY || len(v.asked()) != usualAttempts {
		t.Errorf("%v after %d questions", err, len(v.asked()))
	}
}

func TestLongTextsAreSummedUpInParts(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(q question, n int) reply { return reply{text: fmt.Sprint("s", n)} })
	long := strings.TrimSpace(strings.Repeat("word ", 100)) // 500 bytes, parts of 150
	got, err := v.run(t, providerOpenAI, textSummarizer, `{"text": "`+long+`", "model": "m", "max_tokens": 50, "chunk_overlap": 0, "style": "bullet points"}`)
	if err != nil || !strings.HasPrefix(text(got), `summary = "s5"`) || len(v.asked()) != 5 || !strings.Contains(text(got), `s1\n\ns2\n\ns3\n\ns4`) || !strings.Contains(text(got), "bullet points") {
		t.Errorf("%s, %v after %d questions", text(got), err, len(v.asked()))
	}
	v = newVendor(t, func(question, int) reply { return reply{text: long + long} })
	if _, err := v.run(t, providerOpenAI, textSummarizer, `{"text": "`+long+`", "model": "m", "max_tokens": 50}`); err == nil || !strings.Contains(err.Error(), "no shorter") {
		t.Error(err)
	}
	if _, err := v.run(t, providerOpenAI, textSummarizer, `{"text": " ", "model": "m"}`); err == nil {
		t.Error("nothing is summed up")
	}
}

func FuzzParts(f *testing.F) {
	f.Add("a b c d", 1, 0)
	f.Add(strings.Repeat("日本語 ", 40), 3, 1)
	f.Add(strings.Repeat("é", 100), 2, 5)
	f.Fuzz(func(t *testing.T, s string, size, overlap int) {
		if size < 1 || overlap < 0 || size > 1000 || overlap > 1000 || len(s) > 10000 || !utf8.ValidString(s) {
			t.Skip()
		}
		all := parts(s, size, overlap)
		for i, p := range all {
			if len(all) > 1 && len(p) > max(size*tokenBytes, utf8.UTFMax) || !utf8.ValidString(p) {
				t.Errorf("part %d of size %d has %d bytes", i, size, len(p))
			}
		}
		if overlap == 0 && squeezed(strings.Join(all, "")) != squeezed(s) {
			t.Errorf("%q became %q", s, all)
		}
	})
}

func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

func TestPromptsAreMadeToFit(t *testing.T) {
	t.Parallel()
	m := model{Context: 1000, MaxOutput: 400}
	long := strings.Repeat("ä", 5000)
	messages := []message{{roleSystem, "keep"}, {roleUser, long}, {roleUser, long[:2000]}}
	got := fit(messages, m, 0)
	if tokens(got) > 750 || got[0].Content != "keep" || !strings.Contains(got[1].Content, omission) || !utf8.ValidString(got[1].Content) || messages[1].Content != long {
		t.Errorf("%d tokens: %.100s", tokens(got), got)
	}
	if got := fit(messages, model{}, 0); !slices.Equal(got, messages) {
		t.Error("a model that is not known has its prompt shortened")
	}
	if got := fit(messages[:1], model{Context: 1}, 1); got[0].Content != "keep" {
		t.Errorf("%v", got)
	}
}

func FuzzFindJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":1}`, "```json\n[1,2\n```", `{'a': "b}`, "text {\"a\": [}", "<think>{</think>{}", strings.Repeat("[", 300), strings.Repeat(`{"a":`, 300), "\xff{\"\xfe\":1", `[1] [2,3]`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, said string, list bool) {
		want := value.Object
		if list {
			want = value.List
		}
		found, ok := findJSON(said, want)
		if !ok {
			if found != nil {
				t.Errorf("%q: found %q and nothing", said, found)
			}
			return
		}
		if kind := value.KindOf(found); kind != want && !(list && kind == value.Object) || !json.Valid(found) || !bytes.Equal(value.Trim(found), found) {
			t.Errorf("%q: found %q", said, found)
		}
		_, _ = listOf(said)
		_, _ = shape{list: list, keys: []value.Member{}}.fitting(said)
	})
}

func FuzzRefusals(f *testing.F) {
	for _, s := range []string{`{"error":{"message":"m","type":"t","code":"c","param":null}}`, `{"error":"x"}`, `{"detail":[{"msg":"m"}]}`, `{"error":{"code":400}}`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if r := readRefusal(content); !utf8.ValidString(r.message) || len(r.message) > 2100 {
			t.Errorf("%q", r.message)
		}
	})
}

func TestPromptsAreTemplatesOfTheirValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ prompt, values, want string }{
		{"{{a | safe}}, {{ b }}{{missing}}", `{"a": "<x> & 'y'", "b": "{{a}}"}`, "<x> & 'y', {{a}}"},
		{"{% if a %}yes{% endif %}", `{"a": "1"}`, "yes"},
		{"{{a}}", `{}`, "{{a}}"},
	} {
		if got, err := filled(t.Context(), test.prompt, json.RawMessage(test.values)); err != nil || got != test.want {
			t.Errorf("%s: %q, %v", test.prompt, got, err)
		}
	}
}
