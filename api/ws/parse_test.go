package ws

import (
	"encoding/json"
	"runtime"
	"testing"

	"github.com/gorilla/websocket"
)

func runtimeYield() { runtime.Gosched() }

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"type":"ping","id":1}`, `{"type":"subscribe","execution_id":"e","after_seq":9223372036854775807}`,
		`{"type":"subscribe","execution_id":"\ud800","after_seq":-0}`, `{"type":"ping","type":7}`, `{"\u0074ype":"ping"}`, `nul`, `{"id":`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parse(websocket.TextMessage, []byte(text))
		if m.id != nil && !json.Valid(m.id) {
			t.Fatalf("id %q", m.id)
		}
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON and was accepted", text)
		}
		if m.afterSeq < 0 || m.kind != "ping" && m.execution == "" {
			t.Fatalf("%q gave %+v", text, m)
		}
	})
}
