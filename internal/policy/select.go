package policy

import "github.com/warder-gateway/warder/internal/fault"

// Glob selects tools as globs of rules and grants do, for commands that take
// them. Its zero value selects nothing.
type Glob struct{ glob glob }

// ParseGlob reads a glob; the error is fault.Invalid and says what to write.
func ParseGlob(text string) (Glob, error) {
	g, err := parseGlob(text)
	if err != nil {
		return Glob{}, fault.New(fault.Invalid, err.Error())
	}
	return Glob{g}, nil
}

// Matches reports whether the glob selects a tool.
func (g Glob) Matches(server, tool string) bool { return g.glob.matches(server, tool) }
