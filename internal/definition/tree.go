package definition

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a JSON value.
type node struct {
	kind     jsontext.Kind // as of the first token
	text     string        // of a string; of other plain values the token verbatim
	members  []member      // of an object, in its order
	elements []*node       // of an array
}

type member struct {
	name  string
	value *node
}

// parse reads one JSON value; names that come twice are refused.
func parse(raw []byte) (*node, error) {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	n, err := read(d)
	if err != nil {
		return nil, fmt.Errorf("read definition: %w", err)
	}
	return n, nil
}

func read(d *jsontext.Decoder) (*node, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &node{kind: token.Kind()}
	switch n.kind {
	case '{':
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			m := member{name: name.String()}
			if m.value, err = read(d); err != nil {
				return nil, err
			}
			n.members = append(n.members, m)
		}
		_, err = d.ReadToken()
	case '[':
		for d.PeekKind() != ']' {
			element, err := read(d)
			if err != nil {
				return nil, err
			}
			n.elements = append(n.elements, element)
		}
		_, err = d.ReadToken()
	default:
		n.text = token.String() // Of a number this is the token verbatim.
	}
	return n, err
}

// get returns the member of an object, or nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// plain reports whether the value is neither an object nor an array.
func (n *node) plain() bool { return n.kind != '{' && n.kind != '[' }

// is reports whether the value is this literal: "true", "false" or "null".
func (n *node) is(literal string) bool {
	return n != nil && n.kind != '"' && n.plain() && n.text == literal
}

// same reports whether two values have one canonical form: the order of members
// does not count, all else does.
func same(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || len(a.members) != len(b.members) || len(a.elements) != len(b.elements) {
		return false
	}
	for i := range a.elements {
		if !same(a.elements[i], b.elements[i]) {
			return false
		}
	}
	others := index(b.members)
	for _, m := range a.members {
		other, found := others[m.name]
		if !found || !same(m.value, other) {
			return false
		}
	}
	return true
}

// index returns members by name.
func index(members []member) map[string]*node {
	byName := make(map[string]*node, len(members))
	for _, m := range members {
		byName[m.name] = m.value
	}
	return byName
}

// appendJSON writes the value, strings with as few escapes as JSON allows, so that
// what does not show is there to be written out.
func (n *node) appendJSON(out []byte) []byte {
	switch n.kind {
	case '"':
		return quote(out, n.text)
	case '{':
		out = append(out, '{')
		for i, m := range n.members {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(quote(out, m.name), ':')
			out = m.value.appendJSON(out)
		}
		return append(out, '}')
	case '[':
		out = append(out, '[')
		for i, element := range n.elements {
			if i > 0 {
				out = append(out, ',')
			}
			out = element.appendJSON(out)
		}
		return append(out, ']')
	}
	return append(out, n.text...)
}

func quote(out []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(out, text)
	if err != nil { // Not UTF-8, which the parser does not let pass.
		return append(out, `"?"`...)
	}
	return quoted
}
