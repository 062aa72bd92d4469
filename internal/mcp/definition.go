package mcp

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// definitionDomain separates these hashes from all others, and names the form.
const definitionDomain = "warder/def/v1"

// CanonicalDefinition returns the one spelling of a definition (security.md 2.1): names sorted by their UTF-8 bytes,
// strings in the escapes of AppendString, no white space, and number tokens as they were sent. Numbers are not read,
// because to read them as floating point would make 9007199254740993 and 9007199254740992 the same definition.
//
// The definition is scanned strictly; an *Error says why it was refused. Canonical bytes are canonical: doing it twice
// changes nothing.
func CanonicalDefinition(raw []byte) ([]byte, error) {
	s := newScanner(raw, Limits{})
	if s.begin(); s.err != nil {
		return nil, s.err
	}
	out := s.canonical(make([]byte, 0, len(raw)))
	if s.end(); s.err != nil {
		return nil, s.err
	}
	return out, nil
}

// DefinitionHash returns SHA-256("warder/def/v1" || CanonicalDefinition(raw)), the name under which a definition is
// approved.
func DefinitionHash(raw []byte) ([sha256.Size]byte, error) {
	canonical, err := CanonicalDefinition(raw)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(append([]byte(definitionDomain), canonical...)), nil
}

// LegacyDefinition returns a tool's definition as legacy clients can read it. Their output schema describes an object
// or is not there; clients refuse the whole list for another one. A definition without fault is returned as it is,
// sharing its memory. The definition has been accepted by CanonicalDefinition.
func LegacyDefinition(definition []byte) []byte {
	s := newScanner(definition, Limits{})
	if s.begin(); s.err != nil || s.peek() != '{' {
		return definition
	}
	o := s.open()
	for s.next(&o) {
		name, value := o.name(definition), s.value()
		if s.err != nil || name != "outputSchema" {
			continue
		}
		if definition[value.Start] == '{' && string(lookUp(definition, value, "type").Of(definition)) == `"object"` {
			break
		}
		patches := cut(nil, definition, []Span{o.member(value.End)})
		return apply(make([]byte, 0, len(definition)), definition, patches)
	}
	return definition
}

// canonical appends the canonical form of the value at hand.
func (s *scanner) canonical(dst []byte) []byte {
	s.space()
	switch s.peek() {
	case '{':
		return s.canonicalObject(dst)
	case '[':
		return s.canonicalArray(dst)
	}
	token := s.value().Of(s.b)
	if len(token) > 0 && token[0] == '"' {
		return AppendString(dst, unquote(token))
	}
	return append(dst, token...)
}

func (s *scanner) canonicalArray(dst []byte) []byte {
	dst = append(dst, '[')
	for more := s.firstElement(); more; {
		dst = s.canonical(dst)
		if more = s.nextElement(); more {
			dst = append(dst, ',')
		}
	}
	return append(dst, ']')
}

// canonicalObject writes the members in the order they come, and then puts them in order.
func (s *scanner) canonicalObject(dst []byte) []byte {
	type member struct{ name, text []byte }
	var members []member
	var text []byte
	o := s.open()
	for s.next(&o) {
		name := []byte(o.name(s.b))
		start := len(text)
		text = append(AppendString(text, string(name)), ':')
		text = s.canonical(text)
		members = append(members, member{name, text[start:]})
		if s.err != nil {
			s.err.in(string(name))
		}
	}
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.text...)
	}
	return append(dst, '}')
}
