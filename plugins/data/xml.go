package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// Bounds of a document. Entities of its own it may not have, so that it cannot grow while it is read.
const (
	maxXML         = 10 << 20 // bytes
	maxXMLDepth    = 1_000
	maxXMLElements = 1_000_000 // attributes too
)

type parseXMLInput struct {
	XML string `json:"input_xml" required:"true" doc:"Document with one root"`
}

var parseXML = sdk.Block[parseXMLInput]{
	ID:          "286380af-9529-4b55-8be0-1d7c854abdb5",
	Name:        "XML Parser",
	Description: "Turns XML into nested dictionaries, under the names of the elements in small letters. Elements of the same name make a list; attributes stand under @name, text beside elements under #text",
	Categories:  []string{},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("parsed_xml", sdk.Map("The document", sdk.Any("")))},
	Run: func(_ context.Context, in parseXMLInput, out sdk.Emitter) error {
		root, err := readXML(in.XML)
		if err != nil {
			return sdk.InvalidInput("the XML is malformed: %w", err)
		}
		return out.Emit("parsed_xml", (&element{children: []*element{root}}).write(nil))
	},
	Examples: []sdk.Example{
		{Input: `{"input_xml": "<tag1><tag2>content</tag2></tag1>"}`, Output: `{"parsed_xml": [{"tag1": {"tag2": "content"}}]}`},
		{Input: `{"input_xml": "<a id='1'><b>x</b><c/></a>"}`, Output: `{"parsed_xml": [{"a": {"@id": "1", "b": "x", "c": ""}}]}`},
		{Input: `{"input_xml": "<a><b>1</b><b>2</b></a>"}`, Output: `{"parsed_xml": [{"a": [{"b": "1"}, {"b": "2"}]}]}`},
	},
}

// element is one of a document. Attributes, and text beside other children, are children too.
type element struct {
	name     string
	text     []byte
	children []*element
}

// readXML gives the root. It is lenient in one thing, as what models write needs it: an ampersand that begins no
// reference stands for itself.
func readXML(text string) (*element, error) {
	if len(text) > maxXML {
		return nil, fmt.Errorf("it is longer than %d MiB", maxXML>>20)
	}
	text = escapeAmpersands(text)
	decoder := xml.NewDecoder(strings.NewReader(text))
	// The text has been decoded by whoever sent it, whatever its head says.
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	t := tree{open: []*element{{}}}
	for {
		begin := decoder.InputOffset()
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return t.root()
		}
		if err == nil {
			err = t.add(token, text[begin:decoder.InputOffset()])
		}
		if err != nil {
			line, _ := decoder.InputPos()
			if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
				err = errors.New(syntax.Msg)
			}
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// escapeAmpersands escapes those that begin no reference, where there may be references.
func escapeAmpersands(text string) string {
	if !strings.Contains(text, "&") {
		return text
	}
	var out strings.Builder
	rest := text
	for {
		at := strings.IndexAny(rest, "&<")
		if at < 0 {
			break
		}
		out.WriteString(rest[:at])
		rest = rest[at:]
		n := 1
		if rest[0] == '&' && !reference.MatchString(rest) {
			out.WriteString("&amp;")
		} else {
			n = max(n, literal(rest))
			out.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	out.WriteString(rest)
	return out.String()
}

var reference = regexp.MustCompile(`^&#?[\p{L}\p{N}_:][\p{L}\p{N}_:.-]*;`)

// literal is how long the section is that the text begins with and in which an ampersand means nothing; 0: there is
// none.
func literal(text string) int {
	var end string
	switch {
	case strings.HasPrefix(text, "<![CDATA["):
		end = "]]>"
	case strings.HasPrefix(text, "<!--"):
		end = "-->"
	case strings.HasPrefix(text, "<?"):
		end = "?>"
	case strings.HasPrefix(text, "<!"):
		end = ">"
	default:
		return 0
	}
	if at := strings.Index(text, end); at >= 0 {
		return at + len(end)
	}
	return len(text)
}

// tree is a document while it is read. The first of the open elements stands for the document itself.
type tree struct {
	open     []*element
	elements int
	doctype  bool
}

// add takes a token, and the text of the document that it was read from.
func (t *tree) add(token xml.Token, text string) error {
	if surrogate.MatchString(text) && !strings.HasPrefix(text, "<!") && !strings.HasPrefix(text, "<?") {
		return errors.New("a reference stands for half a character")
	}
	switch token := token.(type) {
	case xml.StartElement:
		return t.start(token, text)
	case xml.EndElement:
		last := t.open[len(t.open)-1]
		if name := nameOf(token.Name); len(t.open) == 1 || name != last.name {
			return fmt.Errorf("</%.50s> ends no element that is open", name)
		}
		last.close()
		t.open = t.open[:len(t.open)-1]
	case xml.CharData:
		if len(t.open) == 1 && strings.TrimFunc(strings.TrimPrefix(string(token), "\ufeff"), value.IsSpace) != "" {
			return errors.New("there is text outside the root")
		}
		last := t.open[len(t.open)-1]
		last.text = append(last.text, token...)
	case xml.ProcInst:
		if strings.EqualFold(token.Target, "xml") && (t.doctype || len(t.open[0].children) > 0) {
			return errors.New("the XML declaration stands at the beginning only")
		}
	case xml.Directive:
		if t.doctype || len(t.open[0].children) > 0 {
			return errors.New("a document type stands before the root, once")
		}
		t.doctype = true
		if strings.Contains(strings.ToUpper(string(token)), "ENTITY") {
			return errors.New("it declares entities, which it must not")
		}
	}
	return nil
}

func (t *tree) start(token xml.StartElement, text string) error {
	parent := t.open[len(t.open)-1]
	switch t.elements += 1 + len(token.Attr); {
	case len(t.open) == 1 && len(parent.children) > 0:
		return errors.New("there is more than one root")
	case len(t.open) > maxXMLDepth:
		return fmt.Errorf("the elements are nested deeper than %d levels", maxXMLDepth)
	case t.elements > maxXMLElements:
		return fmt.Errorf("it has more than %d elements and attributes", maxXMLElements)
	}
	if len(token.Attr) > 1 && glued.MatchString(text) {
		return errors.New("attributes stand apart from each other")
	}
	e := &element{name: nameOf(token.Name)}
	seen := make(map[xml.Name]struct{}, len(token.Attr))
	for _, attribute := range token.Attr {
		if _, twice := seen[attribute.Name]; twice {
			return fmt.Errorf("<%.50s> has the attribute %.50s twice", e.name, nameOf(attribute.Name))
		}
		seen[attribute.Name] = struct{}{}
		e.children = append(e.children, &element{name: "@" + nameOf(attribute.Name), text: []byte(attribute.Value)})
	}
	parent.children = append(parent.children, e)
	t.open = append(t.open, e)
	return nil
}

// surrogate is a reference to a code point of UTF-16's pairs, from U+D800 to U+DFFF.
var surrogate = regexp.MustCompile(`&#(?:x0*[dD][89a-fA-F][0-9a-fA-F]{2}|0*(?:5529[6-9]|55[3-9]\d\d|56\d{3}|57[0-2]\d\d|573[0-3]\d|5734[0-3]));`)

// glued is a tag with an attribute that begins where another one ends.
var glued = regexp.MustCompile(`^[^"']*(?:(?:"[^"]*"|'[^']*')[^"']*)*(?:"[^"]*"|'[^']*')[^\s"'/>?]`)

// nameOf is a name with its prefix. Agents know names in small letters.
func nameOf(name xml.Name) string {
	if name.Space != "" {
		return strings.ToLower(name.Space + ":" + name.Local)
	}
	return strings.ToLower(name.Local)
}

func (e *element) close() {
	text := strings.TrimFunc(string(e.text), value.IsSpace)
	e.text = []byte(text)
	if text != "" && len(e.children) > 0 {
		e.children = append(e.children, &element{name: "#text", text: e.text})
	}
}

func (t *tree) root() (*element, error) {
	switch {
	case len(t.open) > 1:
		return nil, fmt.Errorf("<%.50s> does not end", t.open[len(t.open)-1].name)
	case len(t.open[0].children) == 0:
		return nil, errors.New("it has no root")
	}
	return t.open[0].children[0], nil
}

// write appends an element's content as JSON: a dictionary of its children, or, where a name stands twice, a list of
// dictionaries of one child each, so that their order is kept.
func (e *element) write(out json.RawMessage) json.RawMessage {
	if len(e.children) == 0 {
		return append(out, value.FromText(string(e.text))...)
	}
	begin, between, end := "{", ",", "}"
	if e.repeats() {
		begin, between, end = "[{", "},{", "}]"
	}
	for i, child := range e.children {
		if i == 0 {
			out = append(out, begin...)
		} else {
			out = append(out, between...)
		}
		out = append(append(out, value.FromText(child.name)...), ':')
		out = child.write(out)
	}
	return append(out, end...)
}

// repeats says whether two children have the same name.
func (e *element) repeats() bool {
	seen := make(map[string]struct{}, len(e.children))
	for _, child := range e.children {
		seen[child.name] = struct{}{}
	}
	return len(seen) < len(e.children)
}
