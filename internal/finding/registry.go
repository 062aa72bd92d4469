package finding

import (
	"slices"
	"strings"
	"unicode"
)

// Entry is what a Registry knows of one tool or prompt that some server offers.
type Entry struct {
	Server, Name, ExposedName string
	Description               string
}

// Registry is what all servers offer, prepared for comparing. It is immutable and
// safe for concurrent use; build it once for many scans. It keeps the strings of
// its entries, and about two hundred bytes for each besides.
type Registry struct {
	byExposed   map[string][]int32 // skeleton of the exposed name
	byGlyphs    map[string][]int32 // name with look-alikes folded, case and separators kept
	byTail      map[string][]int32 // name in lower case, without separators
	distinctive map[string][]int32
	entries     []Entry
}

// NewRegistry returns the registry of entries: of all servers, that of the
// definitions to scan too. Entries that nobody is offered, because they are
// missing or rejected, do not belong into it.
func NewRegistry(entries []Entry) *Registry {
	r := &Registry{
		byExposed: make(map[string][]int32, len(entries)), byGlyphs: make(map[string][]int32, len(entries)),
		byTail: make(map[string][]int32, len(entries)), distinctive: make(map[string][]int32, len(entries)), entries: slices.Clone(entries),
	}
	for i, e := range r.entries {
		n := int32(i)
		if e.ExposedName != "" {
			key := Skeleton(e.ExposedName)
			r.byExposed[key] = append(r.byExposed[key], n)
		}
		if e.Name == "" {
			continue
		}
		r.byGlyphs[glyph(e.Name)] = append(r.byGlyphs[glyph(e.Name)], n)
		r.byTail[tail(e.Name)] = append(r.byTail[tail(e.Name)], n)
		if isDistinctive(e.Name) {
			key := strings.ToLower(e.Name)
			r.distinctive[key] = append(r.distinctive[key], n)
		}
	}
	return r
}

// glyph is a name as it looks, with its case and separators.
func glyph(name string) string { return pairs.Replace(glyphs.Replace(fold(name))) }

// tail is the name for comparing what two servers call alike.
func tail(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' || r == ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, fold(name))
}

// isDistinctive reports whether a name is unlikely to be met in prose by chance:
// it has at least two words, joined by something, and is not short.
func isDistinctive(name string) bool {
	if len(name) < 6 {
		return false
	}
	joints := 0
	for i := 1; i < len(name); i++ {
		switch {
		case (name[i] == '_' || name[i] == '-') && i+1 < len(name),
			'A' <= name[i] && name[i] <= 'Z' && 'a' <= name[i-1] && name[i-1] <= 'z':
			joints++
		}
	}
	return joints > 0
}

// compareNames reports a name that may be taken for another server's (T-05, T-06).
func (s *scan) compareNames() {
	if s.registry == nil || s.def.Kind != Tool && s.def.Kind != Prompt {
		return
	}
	report := func(severity Severity, shown, why string) {
		s.report(Finding{Check: "shadow.name", Severity: severity, Path: "/name", Excerpt: Visible(limit(shown, maxExcerpt)), Explanation: why})
	}
	for _, name := range []string{s.def.ExposedName, s.def.Name} {
		if name == "" {
			continue
		}
		if e := s.registry.other(s.registry.byExposed[Skeleton(name)], s.def.Server); e != nil {
			report(Hard, name, "Its name is, or looks like, the one under which clients see "+e.Server+"/"+Visible(e.Name)+".")
			return
		}
	}
	for _, i := range s.registry.byGlyphs[glyph(s.def.Name)] {
		if e := &s.registry.entries[i]; e.Name != s.def.Name {
			severity := Soft
			if !isASCII(s.def.Name) {
				severity = Hard
			}
			report(severity, s.def.Name, "Its name looks like that of "+e.Server+"/"+Visible(e.Name)+", letter for letter, and is another.")
			return
		}
	}
}

// other returns the first of some entries that is of another server, or nil.
func (r *Registry) other(indices []int32, server string) *Entry {
	for _, i := range indices {
		if r.entries[i].Server != server {
			return &r.entries[i]
		}
	}
	return nil
}

// lookShadow reports texts about tools of other servers, and descriptions taken
// over from them (security.md 2.3).
func lookShadow(s *scan, t *text) {
	if s.registry == nil || t.key {
		return
	}
	if t.prose() {
		s.mentions(t)
	}
	if t.member == "description" && t.top == "description" && s.def.Kind == Tool {
		s.nearDuplicate(t)
	}
}

// mentions reports names of other servers' tools in a text. That this text also
// says not to use them, or what to do instead, makes it hard.
func (s *scan) mentions(t *text) {
	var words []word
	hits := 0
	for start := 0; start < len(t.value) && hits < MaxPerCheck; {
		if !nameByte(t.value[start]) {
			start++
			continue
		}
		end := start
		for end < len(t.value) && nameByte(t.value[end]) {
			end++
		}
		token := strings.TrimRight(t.value[start:end], ".-")
		if e := s.foreign(token); e != nil {
			hits++
			if words == nil {
				words = read(t.value)
			}
			severity, why := Soft, "It speaks of "+e.Server+"/"+Visible(e.Name)+", a tool of another server."
			if redirects(words, start, end) {
				severity, why = Hard, "It says when, or when not, to use "+e.Server+"/"+Visible(e.Name)+", a tool of another server."
			}
			s.at(t, "shadow.mention", severity, start, end, why)
		}
		start = end
	}
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == '/'
}

// foreign returns the tool that a token names, if only other servers have it.
func (s *scan) foreign(token string) *Entry {
	if !isDistinctive(token) || len(token) > 128 {
		return nil
	}
	if server, name, found := strings.Cut(token, "/"); found {
		e := s.foreign(name)
		if e != nil && e.Server != server {
			return nil
		}
		return e
	}
	lower := strings.ToLower(token)
	if e := s.registry.other(s.registry.byExposed[Skeleton(token)], s.def.Server); e != nil && strings.EqualFold(e.ExposedName, token) {
		return e
	}
	indices := s.registry.distinctive[lower]
	for _, i := range indices {
		if s.registry.entries[i].Server == s.def.Server {
			return nil
		}
	}
	return s.registry.other(indices, s.def.Server)
}

// redirects reports whether words about a name's place say to use it differently.
func redirects(words []word, start, end int) bool {
	cue := classOf["instead"].or(classOf["gate"]).or(classOf["change"]).or(classOf["must"])
	for _, w := range words {
		if w.class.meets(cue) && w.end >= start-80 && w.start <= end+60 {
			return true
		}
	}
	return false
}

// What two descriptions must have in common to be the same one.
const (
	minAlike      = 0.8 // Jaccard of their three-grams
	minCompared   = 24  // bytes; shorter ones are alike by chance
	maxCompared   = 4 << 10
	maxCandidates = 32 // tools of one name; further ones are not compared
)

// nearDuplicate reports a description that is that of another server's tool of the
// same name.
func (s *scan) nearDuplicate(t *text) {
	if len(t.value) < minCompared {
		return
	}
	var own map[uint32]struct{}
	candidates := 0
	for _, i := range s.registry.byTail[tail(s.def.Name)] {
		e := &s.registry.entries[i]
		if e.Server == s.def.Server || len(e.Description) < minCompared || len(e.Description) > 2*len(t.value) || len(t.value) > 2*len(e.Description) {
			continue
		}
		if candidates++; candidates > maxCandidates {
			return
		}
		if own == nil {
			own = grams(t.value)
		}
		if jaccard(own, grams(e.Description)) >= minAlike {
			s.at(t, "shadow.duplicate", Hard, 0, 80, "It has the name and the description of "+e.Server+"/"+Visible(e.Name)+
				": a copy of another server's tool, or a second instance of that server.")
			return
		}
	}
}

// grams returns the three-grams of a text, without regard to case and blanks.
func grams(s string) map[uint32]struct{} {
	set := make(map[uint32]struct{})
	var window uint32
	n := 0
	for i := 0; i < len(s) && i < maxCompared; i++ {
		c := s[i]
		if isBlank(c) {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		window = (window<<8 | uint32(c)) & 0xFFFFFF
		if n++; n >= 3 {
			set[window] = struct{}{}
		}
	}
	return set
}

func jaccard(a, b map[uint32]struct{}) float64 {
	both := 0
	for g := range a {
		if _, found := b[g]; found {
			both++
		}
	}
	if all := len(a) + len(b) - both; all > 0 {
		return float64(both) / float64(all)
	}
	return 0
}
