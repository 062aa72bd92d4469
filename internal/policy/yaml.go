package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/warder-gateway/warder/internal/fault"
)

// node is a value of a document and how to speak of it: "rules[3].effect".
type node struct {
	path   string
	value  ast.Node
	source string // the whole document
}

// parseYAML returns the root of a single document of plain YAML: no anchors,
// aliases, tags, merge keys or directives, and no deep nesting. None of them has
// a use here, and each has been a way to make a small text a large one.
func parseYAML(text []byte) (*node, error) {
	if len(text) > MaxDocument {
		return nil, fault.Newf(fault.Invalid, "the document has %d bytes; at most %d are allowed", len(text), MaxDocument)
	}
	if !utf8.Valid(text) {
		return nil, fault.New(fault.Invalid, "the document is not UTF-8 text")
	}
	tokens := lexer.Tokenize(string(text))
	if err := plainYAML(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, syntaxError(err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fault.New(fault.Invalid, "the file holds no document, or more than one; write one that begins with \"rules:\"")
	}
	return &node{value: file.Docs[0].Body, source: string(text)}, nil
}

const (
	// maxDepth is how deep brackets, or sequences begun on one line, may nest. The
	// parser is recursive; what comes before it is not.
	maxDepth = 16
	// maxEntries is how many entries all lists written with dashes may have
	// together. The parser's time grows with their square.
	maxEntries = 60_000
)

func plainYAML(tokens token.Tokens) error {
	brackets, entries, total, line := 0, 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			entries, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.DirectiveType, token.MappingKeyType:
			return located(t, "", "%q is not allowed in a policy; write values out, and text with special characters in quotes", t.Value)
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType:
			entries++
			total++
		}
		if brackets > maxDepth || entries > maxDepth {
			return located(t, "", "the document nests deeper than %d levels", maxDepth)
		}
		if total > maxEntries {
			return located(t, "", "the lists of the document have more than %d entries; write long ones as [a, b]", maxEntries)
		}
	}
	return nil
}

// syntaxError words an error of the parser, which is about the text only.
func syntaxError(err error) error {
	if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok && syntax.Token != nil {
		return located(syntax.Token, "", "not YAML: %s", syntax.Message)
	}
	if twice, ok := errors.AsType[*yaml.DuplicateKeyError](err); ok && twice.Token != nil {
		return located(twice.Token, "", "%s", twice.Message)
	}
	return fault.Wrap(fault.Invalid, "the document is not YAML", err)
}

// located returns an error about a place of the document.
func located(at *token.Token, path, format string, args ...any) error {
	return locatedAt(at.Position.Line, at.Position.Column, path, fmt.Sprintf(format, args...))
}

func locatedAt(line, column int, path, text string) error {
	if path != "" {
		text = path + ": " + text
	}
	return fault.Wrap(fault.Invalid, fmt.Sprintf("line %d, column %d: %s", line, column, text), &misplaced{line, column, text})
}

// wrong returns an error about the node.
func (n *node) wrong(format string, args ...any) error {
	return located(beginning(n.value), n.path, format, args...)
}

// beginning returns the token at which people see a value begin: of a mapping, its
// first key.
func beginning(value ast.Node) *token.Token {
	switch v := value.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return v.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return v.Key.GetToken()
	}
	return value.GetToken()
}

// begins returns the place at which people see the node begin.
func (n *node) begins() *token.Position { return beginning(n.value).Position }

func (n *node) line() int { return n.begins().Line }

func (n *node) isMapping() bool {
	_, ok := n.value.(ast.MapNode)
	return ok
}

// fields returns the members of a mapping by name. Each is of known, and none
// occurs twice.
func (n *node) fields(known []string) (map[string]*node, error) {
	mapping, ok := n.value.(ast.MapNode)
	if !ok {
		return nil, n.wrong("this should be an object with the fields %s", strings.Join(known, ", "))
	}
	fields := map[string]*node{}
	for members := mapping.MapRange(); members.Next(); {
		key, ok := members.Key().(*ast.StringNode)
		if !ok {
			return nil, located(members.Key().GetToken(), n.path, "a field's name is text")
		}
		field := &node{path: strings.TrimPrefix(n.path+"."+key.Value, "."), value: members.Value(), source: n.source}
		if err := admit(key, field.path, known); err != nil {
			return nil, err
		}
		if fields[key.Value] != nil {
			return nil, located(key.GetToken(), field.path, "the field occurs twice")
		}
		if _, null := field.value.(*ast.NullNode); null || field.value == nil {
			return nil, located(key.GetToken(), field.path, "the field has no value; leave it out instead")
		}
		fields[key.Value] = field
	}
	return fields, nil
}

func admit(key *ast.StringNode, path string, known []string) error {
	for _, name := range known {
		if name == key.Value {
			return nil
		}
	}
	return located(key.GetToken(), path, "unknown field%s; the fields here are %s", suggestion(key.Value, known), strings.Join(known, ", "))
}

// items returns the entries of a sequence.
func (n *node) items(most int) ([]*node, error) {
	sequence, ok := n.value.(*ast.SequenceNode)
	if !ok {
		return nil, n.wrong("this should be a list; write [a, b], or one entry a line after \"- \"")
	}
	if len(sequence.Values) > most {
		return nil, n.wrong("the list has %d entries; at most %d are allowed", len(sequence.Values), most)
	}
	items := make([]*node, len(sequence.Values))
	for i, value := range sequence.Values {
		items[i] = &node{path: fmt.Sprintf("%s[%d]", n.path, i), value: value, source: n.source}
	}
	return items, nil
}

// text returns a text that is not empty; "" only for a nil node, which stands
// for a field that was left out.
func (n *node) text() (string, error) {
	if n == nil {
		return "", nil
	}
	var text string
	switch v := n.value.(type) {
	case *ast.StringNode:
		text = v.Value
	case *ast.LiteralNode:
		text = strings.TrimSuffix(v.Value.Value, "\n")
	default:
		return "", n.wrong("this should be text; put it in quotes if it is")
	}
	if text == "" {
		return "", n.wrong("this is empty; leave the field or the entry out instead")
	}
	return text, nil
}

// list returns the texts of a sequence.
func (n *node) list() ([]string, error) {
	return n.listOf(func(*node, string) error { return nil })
}

// maxList is the length of the longest list of a rule.
const maxList = 10_000

// listOf returns the texts of a sequence, each checked. A list that is there but
// empty is refused: it looks as if it matched nothing, and would match all.
func (n *node) listOf(check func(item *node, text string) error) ([]string, error) {
	if n == nil {
		return nil, nil
	}
	items, err := n.items(maxList)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, n.wrong("the list is empty; leave the field out to match anything")
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if texts[i], err = item.text(); err != nil {
			return nil, err
		}
		if err := check(item, texts[i]); err != nil {
			return nil, err
		}
	}
	return texts, nil
}
