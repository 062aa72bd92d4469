package catalog

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/risk"
)

const (
	maxName  = 128 // characters of a tool's name
	maxShown = 64  // characters shown of a name that is refused
)

// sift parts the definitions that are fit to be offered from those that are not.
// It is pure. A name that two definitions share is refused for both, because
// nobody can say which one a call would reach; of names that only look alike the
// first stays.
func sift(server string, raw [][]byte, maxDefinition int) (tools []Tool, refused []Refusal) {
	heads := make([]head, len(raw))
	count := make(map[string]int)
	for i, definition := range raw {
		heads[i] = readHead(definition, maxDefinition)
		if heads[i].named {
			count[heads[i].name]++
		}
	}
	taken := make(map[string]bool)
	for i, definition := range raw {
		h := heads[i]
		tool, reason := h.tool(server, definition, count[h.name] > 1, taken)
		if reason != "" {
			refused = append(refused, Refusal{Name: h.shown(i), Reason: reason})
			continue
		}
		tool.Position = i
		tools = append(tools, tool)
	}
	return tools, refused
}

// head is what sift reads of a definition.
type head struct {
	name   string
	named  bool
	fault  string // why it cannot be read; empty if it can
	schema bool   // inputSchema is an object
}

func readHead(definition []byte, maxDefinition int) (h head) {
	err := mcp.Members(definition, func(name string, value mcp.Span) error {
		raw := value.Of(definition)
		switch name {
		case "name":
			text, err := mcp.String(raw)
			h.name, h.named = text, err == nil
		case "inputSchema":
			h.schema = len(raw) > 0 && raw[0] == '{'
		}
		return nil
	})
	switch {
	case err != nil:
		// What was read of it may not be what another parser reads.
		h = head{fault: "its definition is not a JSON object"}
	case len(definition) > maxDefinition:
		h.fault = fmt.Sprintf("its definition has more than %d KiB", maxDefinition>>10)
	}
	return h
}

// shown is how a refused definition is called.
func (h head) shown(index int) string {
	if !h.named || h.name == "" {
		return fmt.Sprintf("#%d", index+1)
	}
	return mcp.EscapeName(h.name, maxShown)
}

// tool returns the tool, or why it is refused.
func (h head) tool(server string, definition []byte, twice bool, taken map[string]bool) (Tool, string) {
	switch {
	case h.fault != "":
		return Tool{}, h.fault
	case !h.named:
		return Tool{}, "it has no name"
	case !validName(h.name):
		return Tool{}, "its name is not 1 to 128 characters of A-Z, a-z, 0-9, _ . and -"
	case twice:
		return Tool{}, "the server offers more than one tool of this name"
	case !h.schema:
		return Tool{}, "its inputSchema is not a JSON object"
	}
	hash, err := mcp.DefinitionHash(definition)
	if err != nil {
		return Tool{}, "its definition has no canonical form"
	}
	exposed := mcp.ExposedName(server, h.name)
	for _, name := range []string{fold(h.name), fold(exposed)} {
		if taken[name] {
			return Tool{}, "its name looks like that of another tool of the server"
		}
	}
	taken[fold(h.name)], taken[fold(exposed)] = true, true
	return Tool{Name: h.name, ExposedName: exposed, Definition: definition, Hash: hash, Risk: risk.Classify(definition)}, ""
}

// validName holds a name to the allow-list; look-alikes of other scripts do not
// pass it (security.md T-06).
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

// fold maps names that a person takes for one another onto the same (T-05).
func fold(name string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(name))
}

// cut shortens text to at most n bytes, at a character's end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
