package jsonscan

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	object := []byte(` { "a" : 1 , "b":[1,{"a":2}], "\u0061":3 , "s":"x\"}" } `)
	for key, want := range map[string]string{"a": "3", "b": `[1,{"a":2}]`, "s": `"x\"}"`} {
		if v, ok := Find(object, key); !ok || string(v) != want {
			t.Errorf("%s: %s", key, v)
		}
	}
	if _, ok := Find(object, "x"); ok {
		t.Error("found what is not there")
	}
	if v, ok := At([]byte(`[1, "a]" ,[2]]`), 2); !ok || string(v) != "[2]" {
		t.Errorf("%s", v)
	}
}

func TestHasLoneSurrogate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`"plain"`: false, `"\ud83d\ude00"`: false, `"\uD83D\uDE00x"`: false, `"\u00e9"`: false, `"\\ud800"`: false, `"é"`: false,
		`"\ud800"`: true, `"\udc00"`: true, `"\ude00\ud83d"`: true, `"\ud83dx"`: true, `"\ud83d\n"`: true, `"\ud83d\u0041"`: true,
		`"\ud83d\ud83d\ude00"`: true, `"\\\ud800"`: true, `{"a":["\ud800"]}`: true, `{"\udfff":1}`: true,
	} {
		if got := HasLoneSurrogate([]byte(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// Whatever comes, scanning ends and does not panic; of valid JSON it finds what a decoder finds.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[true,null]}`, `[1,"x\\",{}]`, `{"a"`, `[[[`, `"\u12`, `{"":{}}`, `[1 2]`, `{,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		elements, members := 0, 0
		for range Elements(v) {
			elements++
		}
		for k := range Members(v) {
			_ = Unquote(k)
			members++
		}
		_ = Unquote(v)
		_ = HasLoneSurrogate(v)
		if !json.Valid(v) {
			return
		}
		var list []json.RawMessage
		if json.Unmarshal(v, &list) == nil && list != nil {
			i := 0
			for e := range Elements(v) {
				if !bytes.Equal(e, list[i]) {
					t.Fatalf("element %d is %s, not %s", i, e, list[i])
				}
				i++
			}
			if elements != len(list) {
				t.Fatalf("%d elements, not %d", elements, len(list))
			}
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(v, &object) == nil {
			for key, want := range object {
				if got, ok := Find(v, key); ok && !bytes.Equal(got, want) {
					t.Fatalf("%q is %s, not %s", key, got, want)
				}
			}
		}
		if s := Unquote(v); KindOf(v) == String && !json.Valid(AppendString(nil, s)) {
			t.Fatalf("%q is quoted wrongly", s)
		}
	})
}
