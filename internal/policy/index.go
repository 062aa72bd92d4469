package policy

import snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"

// index files lines by what their globs name, so that a decision looks at those
// which can match the tool and not at all of them. Each list is in the order of
// the lines.
type index struct {
	tools    map[target][]candidate // globs without a star
	servers  map[string][]candidate // a star in the tool's name only
	anywhere []candidate            // the others, and lines without globs
}

// target names a tool.
type target struct{ server, tool string }

// candidate is a line with one of its globs, or with all of them.
type candidate struct {
	line, glob int32
}

// allGlobs stands for all globs of a line, or for none if it has none.
const allGlobs = -1

// maxFiled is how many globs of a line are filed apart. A line with more is
// looked at for every tool; filed apart for each of its many subjects, a small
// document could fill the memory.
const maxFiled = 32

// file puts line i where a decision on a tool that it may match finds it. Lines
// are filed in order.
func (x *index) file(i int, l *line) {
	if len(l.tools) == 0 || len(l.tools) > maxFiled {
		x.anywhere = append(x.anywhere, candidate{int32(i), allGlobs})
		return
	}
	for k := range l.tools {
		g, c := &l.tools[k], candidate{int32(i), int32(k)}
		switch server, tool := g.exact(); {
		case server && tool:
			at := target{g.server[0], g.tool[0]}
			put(&x.tools, at, c)
		case server:
			put(&x.servers, g.server[0], c)
		default:
			x.anywhere = append(x.anywhere, c)
		}
	}
}

func put[K comparable](lists *map[K][]candidate, at K, c candidate) {
	if *lists == nil {
		*lists = map[K][]candidate{}
	}
	(*lists)[at] = append((*lists)[at], c)
}

// question is what is left of a request once the caller is dealt with.
type question struct {
	target
	risk   snapshotv1.Risk
	method string
}

// first returns the first line filed that matches and comes before found, or
// found.
func (x *index) first(lines []line, found int, q *question) int {
	found = first(lines, x.tools[q.target], found, q)
	found = first(lines, x.servers[q.server], found, q)
	return first(lines, x.anywhere, found, q)
}

func first(lines []line, filed []candidate, found int, q *question) int {
	for _, c := range filed {
		if int(c.line) >= found {
			break
		}
		if lines[c.line].answers(c.glob, q) {
			return int(c.line)
		}
	}
	return found
}

// answers reports whether the line, by one of its globs or any, matches.
func (l *line) answers(glob int32, q *question) bool {
	if !l.risks.has(q.risk) || !l.matchesMethod(q.method) {
		return false
	}
	if glob == allGlobs {
		return l.matchesTool(q.server, q.tool)
	}
	return l.tools[glob].matches(q.server, q.tool)
}
