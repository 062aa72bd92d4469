package policy

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/warder-gateway/warder/internal/uri"
)

// maxGlob is the length of the longest glob in bytes.
const maxGlob = 512

// glob is a compiled glob. Its zero value matches nothing.
type glob struct {
	server, name pattern
}

// parseGlob compiles a glob for a kind; see the package comment for what it
// means.
func parseGlob(kind Kind, text string) (glob, error) {
	if err := plain(kind, text); err != nil {
		return glob{}, err
	}
	if strings.Trim(text, "*") == "" {
		return glob{parsePattern("*"), parsePattern("*")}, nil
	}
	server, name, found := strings.Cut(text, "/")
	if !found {
		return glob{}, fmt.Errorf("glob %q has no \"/\" between server and %s; all %ss of a server are %q", text, kind, kind, text+"/*")
	}
	if server == "" || name == "" {
		return glob{}, fmt.Errorf("glob %q lacks the part before or after its \"/\"; \"*\" stands for any", text)
	}
	if i := strings.IndexFunc(server, notInSlug); i >= 0 {
		return glob{}, fmt.Errorf("glob %q matches nothing: names of servers are made of a-z, 0-9 and -", text)
	}
	return glob{parsePattern(server), parsePattern(name)}, nil
}

// plain refuses what is likely meant in a dialect that is not ours.
func plain(kind Kind, text string) error {
	foreign := `?[]{}\`
	if kind == Resource {
		foreign = `[]{}\` // A URI may have a query.
	}
	switch {
	case text == "":
		return fmt.Errorf("the glob is empty; \"*\" is every %s", kind)
	case len(text) > maxGlob:
		return fmt.Errorf("the glob has %d bytes; at most %d are allowed", len(text), maxGlob)
	case strings.HasPrefix(text, "!"):
		return fmt.Errorf("glob %q begins with \"!\"; write a rule with the other effect instead", text)
	case strings.ContainsAny(text, foreign):
		return fmt.Errorf("glob %q has a character of %s; only * is special: list the names one by one", text, foreign)
	case text != strings.TrimSpace(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("glob %q has white space around it or a control character in it", text)
	}
	return nil
}

func notInSlug(c rune) bool {
	return c != '*' && c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9')
}

// folded returns the glob of a resource for URIs that uri.Fold made, or one that
// matches nothing where a fragment would make it wider than it is.
func (g *glob) folded() glob {
	if g.name.literal() {
		return glob{g.server, pattern{uri.Fold(g.name[0])}}
	}
	name := make(pattern, len(g.name))
	for i, part := range g.name {
		if strings.Contains(part, "#") {
			return glob{}
		}
		name[i] = uri.Decode(part)
	}
	return glob{g.server, name}
}

// exact reports whether the glob names one server, and one name.
func (g *glob) exact() (server, name bool) { return g.server.literal(), g.name.literal() }

// matches never matches an absent server or name.
func (g *glob) matches(server, name string) bool {
	return server != "" && name != "" && g.server.matches(server) && g.name.matches(name)
}

// pattern is a text split at its stars.
type pattern []string

func parsePattern(text string) pattern {
	for strings.Contains(text, "**") {
		text = strings.ReplaceAll(text, "**", "*")
	}
	return strings.Split(text, "*")
}

func (p pattern) literal() bool { return len(p) == 1 }

// matches takes each part at its first place, from left to right; for stars
// alone that finds a match if there is one.
func (p pattern) matches(text string) bool {
	switch len(p) {
	case 0:
		return false
	case 1:
		return text == p[0]
	}
	head, tail := p[0], p[len(p)-1]
	if len(text) < len(head)+len(tail) || !strings.HasPrefix(text, head) || !strings.HasSuffix(text, tail) {
		return false
	}
	rest := text[len(head) : len(text)-len(tail)]
	for _, part := range p[1 : len(p)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return true
}
