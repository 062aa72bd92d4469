package policy

import (
	"encoding/binary"
	"slices"

	"github.com/warder-gateway/warder/internal/principal"
)

// maxProfiles bounds what a set remembers. Callers that come after are served
// by profiles of their own, which takes longer and is never wrong.
const maxProfiles = 1 << 16

// Profile is a caller as the rules of one set see him: two callers who differ
// only in what no rule, grant or deny names share one. It is immutable, safe for
// concurrent use, and good for as long as its set.
type Profile struct {
	set *Set
	// refusal is the answer to everything, if not nil.
	refusal *Decision
	// indexes hold, together, the lines that match the caller. All but one belong
	// to the set and are shared between profiles.
	indexes []*index
}

// Profile returns the profile of a caller. Equal callers get the same pointer,
// unless the set has seen more kinds of callers than it remembers.
func (s *Set) Profile(p *principal.Principal) *Profile {
	if p == nil {
		return s.nobody
	}
	var scratch [64]uint32
	seen := s.subjects.seen(scratch[:0], p)
	var buffer [4 * len(scratch)]byte
	name := buffer[:0]
	for _, id := range seen {
		name = binary.BigEndian.AppendUint32(name, id)
	}
	s.mu.RLock()
	profile := s.profiles[string(name)]
	s.mu.RUnlock()
	if profile != nil {
		return profile
	}
	return s.remember(string(name), s.build(p, slices.Clone(seen)))
}

// remember keeps a profile, unless another goroutine was first.
func (s *Set) remember(name string, made *Profile) *Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.profiles[name]; first != nil {
		return first
	}
	if len(s.profiles) < maxProfiles {
		s.profiles[name] = made
	}
	return made
}

// build gathers the lines that match a caller.
func (s *Set) build(p *principal.Principal, seen []uint32) *Profile {
	if reason := s.overlay.caller(p); reason != "" {
		return s.refuse(RuleDenyOverlay, reason)
	}
	profile := &Profile{set: s, indexes: []*index{&s.subjects.anyone}}
	for _, id := range seen {
		if alone := s.subjects.alone[id]; alone != nil {
			profile.indexes = append(profile.indexes, alone)
		}
	}
	own := &index{}
	for _, i := range s.subjects.candidates(seen) {
		if l := &s.lines[i]; l.matchesSubject(p) {
			own.file(i, l)
		}
	}
	profile.indexes = append(profile.indexes, own)
	return profile
}

// refuse returns a profile that is denied everything.
func (s *Set) refuse(rule, reason string) *Profile {
	refusal := s.deny(rule, reason)
	return &Profile{set: s, refusal: &refusal}
}

// Refused reports whether the caller is denied everything, whatever it is: the
// deny overlay names him, or there is no caller.
func (p *Profile) Refused() bool { return p.refusal != nil }

// Decide answers for one target and method. It allocates nothing, but for a URI
// with something percent-encoded in it where denials name resources, and its cost
// depends on the lines about the caller that name the target, its server or no
// server, not on all. The target is not kept. A nil one, and one of a kind that
// does not exist, are denied.
func (p *Profile) Decide(t *Target, method string) Decision {
	switch {
	case p.refusal != nil:
		return *p.refusal
	case t == nil || t.Kind >= kinds:
		return p.set.deny(RuleDefaultDeny, unmatched)
	}
	if reason := p.set.overlay.target(t); reason != "" {
		return p.set.deny(RuleDenyOverlay, reason)
	}
	found := len(p.set.lines)
	for _, x := range p.indexes {
		found = x.first(p.set.lines, found, t, method)
	}
	if found == len(p.set.lines) {
		return p.set.deny(RuleDefaultDeny, unmatched)
	}
	l := &p.set.lines[found]
	return Decision{l.effect, l.name, l.reason, p.set.revision}
}

// matchesSubject reports whether the line is about the caller.
func (l *line) matchesSubject(p *principal.Principal) bool {
	return names(l.users, p.User) && names(l.applications, p.Application) &&
		namesAny(l.groups, p.Groups) && namesAny(l.roles, p.Roles)
}

// names reports whether a list is empty or names an attribute. No list names
// the empty string, so an absent attribute satisfies none.
func names(list []string, attribute string) bool {
	return len(list) == 0 || slices.Contains(list, attribute)
}

func namesAny(list, attributes []string) bool {
	return len(list) == 0 || slices.ContainsFunc(attributes, func(a string) bool { return slices.Contains(list, a) })
}
