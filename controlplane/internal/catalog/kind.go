package catalog

import (
	"github.com/warder-gateway/warder/internal/mcp"
)

// Kind is what an entry is.
type Kind string

// The kinds, as they stand in the database.
const (
	Tool         Kind = "tool"
	Prompt       Kind = "prompt"
	Resource     Kind = "resource"
	Template     Kind = "template"
	Instructions Kind = "instructions"
)

// Kinds returns all of them, in the order in which they are shown.
func Kinds() []Kind { return []Kind{Tool, Prompt, Resource, Template, Instructions} }

// InstructionsName is the name of the only entry of its kind that a server has.
const InstructionsName = "instructions"

// Exposed reports whether entries of the kind have a name of their own on the
// aggregate endpoint.
func (k Kind) Exposed() bool { return k == Tool || k == Prompt }

// Withheld reports whether nodes must know entries of the kind that are not
// approved: a server may have ones that it does not list.
func (k Kind) Withheld() bool { return k == Resource || k == Template }

// FullName names an entry for people: "server/name" for a tool, and with the
// kind before it for what is none.
func (k Kind) FullName(server, name string) string {
	switch k {
	case Tool:
		return server + "/" + name
	case Instructions:
		return "instructions " + server
	}
	return string(k) + " " + server + "/" + name
}

// listing is how the entries of a kind are asked for.
type listing struct {
	kind       Kind
	method     string
	member     string // of the result
	capability string // without which a server has none
	noun       string // for people
	key        string // the member of a definition that names it
}

var listings = []listing{
	{Tool, mcp.MethodToolsList, "tools", "tools", "tools", "name"},
	{Prompt, mcp.MethodPromptsList, "prompts", "prompts", "prompts", "name"},
	{Resource, mcp.MethodResourcesList, "resources", "resources", "resources", "uri"},
	{Template, mcp.MethodResourceTemplates, "resourceTemplates", "resources", "resource templates", "uriTemplate"},
}

// maxObject bounds what is kept of the objects in which a server says what it can
// and who it is, in bytes.
const maxObject = 64 << 10

// object returns a copy of an object that a server sent; nil if it is none that
// can be read.
func object(token []byte) []byte {
	ignore := func(string, mcp.Span) error { return nil }
	if len(token) > maxObject || mcp.Members(token, ignore) != nil {
		return nil
	}
	return append([]byte(nil), token...)
}

// Declares reports whether a server said that it has this capability. One that
// said nothing is asked.
func Declares(capabilities []byte, name string) bool {
	if capabilities == nil {
		return true
	}
	found := false
	err := mcp.Members(capabilities, func(member string, value mcp.Span) error {
		raw := value.Of(capabilities)
		found = found || member == name && raw[0] == '{'
		return nil
	})
	return found && err == nil
}
