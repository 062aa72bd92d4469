package policy

import (
	"slices"

	"github.com/warder-gateway/warder/internal/principal"
)

// subjects knows the attributes of callers that lines and overlay name. What
// they do not name cannot matter to a decision.
type subjects struct {
	ids map[attribute]uint32
	// about has, for each id, the lines that are filed under it: each line under
	// all entries of the first list of subjects that it has.
	about [][]int
	// anyone has the lines without subjects.
	anyone []int
}

// attribute is one value of one kind.
type attribute struct {
	kind attributeKind
	name string
}

type attributeKind uint8

const (
	aUser attributeKind = iota
	aApplication
	aGroup
	aRole
	aKey
)

func indexSubjects(lines []line, o *overlay) subjects {
	s := subjects{ids: map[attribute]uint32{}}
	for i := range lines {
		s.index(i, &lines[i])
	}
	for kind, entries := range map[attributeKind]map[string]string{aKey: o.keys, aUser: o.users, aApplication: o.applications} {
		for name := range entries {
			s.id(attribute{kind, name})
		}
	}
	return s
}

// index files a line under its first list of subjects and gets to know the rest.
func (s *subjects) index(i int, l *line) {
	filed := false
	for _, list := range [...]struct {
		kind  attributeKind
		names []string
	}{{aUser, l.users}, {aApplication, l.applications}, {aGroup, l.groups}, {aRole, l.roles}} {
		for _, name := range list.names {
			id := s.id(attribute{list.kind, name})
			if !filed {
				s.about[id] = append(s.about[id], i)
			}
		}
		filed = filed || len(list.names) > 0
	}
	if !filed {
		s.anyone = append(s.anyone, i)
	}
}

func (s *subjects) id(a attribute) uint32 {
	id, known := s.ids[a]
	if !known {
		id = uint32(len(s.about))
		s.ids[a] = id
		s.about = append(s.about, nil)
	}
	return id
}

// seen appends the ids of the caller's attributes, as far as they are named
// anywhere, in order and each once.
func (s *subjects) seen(out []uint32, p *principal.Principal) []uint32 {
	out = s.see(out, aUser, p.User)
	out = s.see(out, aApplication, p.Application)
	out = s.see(out, aKey, p.KeyID)
	for _, name := range p.Groups {
		out = s.see(out, aGroup, name)
	}
	for _, name := range p.Roles {
		out = s.see(out, aRole, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *subjects) see(out []uint32, kind attributeKind, name string) []uint32 {
	if id, known := s.ids[attribute{kind, name}]; known {
		return append(out, id)
	}
	return out
}

// candidates returns the lines that may match a caller, in order.
func (s *subjects) candidates(seen []uint32) []int {
	lines := slices.Clone(s.anyone)
	for _, id := range seen {
		lines = append(lines, s.about[id]...)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}
