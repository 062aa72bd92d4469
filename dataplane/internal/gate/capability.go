package gate

import (
	"strings"
	"unicode/utf8"

	"github.com/warder-gateway/warder/internal/mcp"
)

// appsExtension is the only extension that passes: it is about what definitions
// and resources say, and needs nothing of the gateway.
const appsExtension = "io.modelcontextprotocol/ui"

// maxExtension is how many bytes a server may say of the extension.
const maxExtension = 1 << 10

// extensionOf returns what a server declares of MCP Apps, or nil.
func extensionOf(capabilities []byte) (value []byte) {
	if len(capabilities) == 0 {
		return nil
	}
	err := mcp.Members(capabilities, func(name string, extensions mcp.Span) error {
		if name != "extensions" {
			return nil
		}
		return membersAt(capabilities, extensions, func(name string, at mcp.Span) error {
			if text := at.Of(capabilities); name == appsExtension && text[0] == '{' && len(text) <= maxExtension {
				value = text
			}
			return nil
		})
	})
	if err != nil {
		return nil
	}
	return value
}

// Capabilities returns what the servers of a scope offer that the profile sees,
// as far as the gateway carries it: one JSON object, as the result of initialize
// or of server/discover holds it. Lists and their changes are the gateway's own,
// so that it notifies of them also where a server does not. What a server lists
// counts as declared.
func (p *Profile) Capabilities(server *Server, era mcp.Era) []byte {
	var all mcp.ServerCapabilities
	var extension []byte
	for _, s := range p.Servers(server) {
		c, seen := s.Capabilities, p.seen[s]
		all.Tools = all.Tools || c.Tools || seen.has(Tools)
		all.Prompts = all.Prompts || c.Prompts || seen.has(Prompts)
		all.Resources = all.Resources || c.Resources || seen.has(Resources) || seen.has(Templates)
		all.Subscribe = all.Subscribe || c.Subscribe
		all.Completions = all.Completions || c.Completions
		all.Logging = all.Logging || c.Logging
		if extension == nil {
			extension = s.extension
		}
	}
	resources := `{"listChanged":true}`
	if all.Subscribe {
		resources = `{"listChanged":true,"subscribe":true}`
	}
	var o object
	o.add(all.Tools, "tools", `{"listChanged":true}`)
	o.add(all.Prompts, "prompts", `{"listChanged":true}`)
	o.add(all.Resources, "resources", resources)
	o.add(all.Completions, "completions", `{}`)
	o.add(all.Logging, "logging", `{}`)
	o.add(extension != nil && era == mcp.Modern, "extensions", `{"`+appsExtension+`":`+string(extension)+`}`)
	return o.end()
}

// object is a JSON object in the making.
type object []byte

// add adds a member, if it is to be there.
func (o *object) add(there bool, name, value string) {
	if !there {
		return
	}
	if len(*o) == 0 {
		*o = append(*o, '{')
	} else {
		*o = append(*o, ',')
	}
	*o = append(*o, `"`+name+`":`+value...)
}

func (o *object) end() []byte {
	if len(*o) == 0 {
		return []byte("{}")
	}
	return append(*o, '}')
}

// maxInstructions bounds the instructions of the aggregate in bytes.
const maxInstructions = 8 << 10

// Instructions returns what the servers of a scope that the profile sees tell
// models about themselves: of one server as it was approved; of the aggregate
// each under a heading with the slug, in order, and cut where there is no more
// room.
func (p *Profile) Instructions(server *Server) string {
	if server != nil {
		if !p.Sees(server) {
			return ""
		}
		return server.Item.GetInstructions()
	}
	var text strings.Builder
	for _, s := range p.Servers(nil) {
		instructions := s.Item.GetInstructions()
		if instructions == "" {
			continue
		}
		heading := "# " + s.Name() + "\n\n"
		if text.Len() > 0 {
			heading = "\n\n" + heading
		}
		room := maxInstructions - text.Len() - len(heading)
		if room <= 0 {
			break
		}
		text.WriteString(heading)
		text.WriteString(cut(instructions, room))
	}
	return text.String()
}

// cut returns at most so many bytes of a text, and no half character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
