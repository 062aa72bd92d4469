package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// rest stands, last among the patterns of arguments, for any that follow.
const rest = "..."

// Rule allows servers to be assigned. In patterns a star stands for any text without / \ : and white space, so that it is
// neither another directory nor another source of a package, and ** for any text. Neither stands for a step up (..), nor,
// first in a pattern, for the dash of an option; in a URL a star does not stand for what ends the name of its host, either.
type Rule struct {
	// Command is the program, as it is assigned.
	Command string `yaml:"command"`
	// Args has a pattern for each argument; the last may be "...": any more of them.
	Args []string `yaml:"args"`
	// Environment names variables that may be set, as patterns. Variables can make a program run other code
	// (NODE_OPTIONS, LD_PRELOAD), so none may be that is not named.
	Environment []string `yaml:"environment"`
	// Directories may be named to run in, as patterns. None: it runs where the agent does.
	Directories []string `yaml:"directories"`
	// URL is a pattern of the URL of a server that speaks HTTP.
	URL string `yaml:"url"`
}

// Allows returns nil if the file allows a server to be assigned, and else an error that says what is not met, and has the
// rule to copy that would allow all of it. The text holds no secret.
func (f *File) Allows(s *enrollv1.AssignedServer) error {
	if f.AllowAny {
		return nil
	}
	if (len(s.GetCommand()) > 0) == (s.GetUrl() != "") {
		return fmt.Errorf("no file can allow it: a server has either a command or a url")
	}
	var nearest error
	for i := range f.Allow {
		err := f.Allow[i].allows(s)
		if err == nil {
			return nil
		}
		if nearest == nil && f.Allow[i].about(s) {
			nearest = err
		}
	}
	why := ""
	if nearest != nil {
		why = ": " + nearest.Error()
	}
	if stepsUp(s.GetDirectory()) {
		return fmt.Errorf("%s does not allow it%s; no rule can while its directory has '..'", f.called(), why)
	}
	return fmt.Errorf("%s does not allow it%s; this would: allow: [%s]", f.called(), why, ruleFor(s))
}

// called is what to call the file.
func (f *File) called() string {
	if f.Path == "" {
		return "the agent's file"
	}
	return "the agent's file " + f.Path
}

// ruleFor writes the rule that allows a server and hardly another, in one line of YAML: a star of the server's own would stand
// for other text, too. Of variables it has the names. The dashboard writes the same (allowRule in agentFile.ts).
func ruleFor(s *enrollv1.AssignedServer) string {
	if s.GetUrl() != "" {
		return fmt.Sprintf("{url: %q}", s.GetUrl())
	}
	fields := []string{fmt.Sprintf("command: %q", s.GetCommand()[0])}
	list := func(key string, words []string) {
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = strconv.Quote(word) // Which YAML reads as Go does.
		}
		if len(words) > 0 {
			fields = append(fields, key+": ["+strings.Join(quoted, ", ")+"]")
		}
	}
	list("args", s.GetCommand()[1:])
	list("environment", slices.Sorted(maps.Keys(s.GetEnvironment())))
	if d := s.GetDirectory(); d != "" {
		list("directories", []string{d})
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// about reports whether a rule was meant for such a server.
func (r *Rule) about(s *enrollv1.AssignedServer) bool {
	return len(s.GetCommand()) > 0 && r.Command == s.GetCommand()[0]
}

// allows returns nil, or what of the rule is not met.
func (r *Rule) allows(s *enrollv1.AssignedServer) error {
	if len(s.GetCommand()) == 0 {
		if r.URL != "" && s.GetUrl() != "" && matchWithout(r.URL, s.GetUrl(), urlStops) && !climbs(r.URL, s.GetUrl()) {
			return nil
		}
		return fmt.Errorf("the URL is none of those under 'allow'")
	}
	if s.GetUrl() != "" || !r.about(s) {
		return fmt.Errorf("the command is none of those under 'allow'")
	}
	if err := r.allowsArgs(s.GetCommand()[1:]); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.GetEnvironment())) {
		if !slices.ContainsFunc(r.Environment, func(pattern string) bool { return match(pattern, name) }) {
			return fmt.Errorf("the variable %s is not among the rule's environment", name)
		}
	}
	if d := s.GetDirectory(); d != "" {
		if stepsUp(d) || !slices.ContainsFunc(r.Directories, func(pattern string) bool { return match(pattern, d) }) {
			return fmt.Errorf("%q is not among the rule's directories", d)
		}
	}
	return nil
}

func isSeparator(c rune) bool { return c == '/' || c == '\\' }

// stepsUp reports whether a text has .. as a part of a path.
func stepsUp(text string) bool { return slices.Contains(strings.FieldsFunc(text, isPathStop), "..") }

// isPathStop says where a path may begin or end within a text, such as that of an option or of a URL.
func isPathStop(c rune) bool { return isSeparator(c) || strings.ContainsRune("=:,;?#", c) }

// climbs reports whether a text has a step up that its pattern does not name. A server that may read /srv/* is not to read
// /srv/.. with it.
func climbs(pattern, text string) bool { return stepsUp(text) && !stepsUp(pattern) }

func (r *Rule) allowsArgs(args []string) error {
	patterns := r.Args
	open := len(patterns) > 0 && patterns[len(patterns)-1] == rest
	if open {
		patterns = patterns[:len(patterns)-1]
	}
	switch {
	case len(args) < len(patterns):
		return fmt.Errorf("the rule wants %d arguments, and there are %d", len(patterns), len(args))
	case len(args) > len(patterns) && !open:
		return fmt.Errorf("the rule has patterns for %d arguments, and there are %d; %q, last among args, allows any more", len(patterns), len(args), rest)
	}
	for i, pattern := range patterns {
		switch {
		case !match(pattern, args[i]):
			return fmt.Errorf("argument %d is not %q", i+1, pattern)
		case climbs(pattern, args[i]):
			return fmt.Errorf("argument %d has .. in it, which %q does not name", i+1, pattern)
		case strings.HasPrefix(args[i], "-") && !strings.HasPrefix(pattern, "-"):
			return fmt.Errorf("argument %d is an option, which %q does not stand for", i+1, pattern)
		}
	}
	return nil
}

const (
	// starStops are what a star does not stand for.
	starStops = "/\\: \t\r\n"
	// urlStops are those in a URL: behind what ends its authority, or comes before its host, the rest of a pattern says
	// nothing of where it leads.
	urlStops = starStops + "?#@"
)

// match reports whether a text is one that a pattern stands for. It takes time in proportion to their product at most.
func match(pattern, text string) bool { return matchWithout(pattern, text, starStops) }

// matchWithout is match where a star stands for none of the stops.
func matchWithout(pattern, text, stops string) bool {
	// reach[i] says that the pattern so far can stand for text[:i].
	reach := make([]bool, len(text)+1)
	reach[0] = true
	for pattern != "" {
		c := pattern[0]
		pattern = pattern[1:]
		if c != '*' {
			for i := len(text); i > 0; i-- {
				reach[i] = reach[i-1] && text[i-1] == c
			}
			reach[0] = false
			continue
		}
		deep := strings.HasPrefix(pattern, "*")
		if deep {
			pattern = pattern[1:]
		}
		for i := 1; i <= len(text); i++ {
			reach[i] = reach[i] || reach[i-1] && (deep || strings.IndexByte(stops, text[i-1]) < 0)
		}
	}
	return reach[len(text)]
}
