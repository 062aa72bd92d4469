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
// only in what no rule, grant, limit or deny names, and no condition tells apart
// before the call, share one. It is immutable, safe for concurrent use, and good
// for as long as its set.
type Profile struct {
	set *Set
	// refusal is the answer to everything, if not nil.
	refusal *Verdict
	// indexes hold, together, the lines that match the caller. All but one belong
	// to the set and are shared between profiles.
	indexes []*index
	// as has of the caller what static conditions look at together with a target,
	// and the servers that the key is good for.
	as principal.Principal
	// settled has the outcomes of the conditions that the caller alone settles, by
	// line.static.
	settled []outcome
	// limits are those about the caller, by name.
	limits []*limit
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
	name := appendIDs(buffer[:0], seen)
	if s.reads != 0 || p.Servers != nil {
		name = appendRead(name, p, s.reads)
	}
	s.mu.RLock()
	profile := s.profiles[string(name)]
	s.mu.RUnlock()
	if profile != nil {
		return profile
	}
	made := s.build(p, slices.Clone(seen))
	return s.remember(string(name), made.name(seen), made)
}

// remember keeps a profile, unless another goroutine was first or there is one that
// differs in nothing that matters.
func (s *Set) remember(name, alike string, made *Profile) *Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.profiles[name]; first != nil {
		return first
	}
	if first := s.alike[alike]; first != nil {
		made = first
	} else if len(s.alike) < maxProfiles {
		s.alike[alike] = made
	}
	if len(s.profiles) < maxProfiles {
		s.profiles[name] = made
	}
	return made
}

// name names what matters of a profile's callers.
func (p *Profile) name(seen []uint32) string {
	name := appendIDs(nil, seen)
	for _, outcome := range p.settled {
		name = append(name, byte(outcome))
	}
	return string(appendRead(name, &p.as, p.set.tells))
}

func appendIDs(name []byte, ids []uint32) []byte {
	name = binary.BigEndian.AppendUint32(name, uint32(len(ids)))
	for _, id := range ids {
		name = binary.BigEndian.AppendUint32(name, id)
	}
	return name
}

// appendRead appends what conditions look at of a caller, and the servers of the key.
func appendRead(name []byte, p *principal.Principal, reads reads) []byte {
	if p.Servers == nil {
		name = append(name, 0)
	} else {
		name = appendTexts(append(name, 1), p.Servers...)
	}
	if reads&readsUser != 0 {
		name = appendTexts(name, p.User)
	}
	if reads&readsApplication != 0 {
		name = appendTexts(name, p.Application)
	}
	if reads&readsKey != 0 {
		name = appendTexts(name, p.KeyID)
	}
	if reads&readsIssuer != 0 {
		name = appendTexts(name, p.Issuer)
	}
	if reads&readsGroups != 0 {
		name = appendTexts(name, p.Groups...)
	}
	if reads&readsRoles != 0 {
		name = appendTexts(name, p.Roles...)
	}
	return name
}

// appendTexts appends texts so that no two lists look the same.
func appendTexts(name []byte, list ...string) []byte {
	name = binary.BigEndian.AppendUint32(name, uint32(len(list)))
	for _, text := range list {
		name = binary.BigEndian.AppendUint32(name, uint32(len(text)))
		name = append(name, text...)
	}
	return name
}

// only returns what static conditions may look at together with a target.
func only(p *principal.Principal, reads reads) principal.Principal {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	var out principal.Principal
	if p.Servers != nil {
		out.Servers = append([]string{}, sorted(p.Servers)...)
	}
	if reads&readsUser != 0 {
		out.User = p.User
	}
	if reads&readsApplication != 0 {
		out.Application = p.Application
	}
	if reads&readsKey != 0 {
		out.KeyID = p.KeyID
	}
	if reads&readsIssuer != 0 {
		out.Issuer = p.Issuer
	}
	if reads&readsGroups != 0 {
		out.Groups = sorted(p.Groups)
	}
	if reads&readsRoles != 0 {
		out.Roles = sorted(p.Roles)
	}
	return out
}

// build gathers the lines that match a caller.
func (s *Set) build(p *principal.Principal, seen []uint32) *Profile {
	if reason := s.overlay.caller(p); reason != "" {
		return s.refuse(RuleDenyOverlay, reason)
	}
	profile := &Profile{set: s, indexes: []*index{&s.subjects.anyone}, as: only(p, s.tells)}
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
	profile.settle(p)
	for i := range s.limits {
		if s.limits[i].matchesSubject(p) {
			profile.limits = append(profile.limits, &s.limits[i])
		}
	}
	return profile
}

// settle evaluates what the caller alone settles.
func (p *Profile) settle(caller *principal.Principal) {
	if len(p.set.settled) == 0 {
		return
	}
	p.settled = make([]outcome, len(p.set.settled))
	for place, i := range p.set.settled {
		if l := &p.set.lines[i]; l.matchesSubject(caller) {
			p.settled[place], _ = l.when.evaluate(newEvaluation(caller, &Target{}, "", nil))
		}
	}
}

// refuse returns a profile that is denied everything.
func (s *Set) refuse(rule, reason string) *Profile {
	return &Profile{set: s, refusal: &Verdict{set: s, final: s.deny(rule, reason)}}
}

// Refused reports whether the caller is denied everything, whatever it is: the
// deny overlay names him, or there is no caller.
func (p *Profile) Refused() bool { return p.refusal != nil }

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
