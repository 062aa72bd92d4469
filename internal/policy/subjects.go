package policy

import (
	"slices"

	"github.com/warder-gateway/warder/internal/principal"
)

// subjects knows the attributes of callers that lines and overlay name. What
// they do not name cannot matter to a decision.
type subjects struct {
	ids    map[attribute]uint32
	tokens map[place]uint32 // those that the overlay names
	// anyone has the lines without subjects.
	anyone index
	// alone has, for each id, the lines with one list of subjects that has it:
	// whoever has the attribute is matched by them. Nil if there are none.
	alone []*index
	// among has, for each id, the lines with several lists, filed under the
	// entries of the first: whoever has the attribute may be matched by them.
	among [][]int
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
	aToken
)

func indexSubjects(lines []line, o *overlay, limits []limit) subjects {
	s := subjects{ids: map[attribute]uint32{}, tokens: map[place]uint32{}}
	for i := range lines {
		s.index(i, &lines[i])
	}
	for i := range limits {
		s.lists(&limits[i].line)
	}
	for kind, entries := range map[attributeKind]map[string]string{aKey: o.keys, aUser: o.users, aApplication: o.applications} {
		for name := range entries {
			s.id(attribute{kind, name})
		}
	}
	for token := range o.tokens {
		s.tokens[token] = s.id(attribute{aToken, token.server + "/" + token.name})
	}
	return s
}

// lists returns the lists of subjects of a line that are there, and gets to know
// what they name.
func (s *subjects) lists(l *line) [][]uint32 {
	var lists [][]uint32
	for _, list := range [...]struct {
		kind  attributeKind
		names []string
	}{{aUser, l.users}, {aApplication, l.applications}, {aGroup, l.groups}, {aRole, l.roles}} {
		if len(list.names) > 0 {
			lists = append(lists, s.identify(list.kind, list.names))
		}
	}
	return lists
}

// index files a line under its subjects.
func (s *subjects) index(i int, l *line) {
	lists := s.lists(l)
	switch len(lists) {
	case 0:
		s.anyone.file(i, l)
	case 1:
		for _, id := range lists[0] {
			if s.alone[id] == nil {
				s.alone[id] = &index{}
			}
			s.alone[id].file(i, l)
		}
	default:
		for _, id := range lists[0] {
			s.among[id] = append(s.among[id], i)
		}
	}
}

// identify returns the ids of attributes, each once.
func (s *subjects) identify(kind attributeKind, names []string) []uint32 {
	ids := make([]uint32, len(names))
	for i, name := range names {
		ids[i] = s.id(attribute{kind, name})
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (s *subjects) id(a attribute) uint32 {
	id, known := s.ids[a]
	if !known {
		id = uint32(len(s.ids))
		s.ids[a] = id
		s.alone, s.among = append(s.alone, nil), append(s.among, nil)
	}
	return id
}

// seen appends the ids of the caller's attributes, as far as they are named
// anywhere, in order and each once.
func (s *subjects) seen(out []uint32, p *principal.Principal) []uint32 {
	out = s.see(out, aUser, p.User)
	out = s.see(out, aApplication, p.Application)
	out = s.see(out, aKey, p.KeyID)
	if id, known := s.tokens[place{p.Issuer, p.TokenID}]; known {
		out = append(out, id)
	}
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

// candidates returns the lines with several lists that may match a caller, in
// order.
func (s *subjects) candidates(seen []uint32) []int {
	var lines []int
	for _, id := range seen {
		lines = append(lines, s.among[id]...)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}
