package policy

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml/ast"
)

// json returns a value of the document as JSON: the arguments of a test.
func (n *node) json() ([]byte, error) {
	var out bytes.Buffer
	encoder := jsontext.NewEncoder(&out)
	if err := n.encode(encoder); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func (n *node) encode(encoder *jsontext.Encoder) error {
	switch v := n.value.(type) {
	case ast.MapNode:
		return n.encodeMembers(encoder, v)
	case *ast.SequenceNode:
		return n.encodeItems(encoder)
	case *ast.NullNode:
		return encoder.WriteToken(jsontext.Null)
	case *ast.BoolNode:
		return encoder.WriteToken(jsontext.Bool(v.Value))
	case *ast.StringNode:
		return encoder.WriteToken(jsontext.String(v.Value))
	case *ast.LiteralNode:
		return encoder.WriteToken(jsontext.String(v.Value.Value))
	case *ast.IntegerNode, *ast.FloatNode:
		number := jsontext.Value(n.value.GetToken().Value)
		if number.Kind() != '0' || !number.IsValid() {
			return n.wrong("%s is not a number of JSON; write it in decimal digits", number)
		}
		return encoder.WriteValue(number)
	}
	return n.wrong("this is no value of JSON; put it in quotes if it is text")
}

func (n *node) encodeMembers(encoder *jsontext.Encoder, mapping ast.MapNode) error {
	if err := encoder.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	seen := map[string]bool{}
	for members := mapping.MapRange(); members.Next(); {
		key, ok := members.Key().(*ast.StringNode)
		if !ok {
			return located(members.Key().GetToken(), n.path, "a field's name is text; put it in quotes")
		}
		if seen[key.Value] {
			return located(key.GetToken(), n.path, "the field %q occurs twice", key.Value)
		}
		seen[key.Value] = true
		if err := encoder.WriteToken(jsontext.String(key.Value)); err != nil {
			return err
		}
		value := &node{path: n.path + "." + key.Value, value: members.Value(), source: n.source}
		if value.value == nil {
			return located(key.GetToken(), value.path, "the field has no value; write null if it has none")
		}
		if err := value.encode(encoder); err != nil {
			return err
		}
	}
	return encoder.WriteToken(jsontext.EndObject)
}

func (n *node) encodeItems(encoder *jsontext.Encoder) error {
	items, err := n.items(maxList)
	if err != nil {
		return err
	}
	if err := encoder.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, item := range items {
		if err := item.encode(encoder); err != nil {
			return err
		}
	}
	return encoder.WriteToken(jsontext.EndArray)
}
