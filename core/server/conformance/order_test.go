package conformance

import (
	"fmt"
	"strings"
	"testing"
)

// Order and concurrency.
var order = []scenario{
	{
		id: "C67", nodes: `e EMIT {"script":[["p",300],["p",10]]}
			s SLEEP
			y OUT`,
		links: `e.p -> s.ms
			s.out -> y.value`,
		want: `s: 300 10
			y: *2
			outputs {"y":[300,10]}`,
		check: func(t *testing.T, d *details) {
			if s := d.of("s"); !s[1].StartedAt.Before(*s[0].EndedAt) {
				t.Errorf("the second began at %v, when the first had ended at %v", s[1].StartedAt, s[0].EndedAt)
			}
		},
	},
	{
		id: "C69", nodes: `e EMIT {"script":[` + fifty("p", 0) + `]}
			f EMIT {"script":[` + fifty("p", 100) + `]}
			pair PAIR`,
		links: `e.p -> pair.a
			f.p -> pair.b`,
		want: "pair: " + zipped(),
	},
	{ // iterate, work at the same time, collect in order
		id: "fan", nodes: `e EMIT {"script":[` + fifty("p", 0) + `]}
			f ECHO
			g ECHO
			y OUT`,
		links: `e.p -> f.in
			f.out -> g.in
			g.out -> y.value`,
		want: `f: *50
			g: *50
			y: *50
			outputs {"y":[` + numbers(0) + `]}`,
	},
}

func fifty(pin string, from int) string {
	var list []string
	for i := range 50 {
		list = append(list, fmt.Sprintf(`["%s",%d]`, pin, from+i))
	}
	return strings.Join(list, ",")
}

func numbers(from int) string {
	var list []string
	for i := range 50 {
		list = append(list, fmt.Sprint(from+i))
	}
	return strings.Join(list, ",")
}

func zipped() string {
	var list []string
	for i := range 50 {
		list = append(list, fmt.Sprintf("[%d,%d]", i, 100+i))
	}
	return strings.Join(list, " ")
}
