package value

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Member is one entry of a dictionary. RawKey is the key as it was written, quotes included.
type Member struct {
	RawKey json.RawMessage
	Value  json.RawMessage
}

// Key is the member's name.
func (m Member) Key() string { return Text(m.RawKey) }

// Elements takes a list apart. The elements share the list's memory and must not be changed.
func Elements(list json.RawMessage) []json.RawMessage {
	var elements []json.RawMessage
	for part := range parts(list) {
		elements = append(elements, part)
	}
	return elements
}

// Members takes a dictionary apart, in its order. Where a key stands twice, both are there.
func Members(object json.RawMessage) []Member {
	var members []Member
	for part := range parts(object) {
		end := stringEnd(part)
		rest := Trim(part[end:])
		members = append(members, Member{RawKey: part[:end:end], Value: Trim(rest[1:])})
	}
	return members
}

// Lookup finds a key's value. As in Python the last of equal keys counts.
func Lookup(object json.RawMessage, key string) (json.RawMessage, bool) {
	members := Members(object)
	if at := Position(members, key); at >= 0 {
		return members[at].Value, true
	}
	return nil, false
}

// Position is the index of the last member with the key, or -1.
func Position(members []Member, key string) int {
	for i := len(members) - 1; i >= 0; i-- {
		if members[i].Key() == key {
			return i
		}
	}
	return -1
}

// Keys counts the different keys of a dictionary.
func Keys(object json.RawMessage) int {
	seen := map[string]struct{}{}
	for part := range parts(object) {
		seen[Text(part[:stringEnd(part)])] = struct{}{}
	}
	return len(seen)
}

// Len counts the elements of a list.
func Len(list json.RawMessage) int {
	n := 0
	for range parts(list) {
		n++
	}
	return n
}

// ListOf puts elements together.
func ListOf(elements []json.RawMessage) json.RawMessage {
	size := 2 + len(elements)
	for _, element := range elements {
		size += len(element)
	}
	list := append(make(json.RawMessage, 0, size), '[')
	for i, element := range elements {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, element...)
	}
	return append(list, ']')
}

// ObjectOf puts members together.
func ObjectOf(members []Member) json.RawMessage {
	size := 2
	for _, member := range members {
		size += len(member.RawKey) + len(member.Value) + 2
	}
	object := append(make(json.RawMessage, 0, size), '{')
	for i, member := range members {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(append(append(object, member.RawKey...), ':'), member.Value...)
	}
	return append(object, '}')
}

// Append adds elements to a list's end without taking the list apart: lists that grow by one are many.
func Append(list json.RawMessage, elements ...json.RawMessage) json.RawMessage {
	if len(elements) == 0 {
		return list
	}
	if isEmpty(list) {
		return ListOf(elements)
	}
	size := len(list)
	for _, element := range elements {
		size += len(element) + 1
	}
	grown := append(make(json.RawMessage, 0, size), list[:len(list)-1]...)
	for _, element := range elements {
		grown = append(append(grown, ','), element...)
	}
	return append(grown, ']')
}

// Set gives a key a value: in its place when it is there, else at the end.
func Set(members []Member, key string, v json.RawMessage) []Member {
	if at := Position(members, key); at >= 0 {
		members = slices.Clone(members)
		members[at].Value = v
		return members
	}
	return append(slices.Clip(members), Member{RawKey: FromText(key), Value: v})
}

// Merge gives the keys of entries their values: in their places where they are there, else at the end.
func Merge(members, entries []Member) []Member {
	merged := slices.Clone(members)
	at := make(map[string]int, len(members)+len(entries))
	for i, member := range merged {
		at[member.Key()] = i
	}
	for _, entry := range entries {
		key := entry.Key()
		if i, ok := at[key]; ok {
			merged[i].Value = entry.Value
			continue
		}
		at[key] = len(merged)
		merged = append(merged, entry)
	}
	return merged
}

// FromInt is an integer as JSON.
func FromInt(n int) json.RawMessage { return strconv.AppendInt(nil, int64(n), 10) }

// parts yields what stands between the commas of a list or dictionary, without space around it.
func parts(container json.RawMessage) func(yield func(json.RawMessage) bool) {
	return func(yield func(json.RawMessage) bool) {
		body := container[1 : len(container)-1]
		depth, start := 0, 0
		for i := 0; i < len(body); i++ {
			switch body[i] {
			case '"':
				i += stringEnd(body[i:]) - 1
			case '[', '{':
				depth++
			case ']', '}':
				depth--
			case ',':
				if depth == 0 {
					part := Trim(body[start:i])
					if !yield(part[:len(part):len(part)]) {
						return
					}
					start = i + 1
				}
			}
		}
		if part := Trim(body[start:]); len(part) > 0 {
			yield(part[:len(part):len(part)])
		}
	}
}

// stringEnd is the length of the JSON string that raw begins with.
func stringEnd(raw json.RawMessage) int {
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}
