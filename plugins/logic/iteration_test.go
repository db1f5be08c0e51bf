package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestStepThroughItemsIsBounded(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	values, err := blocktest.Run(t, stepThroughItems, `{"items":`+list(maxItems)+`}`)
	if err != nil || len(values) != 2*maxItems {
		t.Errorf("%d values, %v", len(values), err)
	}
	for name, input := range map[string]string{
		"too many items":        `{"items":` + list(maxItems+1) + `}`,
		"too many items, text":  `{"items_str":"` + list(maxItems+1) + `"}`,
		"too long a text":       `{"items_str":"[` + strings.Repeat(" ", maxItemsText) + `]"}`,
		"text that nests a lot": `{"items_str":"` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `"}`,
	} {
		values, err := blocktest.Run(t, stepThroughItems, input)
		if err == nil || len(values) != 0 {
			t.Errorf("%s: %d values and no error", name, len(values))
		}
	}
	deep := strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999)
	if values, err := blocktest.Run(t, stepThroughItems, `{"items_str":"`+deep+`"}`); err != nil || len(values) != 2 {
		t.Errorf("10,000 levels: %d values, %v", len(values), err)
	}
}

func FuzzStepThroughItems(f *testing.F) {
	for _, seed := range []string{`[1,{"a":[]}]`, `{"a":1,"a":"\ud800"}`, `nul`, ` [1e400 ] `} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		input, err := json.Marshal(map[string]string{"items_str": text})
		if err != nil {
			t.Skip()
		}
		values, err := blocktest.Run(t, stepThroughItems, string(input))
		if err == nil && len(values)%2 != 0 {
			t.Fatalf("%q: %d values", text, len(values))
		}
		for _, v := range values {
			if !json.Valid(v.Value) {
				t.Fatalf("%q gave %q", text, v.Value)
			}
		}
	})
}

func FuzzCalculator(f *testing.F) {
	f.Add("Power", "2", "-1.5", true)
	f.Add("Multiply", "1e308", "10", false)
	f.Fuzz(func(t *testing.T, operation, a, b string, round bool) {
		for _, number := range []string{a, b} {
			if !json.Valid([]byte(number)) || strings.Trim(number, "-+.eE0123456789") != "" {
				return
			}
		}
		result, err := calculate(operation, json.RawMessage(a), json.RawMessage(b), round)
		if err == nil && !json.Valid(result) {
			t.Fatalf("%s %s %s gave %q", a, operation, b, result)
		}
	})
}
