package hostservice

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
)

// Write is a change of a key that is to be committed.
type Write struct {
	User, Plugin, Graph, Node, Key string
	Value                          json.RawMessage // nil: the key is deleted
	id                             keyID
}

// size is what the key weighs against its user's limit; nothing when it is deleted.
func (w *Write) size() int {
	if w.Value == nil {
		return 0
	}
	return len(w.Key) + len(w.Value)
}

// Bytes is about how much of a statement the write takes.
func (w *Write) Bytes() int { return 200 + len(w.Key) + len(w.Node) + len(w.Value) }

// Statement is the part of a statement that makes writes true: common table expressions that do nothing when lease, one
// before them, is empty. parameter is the place of what Parameter gives.
func Statement(lease string, parameter int) string {
	return fmt.Sprintf(`
k AS (INSERT INTO stored_key (user_id, id, plugin, graph_id, node_id, key, value, size, updated_at)
	SELECT v."user", decode(v.id, 'hex'), v.plugin, v.graph, v.node, v.key, v.value, v.size, now() FROM %[1]s, json_to_recordset($%[2]d::json)
		AS v("user" text, id text, plugin text, graph text, node text, key text, value text, size integer) WHERE v.value IS NOT NULL
	ON CONFLICT (user_id, id) DO UPDATE SET value = excluded.value, size = excluded.size, updated_at = excluded.updated_at),
kd AS (DELETE FROM stored_key s USING %[1]s, json_to_recordset($%[2]d::json) AS v("user" text, id text, value text)
	WHERE s.user_id = v."user" AND s.id = decode(v.id, 'hex') AND v.value IS NULL)`, lease, parameter)
}

// Parameter is that of Statement: the last write of each key, in one order for everybody, so that two servers do not
// wait for each other.
func Parameter(writes []Write) string {
	type key struct {
		user string
		id   keyID
	}
	last := make(map[key]int, len(writes))
	for i, w := range writes {
		last[key{w.User, w.id}] = i
	}
	type row struct {
		User   string  `json:"user"`
		ID     string  `json:"id"`
		Plugin string  `json:"plugin"`
		Graph  string  `json:"graph"`
		Node   string  `json:"node"`
		Key    string  `json:"key"`
		Value  *string `json:"value"`
		Size   int     `json:"size"`
	}
	rows := make([]row, 0, len(last))
	for k, i := range last {
		w := &writes[i]
		r := row{User: w.User, ID: hex.EncodeToString(k.id[:]), Plugin: w.Plugin, Graph: w.Graph, Node: w.Node, Key: w.Key, Size: w.size()}
		if w.Value != nil {
			value := string(w.Value)
			r.Value = &value
		}
		rows = append(rows, r)
	}
	sort.Slice(rows, func(i, j int) bool {
		if rows[i].User != rows[j].User {
			return rows[i].User < rows[j].User
		}
		return rows[i].ID < rows[j].ID
	})
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(rows) // strings and numbers
	return b.String()
}
