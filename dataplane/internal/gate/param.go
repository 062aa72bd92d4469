package gate

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
)

// Param is an argument that modern clients repeat in a header, because the
// tool's schema says so (x-mcp-header).
type Param struct {
	// Header is the name of the header, in the spelling of http.Header.
	Header string
	// Path leads to the argument, from the outermost object of arguments.
	Path []string
}

var (
	errParam  = errors.New("an x-mcp-header of its schema is not valid")
	errSchema = errors.New("its input schema cannot be read")
)

// What a schema has somewhere if any argument goes into a header: the name as it
// is, or spelled with escapes.
var (
	headerMark = []byte(`"x-mcp-header"`)
	escapeMark = []byte(`\u`)
)

// paramsOf returns the arguments that a definition sends through headers. An
// annotation that is not valid makes the tool unusable (mcp.md 2.2).
func paramsOf(definition []byte) ([]Param, error) {
	if !bytes.Contains(definition, headerMark) && !bytes.Contains(definition, escapeMark) {
		return nil, nil
	}
	var w paramWalk
	err := mcp.Members(definition, func(name string, value mcp.Span) error {
		if name != "inputSchema" {
			return nil
		}
		return w.schema(value.Of(definition), nil)
	})
	if err == nil || errors.Is(err, errParam) {
		return w.params, err
	}
	return nil, errSchema
}

// paramWalk walks the properties of a schema, at any depth.
type paramWalk struct{ params []Param }

func (w *paramWalk) schema(schema []byte, path []string) error {
	return mcp.Members(schema, func(name string, value mcp.Span) error {
		if name != "properties" {
			return nil
		}
		properties := value.Of(schema)
		return mcp.Members(properties, func(name string, value mcp.Span) error {
			return w.property(value.Of(properties), append(slices.Clone(path), name))
		})
	})
}

// property takes one property. One that is no object (true, for example) allows
// anything and annotates nothing.
func (w *paramWalk) property(property []byte, path []string) error {
	if property[0] != '{' {
		return nil
	}
	var kind, header []byte
	err := mcp.Members(property, func(name string, value mcp.Span) error {
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
	name, err := mcp.String(header)
	if err != nil || !isToken(name) {
		return errParam
	}
	name = http.CanonicalHeaderKey(mcp.HeaderParamPrefix + name)
	if slices.ContainsFunc(w.params, func(p Param) bool { return strings.EqualFold(p.Header, name) }) {
		return errParam
	}
	w.params = append(w.params, Param{Header: name, Path: path})
	return nil
}

// isToken reports whether name may stand in the name of a header (RFC 9110).
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
