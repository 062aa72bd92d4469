package mcp

import (
	"bytes"
	"errors"
	"math"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// Param is an argument that modern clients repeat in a header, because the tool's schema says so (x-mcp-header).
type Param struct {
	// Header is the name of the header, in the spelling of http.Header.
	Header string
	// Path leads to the argument, from the outermost object of arguments.
	Path []string
}

// maxParams bounds the arguments that one tool sends through headers: each costs a
// walk over the arguments of every call.
const maxParams = 32

var (
	errParam  = errors.New("an x-mcp-header of its schema is not valid")
	errParams = errors.New("its schema has more than 32 x-mcp-headers")
	errSchema = errors.New("its input schema cannot be read")
)

// What a schema has somewhere if any argument goes into a header: the name as it is, or spelled with escapes.
var (
	headerMark = []byte(`"x-mcp-header"`)
	escapeMark = []byte(`\u`)
)

// Params returns the arguments that a tool's definition sends through headers. An annotation that is not valid is an
// error, which makes the tool unusable (mcp.md 2.2); its text completes "the tool is withheld because".
func Params(definition []byte) ([]Param, error) {
	if !bytes.Contains(definition, headerMark) && !bytes.Contains(definition, escapeMark) {
		return nil, nil
	}
	var w paramWalk
	err := Members(definition, func(name string, value Span) error {
		if name != "inputSchema" {
			return nil
		}
		return w.schema(value.Of(definition), nil)
	})
	if err == nil || errors.Is(err, errParam) || errors.Is(err, errParams) {
		return w.params, err
	}
	return nil, errSchema
}

// paramWalk walks the properties of a schema, at any depth.
type paramWalk struct{ params []Param }

func (w *paramWalk) schema(schema []byte, path []string) error {
	return Members(schema, func(name string, value Span) error {
		if name != "properties" {
			return nil
		}
		properties := value.Of(schema)
		return Members(properties, func(name string, value Span) error {
			return w.property(value.Of(properties), append(slices.Clone(path), name))
		})
	})
}

// property takes one property. One that is no object (true, for example) allows anything and annotates nothing.
func (w *paramWalk) property(property []byte, path []string) error {
	if property[0] != '{' {
		return nil
	}
	var kind, header []byte
	err := Members(property, func(name string, value Span) error {
		switch name {
		case "type":
			kind = value.Of(property)
		case "x-mcp-header":
			header = value.Of(property)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if header != nil {
		if err := w.add(header, kind, path); err != nil {
			return err
		}
	}
	return w.schema(property, path)
}

// add takes an annotation: on a primitive, with a token that no other has.
func (w *paramWalk) add(header, kind []byte, path []string) error {
	switch string(kind) {
	case `"string"`, `"integer"`, `"boolean"`:
	default:
		return errParam
	}
	name, err := String(header)
	if err != nil || !isToken(name) {
		return errParam
	}
	name = textproto.CanonicalMIMEHeaderKey(HeaderParamPrefix + name)
	if slices.ContainsFunc(w.params, func(p Param) bool { return strings.EqualFold(p.Header, name) }) {
		return errParam
	}
	if len(w.params) == maxParams {
		return errParams
	}
	w.params = append(w.params, Param{Header: name, Path: path})
	return nil
}

// isToken reports whether name may stand in the name of a header (RFC 9110).
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !isDigit(c) && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// Argument returns the raw value of the parameter in arguments, an object that has been accepted, or nil if it is not
// there.
func (p *Param) Argument(arguments []byte) []byte {
	value := arguments
	for _, step := range p.Path {
		if len(value) == 0 || value[0] != '{' {
			return nil
		}
		object := Span{0, len(value)}
		s := within(value, object)
		o := s.open()
		var found []byte
		for s.next(&o) {
			span := s.value()
			if string(o.key.Of(value)) == step || o.escaped && o.name(value) == step {
				found = span.Of(value)
			}
		}
		value = found
	}
	return value
}

var (
	errNotPrimitive = errors.New("argument is neither a string nor an integer nor a boolean")
	errNotSafe      = errors.New("argument is not an integer between -(2^53-1) and 2^53-1")
)

// Value returns the header that repeats the parameter's argument, encoded as the header wants it; present is false when
// the argument is not there, or null, which means no header. An argument that no header can say is an error.
func (p *Param) Value(arguments []byte) (encoded string, present bool, err error) {
	value := p.Argument(arguments)
	if len(value) == 0 {
		return "", false, nil
	}
	switch c := value[0]; {
	case c == '"':
		return EncodeHeaderValue(unquote(value)), true, nil
	case c == 't', c == 'f':
		return string(value), true, nil
	case c == 'n':
		return "", false, nil
	case c == '-', isDigit(c):
		n, ok := SafeInteger(string(value))
		if !ok {
			return "", false, errNotSafe
		}
		return strconv.FormatInt(n, 10), true, nil
	}
	return "", false, errNotPrimitive
}

// SafeInteger reads a JSON number that is an integer which every client can tell from its neighbours, at most 2^53-1
// either way. It may be spelled as a fraction or with an exponent: 42.0 is 42.
func SafeInteger(number string) (int64, bool) {
	if strings.Trim(number, "0123456789+-.eE") != "" {
		return 0, false // ParseFloat knows more spellings than JSON
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > 1<<53-1 {
		return 0, false
	}
	return int64(n), true
}
