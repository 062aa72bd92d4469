package catalog

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/risk"
	"github.com/warder-gateway/warder/internal/uri"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	// maxTemplates bounds the templates of a server: nodes ask each of them about
	// each URI that is not listed.
	maxTemplates = 500

	maxName  = 128  // characters of a tool's or prompt's name
	maxURI   = 2048 // bytes of a URI or a URI template: an index holds it
	maxShown = 64   // characters shown of a name that is refused
)

// sift parts the definitions of a kind that are fit to be offered from those that
// are not. It is pure. A name that two tools or two prompts share is refused for
// both, because nobody can say which one a call would reach; of resources, which
// their URI tells apart, and of names that only look alike, the first stays.
func sift(server string, l *listing, raw [][]byte, maxDefinition int) (entries []Entry, refused []Refusal) {
	s := sieve{listing: l, server: server, count: make(map[string]int), taken: make(map[string]bool)}
	heads := make([]head, len(raw))
	for i, definition := range raw {
		heads[i] = readHead(definition, l.key, maxDefinition)
		if heads[i].named {
			s.count[heads[i].name]++
		}
	}
	for i, definition := range raw {
		h := heads[i]
		entry, reason := s.entry(h, definition)
		if reason == "" && l.kind == Template && len(entries) >= maxTemplates {
			reason = fmt.Sprintf("a server may have %d templates, and those before it are as many", maxTemplates)
		}
		if reason != "" {
			refused = append(refused, Refusal{Kind: l.kind, Name: h.shown(i), Reason: reason})
			continue
		}
		entry.Position = i
		entries = append(entries, entry)
	}
	return entries, refused
}

// head is what sift reads of a definition.
type head struct {
	name   string
	named  bool
	fault  string // why it cannot be read; empty if it can
	schema bool   // inputSchema is an object
}

func readHead(definition []byte, key string, maxDefinition int) (h head) {
	err := mcp.Members(definition, func(name string, value mcp.Span) error {
		raw := value.Of(definition)
		switch name {
		case key:
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

// sieve is one run of sift.
type sieve struct {
	*listing
	server string
	count  map[string]int
	taken  map[string]bool
}

// entry returns the entry, or why it is refused.
func (s *sieve) entry(h head, definition []byte) (Entry, string) {
	if reason := s.refuse(h); reason != "" {
		return Entry{}, reason
	}
	entry := Entry{Kind: s.kind, Name: h.name, Definition: definition, Risk: snapshotv1.Risk_RISK_READ}
	if s.kind == Tool {
		entry.Risk = risk.Classify(definition)
		if _, err := mcp.Params(definition); err != nil {
			return Entry{}, "it sends arguments in headers (x-mcp-header) in a way that is not valid"
		}
	}
	var err error
	if entry.Hash, err = mcp.DefinitionHash(definition); err != nil {
		return Entry{}, "its definition has no canonical form"
	}
	if !s.kind.Exposed() {
		if s.taken[h.name] {
			return Entry{}, fmt.Sprintf("the server lists it more than once; the first %s counts", s.kind)
		}
		s.taken[h.name] = true
		return entry, ""
	}
	entry.ExposedName = mcp.ExposedName(s.server, h.name)
	folded := []string{fold(h.name), fold(entry.ExposedName)}
	for _, name := range folded {
		if s.taken[name] {
			return Entry{}, fmt.Sprintf("its name looks like that of another %s of the server", s.kind)
		}
	}
	s.taken[folded[0]], s.taken[folded[1]] = true, true
	return entry, ""
}

// refuse says why a head is not fit; empty if it is.
func (s *sieve) refuse(h head) string {
	switch {
	case h.fault != "":
		return h.fault
	case !h.named:
		return "it has no " + s.key
	}
	switch s.kind {
	case Tool:
		if !validName(h.name) {
			return "its name is not 1 to 128 characters of A-Z, a-z, 0-9, _ . and -"
		}
	case Prompt:
		if !validPrompt(h.name) {
			return "its name is not 1 to 128 characters of ASCII without * and without spaces around it"
		}
	case Resource:
		return faultOfURI(h.name)
	case Template:
		return faultOfTemplate(h.name)
	}
	switch {
	case s.count[h.name] > 1:
		return fmt.Sprintf("the server offers more than one %s of this name", s.kind)
	case s.kind == Tool && !h.schema:
		return "its inputSchema is not a JSON object"
	}
	return ""
}

// validName holds a tool's name to the allow-list; look-alikes of other scripts
// do not pass it (security.md T-06).
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

// validPrompt holds a prompt's name, which the specification leaves open, to
// what people can tell apart and policies can name.
func validPrompt(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '*' {
			return false
		}
	}
	return name != "" && len(name) <= maxName && name == strings.TrimSpace(name)
}

// faultOfURI says why a URI is refused. It need not be routable here, only
// absolute and made of what can be seen.
func faultOfURI(text string) string {
	scheme, rest, found := strings.Cut(text, ":")
	if !found || rest == "" || !validScheme(scheme) {
		return "its uri is not an absolute URI"
	}
	return faultOfText(text, "uri")
}

// validScheme is the rule of RFC 3986.
func validScheme(scheme string) bool {
	for i := range len(scheme) {
		c := scheme[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (scheme[i] < '0' || scheme[i] > '9') && strings.IndexByte("+.-", scheme[i]) < 0) {
			return false
		}
	}
	return scheme != ""
}

// faultOfTemplate says why a URI template is refused: nodes must be able to tell
// what it names.
func faultOfTemplate(template string) string {
	_, err := uri.ParseTemplate(template)
	switch {
	case errors.Is(err, uri.ErrTooMuch):
		return "its uriTemplate has more expressions, variables or prefixes than nodes can match in a short time"
	case err != nil:
		return "its uriTemplate is not a URI template of RFC 6570"
	}
	return faultOfText(template, "uriTemplate")
}

func faultOfText(text, member string) string {
	switch {
	case text == "":
		return "its " + member + " is empty"
	case len(text) > maxURI:
		return fmt.Sprintf("its %s has more than %d bytes", member, maxURI)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, hidden):
		return "its " + member + " has spaces or characters that cannot be seen"
	}
	return ""
}

// hidden reports whether a character is a space, or one that nobody sees.
func hidden(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == utf8.RuneError
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
