package policy

import (
	"cmp"
	"slices"

	"github.com/warder-gateway/warder/internal/uri"
)

// index files lines by what their globs name, so that a decision looks at those
// which can match the target and not at all of them. Lines about one kind are
// filed for that kind, lines about everything for each.
type index [kinds]filing

// filing has the lines for one kind. Each list is in the order of the lines.
type filing struct {
	names    map[place][]candidate  // globs without a star
	servers  map[string][]candidate // a star in the name only
	anywhere []candidate            // the others, and lines without globs
}

// place is a name at a server; of a resource also as uri.Fold makes it.
type place struct{ server, name string }

// candidate is a line with one of its globs, or with all of them.
type candidate struct {
	line, glob int32
}

// allGlobs stands for all globs that a line has for the kind, or for none if it
// has none at all.
const allGlobs = -1

// maxFiled is how many globs of a line and kind are filed apart. A line with
// more is looked at for every target; filed apart for each of its many subjects,
// a small document could fill the memory.
const maxFiled = 32

// file puts line i where a decision on a target that it may match finds it.
// Lines are filed in order.
func (x *index) file(i int, l *line) {
	for kind := range x {
		x[kind].file(i, l, l.globs[kind])
	}
	if !l.everything() && len(l.globs[Resource]) <= maxFiled {
		x[Resource].fileFolded(i, l)
	}
}

func (f *filing) file(i int, l *line, globs []glob) {
	if l.everything() || len(globs) > maxFiled {
		f.anywhere = append(f.anywhere, candidate{int32(i), allGlobs})
		return
	}
	for k := range globs {
		g, c := &globs[k], candidate{int32(i), int32(k)}
		switch server, name := g.exact(); {
		case server && name:
			put(&f.names, place{g.server[0], g.name[0]}, c)
		case server:
			put(&f.servers, g.server[0], c)
		default:
			f.anywhere = append(f.anywhere, c)
		}
	}
}

// fileFolded files what a denial names exactly also as uri.Fold makes it.
func (f *filing) fileFolded(i int, l *line) {
	for k := range l.folded {
		g, own := &l.folded[k], &l.globs[Resource][k]
		if server, name := g.exact(); server && name && g.name[0] != own.name[0] {
			put(&f.names, place{g.server[0], g.name[0]}, candidate{int32(i), int32(k)})
		}
	}
}

func put[K comparable](lists *map[K][]candidate, at K, c candidate) {
	if *lists == nil {
		*lists = map[K][]candidate{}
	}
	(*lists)[at] = append((*lists)[at], c)
}

// span is where to look for a line: behind after, and before found.
type span struct{ after, found int }

// first returns the first line filed in the span that matches but for its
// condition, or the end of the span.
func (x *index) first(lines []line, in span, t *Target, method string) int {
	f := &x[t.Kind]
	in.found = first(lines, f.names[place{t.Server, t.Name}], in, t, method)
	if t.Kind == Resource {
		if folded := uri.Fold(t.Name); folded != t.Name {
			in.found = first(lines, f.names[place{t.Server, folded}], in, t, method)
		}
	}
	in.found = first(lines, f.servers[t.Server], in, t, method)
	return first(lines, f.anywhere, in, t, method)
}

func first(lines []line, filed []candidate, in span, t *Target, method string) int {
	if in.after >= 0 { // A line was found, and its condition left it open.
		at, _ := slices.BinarySearchFunc(filed, in.after+1, func(c candidate, line int) int { return cmp.Compare(int(c.line), line) })
		filed = filed[at:]
	}
	for _, c := range filed {
		if int(c.line) >= in.found {
			break
		}
		if lines[c.line].answers(c.glob, t, method) {
			return int(c.line)
		}
	}
	return in.found
}

// answers reports whether the line, by one of its globs or any, matches.
func (l *line) answers(glob int32, t *Target, method string) bool {
	if !l.risks.has(t.Risk) || !l.matchesMethod(method) {
		return false
	}
	if glob == allGlobs {
		return l.matchesTarget(t)
	}
	return l.matchesGlob(int(glob), t)
}
