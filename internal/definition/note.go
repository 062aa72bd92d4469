package definition

import (
	"regexp"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/finding"
)

// note says what may be dangerous in a difference; nil is nothing.
func (w *walk) note(path []string, a, b *node) string {
	notes := []string{w.noteAddress(b)}
	if len(path) > 0 {
		switch {
		case path[0] == "annotations":
			notes = append(notes, noteClaim(path, a, b))
		case path[0] == "inputSchema":
			notes = append(notes, noteSchema(path[1:], a, b))
		}
	}
	return strings.Join(slices.DeleteFunc(notes, func(s string) bool { return s == "" }), " ")
}

// address finds what a model or a client may follow.
var address = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]{1,15}://[^\s"'<>\\)\]}]{1,200}`)

// addresses returns those of a value.
func addresses(n *node) map[string]bool {
	found := make(map[string]bool)
	for _, a := range address.FindAllString(string(n.appendJSON(nil)), -1) {
		found[a] = true
	}
	return found
}

// noteAddress names an address that was nowhere in the definition before.
func (w *walk) noteAddress(n *node) string {
	if n == nil {
		return ""
	}
	for _, a := range address.FindAllString(string(n.appendJSON(nil)), -1) {
		if !w.known[a] {
			return "A new address: " + finding.Visible(a) + "."
		}
	}
	return ""
}

// harmless are the annotations by the value that claims less danger.
var harmless = map[string]string{"readOnlyHint": "true", "destructiveHint": "false", "idempotentHint": "true", "openWorldHint": "false"}

func noteClaim(path []string, a, b *node) string {
	const claim = "The server now claims to be more harmless; nothing proves it."
	if len(path) == 1 { // All annotations came or went.
		for name, value := range harmless {
			if b.get(name).is(value) && !a.get(name).is(value) {
				return claim
			}
		}
		return ""
	}
	if value, known := harmless[path[1]]; known && b.is(value) {
		return claim
	}
	return ""
}

// bounds are members of a schema that narrow what it takes.
var bounds = []string{
	"pattern", "format", "const", "maxLength", "maximum", "exclusiveMaximum", "maxItems", "minLength", "minimum", "exclusiveMinimum",
	"minItems", "uniqueItems", "multipleOf", "maxProperties", "propertyNames", "not", "allOf", "contains", "dependentRequired",
}

// noteSchema reads a difference in the schema of what a caller sends.
func noteSchema(path []string, a, b *node) string {
	last, parent := at(path, 1), at(path, 2)
	switch {
	case parent == "properties" && a == nil:
		return noteParameter(b)
	case parent == "enum" && a == nil:
		return "A value more is allowed."
	case last == "enum" && b == nil:
		return "It takes any value now, not only those listed."
	case parent == "required" && b == nil, last == "required" && b == nil:
		return "It need not be given any more."
	case last == "additionalProperties" && a.is("false"), last == "unevaluatedProperties" && a.is("false"):
		return "Parameters that nobody described are taken now."
	case last == "default" && b != nil:
		return "What is sent when the caller says nothing is another now."
	case last == "type" && a != nil, parent == "type":
		return "It takes values of another type."
	case slices.Contains(bounds, last) && a != nil && parent != "properties":
		return "What bounded its values was taken away or changed."
	case last == "$ref", last == "anyOf", last == "oneOf", parent == "anyOf", parent == "oneOf":
		return "What it takes is described elsewhere or in other ways now."
	}
	return ""
}

// at returns the nth name from the end of a path.
func at(path []string, n int) string {
	if len(path) < n {
		return ""
	}
	return path[len(path)-n]
}

// noteParameter judges a new parameter: one that takes any text is a way out for
// what the model knows (security.md T-09).
func noteParameter(schema *node) string {
	kind := schema.get("type")
	takesText := kind == nil || kind.kind == '[' || kind.text == "string" || kind.text == "object" || kind.text == "array"
	if !takesText {
		return "A new parameter."
	}
	for _, name := range []string{"enum", "const", "pattern", "format", "maxLength"} {
		if schema.get(name) != nil {
			return "A new parameter."
		}
	}
	return "A new parameter that takes free text: what the model knows can leave through it."
}
