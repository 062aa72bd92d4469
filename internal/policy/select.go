package policy

import "github.com/warder-gateway/warder/internal/fault"

// Glob selects tools, prompts or resources as globs of rules and grants do, for
// commands that take them. Its zero value selects nothing.
type Glob struct{ glob glob }

// ParseGlob reads a glob for a kind; the error is fault.Invalid and says what to write.
func ParseGlob(kind Kind, text string) (Glob, error) {
	g, err := parseGlob(kind, text)
	if err != nil {
		return Glob{}, fault.New(fault.Invalid, err.Error())
	}
	return Glob{g}, nil
}

// Matches reports whether the glob selects a name, or a URI, of a server.
func (g Glob) Matches(server, name string) bool { return g.glob.matches(server, name) }
