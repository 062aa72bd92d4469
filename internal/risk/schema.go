package risk

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// parameter is what is read of one property of an input schema. What is not of
// a schema's form says nothing and is no error: servers send all sorts.
type parameter struct {
	name        string
	words       []string // of the name
	kind        string   // "string", …; empty if the schema gives none or several
	description string
	choices     []string // of an enumeration
}

// object is the part of a JSON schema that is read, one level of it: reading a
// schema takes time in its length, however deep it is.
type object struct {
	Type        jsontext.Value `json:"type"`
	Description jsontext.Value `json:"description"`
	Enum        jsontext.Value `json:"enum"`
	Properties  jsontext.Value `json:"properties"`
}

// parameters returns the properties of an input schema by name. Where all of
// them are in one object, they are those of that object.
func parameters(schema jsontext.Value) []parameter {
	properties := members(decode[object](schema).Properties)
	if len(properties) == 1 {
		for _, only := range properties {
			if inner := members(decode[object](only).Properties); len(inner) > 0 {
				properties = inner
			}
		}
	}
	out := make([]parameter, 0, len(properties))
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		schema := decode[object](properties[name])
		p := parameter{name: name, words: split(name), kind: decode[string](schema.Type)}
		p.description = decode[string](schema.Description)
		for _, choice := range decode[[]jsontext.Value](schema.Enum) {
			p.choices = append(p.choices, decode[string](choice))
		}
		out = append(out, p)
	}
	return out
}

func members(value jsontext.Value) map[string]jsontext.Value {
	return decode[map[string]jsontext.Value](value)
}

// decode returns a value as T, or T's zero if it is none.
func decode[T any](value jsontext.Value) T {
	var out, none T
	if len(value) == 0 || json.Unmarshal(value, &out) != nil {
		return none
	}
	return out
}
