package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// expectation is what a scenario leads to. Its lines are:
//
//	outputs {"y":[1]}       the outputs; without the line there are none
//	failed n text           the execution FAILED by node n, with an error that has the text; without the line it COMPLETED
//	waiting n a,b|c         a node execution of n waits, has a and b and misses c; all of them must be listed
//	n: …                    the node executions of n in the order in which they were queued
//	n%: …                   the same in any order
//	refused n.pin text      executing is 422, with the text for that pin; n.pin may be - for an error without a node
//	unsaved n.pin text      storing is 422
//
// Node executions are written as
//
//	[1,2]                   COMPLETED, with this one output
//	@{"p":[1],"q":[2]}      COMPLETED, with these outputs by pin
//	-                       COMPLETED, without outputs
//	!text                   FAILED, with nothing but an error that has the text (_ stands for a space)
//	!text@{"out":[1]}       FAILED, with these outputs before
//	*3                      three of them COMPLETED, whatever their outputs
//	none                    there is none
//
// Nodes without a line have one COMPLETED execution each. Values are compared as they were written.
type expectation struct {
	outputs map[string]string
	failed  *blame
	waiting []string
	nodes   map[string]nodeExpectation
	refused *blame
	unsaved *blame
}

type blame struct{ where, text string }

type nodeExpectation struct {
	runs     []string // in the notation, compacted
	anyOrder bool
}

func parseExpectation(t *testing.T, text string) *expectation {
	t.Helper()
	e := &expectation{outputs: map[string]string{}, nodes: map[string]nodeExpectation{}}
	for _, l := range lines(text) {
		word, rest, _ := strings.Cut(l, " ")
		switch word {
		case "outputs":
			var pins map[string]json.RawMessage
			if err := json.Unmarshal([]byte(rest), &pins); err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			for name, values := range pins {
				e.outputs[name] = compact(values)
			}
		case "failed", "refused", "unsaved":
			where, text, _ := strings.Cut(rest, " ")
			b := &blame{where, text}
			switch word {
			case "failed":
				e.failed = b
			case "refused":
				e.refused = b
			default:
				e.unsaved = b
			}
		case "waiting":
			e.waiting = append(e.waiting, rest)
		default:
			node, ok := strings.CutSuffix(word, ":")
			if !ok {
				t.Fatalf("an expectation does not begin with %q", word)
			}
			node, anyOrder := strings.CutSuffix(node, "%")
			e.nodes[node] = nodeExpectation{runsOf(t, rest), anyOrder}
		}
	}
	sort.Strings(e.waiting)
	return e
}

// runsOf reads node executions in the notation.
func runsOf(t *testing.T, text string) []string {
	t.Helper()
	var runs []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var prefix string
		switch text[0] {
		case '-':
			if len(text) == 1 || text[1] == ' ' {
				runs, text = append(runs, "-"), text[1:]
				continue
			}
		case '*', '!', 'n':
			word, _, _ := strings.Cut(text, " ")
			if word == "null" {
				break
			}
			if at := strings.IndexByte(word, '@'); at >= 0 {
				prefix, text = text[:at+1], text[at+1:]
				break
			}
			text = text[len(word):]
			if n, err := strconv.Atoi(strings.TrimPrefix(word, "*")); err == nil {
				runs = append(runs, slices.Repeat([]string{"*"}, n)...)
			} else if word != "none" {
				runs = append(runs, word)
			}
			continue
		case '@':
			prefix, text = "@", text[1:]
		}
		d := json.NewDecoder(strings.NewReader(text))
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		runs, text = append(runs, prefix+compact(v)), text[d.InputOffset():]
	}
	return runs
}

// check compares an execution that has ended with what was expected.
func (e *expectation) check(t *testing.T, s *scenario, d *details) {
	t.Helper()
	switch {
	case e.failed == nil && (d.Status != "COMPLETED" || d.Error != nil):
		t.Errorf("status %s, error %+v", d.Status, d.Error)
	case e.failed != nil && (d.Status != "FAILED" || d.Error == nil || d.Error.NodeID == nil || *d.Error.NodeID != e.failed.where || !strings.Contains(d.Error.Message, e.failed.text)):
		t.Errorf("status %s, error %+v, want FAILED by %s with %q", d.Status, d.Error, e.failed.where, e.failed.text)
	}
	if d.StartedAt == nil || d.EndedAt == nil || d.EndedAt.Before(*d.StartedAt) {
		t.Errorf("from %v to %v", d.StartedAt, d.EndedAt)
	}
	outputs := map[string]string{}
	for name, values := range d.Outputs {
		outputs[name] = compact(values)
	}
	if fmt.Sprint(outputs) != fmt.Sprint(e.outputs) {
		t.Errorf("outputs %v, want %v", outputs, e.outputs)
	}
	var waiting []string
	for _, w := range d.Waiting {
		slices.Sort(w.Have)
		slices.Sort(w.Missing)
		waiting = append(waiting, w.Node+" "+strings.Join(w.Have, ",")+"|"+strings.Join(w.Missing, ","))
	}
	sort.Strings(waiting)
	if !slices.Equal(waiting, e.waiting) {
		t.Errorf("waiting %q, want %q", waiting, e.waiting)
	}
	for _, l := range lines(s.nodes) {
		f := strings.SplitN(l, " ", 3)
		want, ok := e.nodes[f[0]]
		if !ok && f[1] != "NOTE" {
			want.runs = []string{"*"}
		}
		want.check(t, f[0], d.of(f[0]))
	}
}

func (want nodeExpectation) check(t *testing.T, node string, got []nodeExecution) {
	t.Helper()
	var runs []string
	for i := range got {
		runs = append(runs, notation(&got[i]))
	}
	matches := len(runs) == len(want.runs)
	left := slices.Clone(runs)
	for i, w := range want.runs {
		at := -1
		switch {
		case want.anyOrder:
			at = slices.IndexFunc(left, func(r string) bool { return sameRun(w, r) })
		case i < len(runs) && sameRun(w, runs[i]):
			at = 0
		}
		if at < 0 {
			matches = false
			break
		}
		left = slices.Delete(left, at, at+1)
	}
	if !matches {
		t.Errorf("node executions of %s: %s, want %s", node, strings.Join(runs, " "), strings.Join(want.runs, " "))
	}
}

// notation writes a node execution as expectations do, always with its pins.
func notation(n *nodeExecution) string {
	switch n.Status {
	case "COMPLETED":
		if len(n.Output) == 0 {
			return "-"
		}
		return "@" + string(n.output)
	case "FAILED":
		if len(n.Output["error"]) != 1 || n.Error == nil {
			return fmt.Sprintf("FAILED without its one error: %s, %v", n.output, n.Error)
		}
		var text string
		if err := json.Unmarshal(n.Output["error"][0], &text); err != nil || !strings.Contains(text, *n.Error) {
			return fmt.Sprintf("FAILED with an error that does not say why: %s, %v", n.output, *n.Error)
		}
		rest := "!" + text + "@"
		if at := strings.LastIndex(string(n.output), `"error":`); at > 1 {
			return rest + strings.TrimSuffix(string(n.output)[:at], ",") + "}"
		}
		return rest + "{}"
	default:
		return n.Status
	}
}

// sameRun compares what was wanted, in the short notation, with what there is, in the long one.
func sameRun(want, got string) bool {
	switch {
	case want == "-":
		return got == "-"
	case want == "*":
		return got == "-" || strings.HasPrefix(got, "@")
	case strings.HasPrefix(want, "@"):
		return got == want
	case strings.HasPrefix(want, "!"):
		text, outputs, ok := strings.Cut(want[1:], "@")
		if !ok {
			outputs = "{}"
		}
		return strings.HasPrefix(got, "!") && strings.Contains(got, strings.ReplaceAll(text, "_", " ")) && strings.HasSuffix(got, "@"+outputs)
	default: // one value, on whichever pin
		return strings.HasPrefix(got, "@{\"") && strings.HasSuffix(got, `":[`+want+`]}`) && strings.Count(got, `":[`+want+`]}`) == 1 &&
			!strings.Contains(strings.TrimSuffix(got, `":[`+want+`]}`), `":[`)
	}
}

// checkRefusal checks a 422 for a graph or an execution.
func checkRefusal(t *testing.T, a answer, want *blame) {
	t.Helper()
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Details struct {
				NodeErrors map[string]map[string]string `json:"node_errors"`
			} `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || a.status != 422 || body.Error.Code != "VALIDATION_ERROR" {
		t.Errorf("%d %s, want 422", a.status, a.body)
		return
	}
	text := body.Error.Message
	if want.where != "-" {
		node, pin, _ := strings.Cut(want.where, ".")
		text = body.Error.Details.NodeErrors[node][pin]
	}
	if text == "" || !strings.Contains(text, want.text) {
		t.Errorf("%s does not say %q at %s", a.body, want.text, want.where)
	}
}
