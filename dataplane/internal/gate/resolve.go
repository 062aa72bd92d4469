package gate

import (
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	"github.com/warder-gateway/warder/internal/uri"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Resolve returns what a name means on the endpoint of one server, or on the
// aggregate if server is nil, and the name to send to the server. Whether the
// caller may use it is for Decide to say; what does not exist for anyone is not
// ok.
//
// Tools and prompts are found by exact look-up. A resource is, in this order: the
// one that is listed; nothing, if it is not spelled canonically (see package uri),
// if people withhold it, or if it matches a template that is withheld; the one that
// a template names, with the template's risk and hash; and one that the server may
// have without listing it. What is withheld is so in every spelling that a lenient
// server may read, with whatever query and fragment, and what is listed lends its
// risk to another spelling of it that a template names. On the aggregate the
// latter two need the server's prefix, except that a web address may be one that
// templates of exactly one server name. An address that several servers list is that
// of the first.
//
// What is not listed is made up for the caller, and not kept.
func (x *core) Resolve(kind policy.Kind, server *Server, name string) (e *Entry, own string, ok bool) {
	switch {
	case kind == policy.Resource:
		e = x.resource(server, name)
	case kind > policy.Resource:
	case server != nil:
		e = server.listed[listOf(kind)][name]
	default:
		e = x.exposed[listOf(kind)][name]
	}
	if e == nil {
		return nil, "", false
	}
	return e, e.Name, true
}

// ResolveTemplate returns the template with this text on the endpoint of one
// server, or on the aggregate if server is nil, and its text for the server.
func (x *core) ResolveTemplate(server *Server, text string) (e *Entry, own string, ok bool) {
	if server != nil {
		e = server.listed[Templates][text]
	} else {
		e = x.exposed[Templates][text]
	}
	if e == nil {
		return nil, "", false
	}
	return e, e.Name, true
}

// listOf returns the list of what is found by name alone.
func listOf(kind policy.Kind) ListKind {
	if kind == policy.Prompt {
		return Prompts
	}
	return Tools
}

func (x *core) resource(server *Server, name string) *Entry {
	if server != nil {
		return server.resource(name)
	}
	if e := x.exposed[Resources][name]; e != nil {
		return e
	}
	if slug, own, ok := mcp.CutURI(name); ok && x.servers[slug] != nil {
		return x.servers[slug].resource(own)
	}
	return x.webAddress(name)
}

// webAddress returns what a template of one server names by a web address, which
// has no prefix on the aggregate. If templates of two servers do, nobody can say
// whose it is, and it is nobody's: a server must not take over what another one's
// clients read.
func (x *core) webAddress(name string) (found *Entry) {
	for _, s := range x.web {
		e := s.templated(name)
		switch {
		case e == nil || e.Exposed != name:
		case found != nil:
			return nil
		default:
			found = e
		}
	}
	return found
}

// resource returns the resource of a URI of the server's own.
func (s *Server) resource(name string) *Entry {
	if e := s.listed[Resources][name]; e != nil {
		return e
	}
	if e := s.templated(name); e != nil {
		return e
	}
	if s.unlisted == nil || !s.readable(name) {
		return nil
	}
	return s.unlisted.as(name)
}

// templated returns the resource that a template names, by the riskiest of those
// that do. It is no less risky than what a lenient server may take the URI for.
func (s *Server) templated(name string) *Entry {
	if len(s.templates) == 0 || !s.readable(name) {
		return nil
	}
	found := s.riskiest(name, nil)
	if found == nil {
		return nil
	}
	made := found.as(name)
	folded := uri.Fold(name)
	if folded != name {
		made.Risk = s.riskiest(folded, found).Risk
	}
	if e := s.folded[folded]; e != nil && severity(e.Risk) > severity(made.Risk) {
		made.Risk = e.Risk
	}
	return made
}

// riskiest returns the riskiest of the templates that name a resource and of one
// that was found before.
func (s *Server) riskiest(name string, found *Entry) *Entry {
	for _, e := range s.templates {
		if (found == nil || severity(e.Risk) > severity(found.Risk)) && e.pattern.Matches(name) {
			found = e
		}
	}
	return found
}

func severity(r snapshotv1.Risk) int { return slices.Index(risk.Names(), risk.Name(r)) }

// readable reports whether a resource that is not listed may exist: not if people
// withhold it, or what a lenient server may take it for.
//
// Nor one that is too much work to look up: whether it is withheld, and how risky
// it is, is then not known.
func (s *Server) readable(name string) bool {
	if !uri.Canonical(name) {
		return false
	}
	folded := uri.Fold(name)
	if s.work(name)+s.work(folded) > uri.MaxWork {
		return false
	}
	path, _, _ := strings.Cut(folded, "?")
	return !s.withheld[name] && !s.withheld[folded] && !s.withheld[path] &&
		!slices.ContainsFunc(s.barred, func(t *bar) bool { return t.matches(name) || folded != name && t.matches(folded) })
}

// work is how much it is to ask all templates about a URI, as of uri.Template.Work.
func (s *Server) work(name string) (work int) {
	for _, e := range s.templates {
		work += e.pattern.Work(name)
	}
	for _, t := range s.barred {
		if t.pattern != nil {
			work += t.pattern.Work(name)
		}
	}
	return work
}

// as returns the entry for one resource.
func (e *Entry) as(name string) *Entry {
	made := *e
	made.number, made.Name, made.family = -1, name, e.Name
	made.Exposed = mcp.PrefixURI(e.Server.prefix, name)
	return &made
}

// bar keeps away what a template names that is withheld.
type bar struct {
	pattern *uri.Template // nil: the template could not be read
	literal string        // what it begins with
}

func newBar(text string) *bar {
	pattern, err := uri.ParseTemplate(text)
	if err != nil {
		pattern = nil
	}
	literal, _, _ := strings.Cut(text, "{")
	return &bar{pattern, literal}
}

// matches takes all that begins like a template that could not be read: it might
// name it.
func (b *bar) matches(name string) bool {
	if b.pattern == nil {
		return strings.HasPrefix(name, b.literal)
	}
	return b.pattern.Matches(name)
}
