package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity says how sure a finding is.
type Severity string

const (
	// Hard findings have hardly an innocent explanation: nothing that carries one
	// should be approved without one.
	Hard Severity = "hard"
	// Soft findings are worth a look; honest servers have some.
	Soft Severity = "soft"
)

// Kind is what a definition defines, in the words of the catalogue.
type Kind string

const (
	Tool         Kind = "tool"
	Prompt       Kind = "prompt"
	Resource     Kind = "resource"
	Template     Kind = "template"
	Instructions Kind = "instructions" // of a server, with its serverInfo if that is kept
)

// Definition is one definition to scan, and whose it is.
type Definition struct {
	Kind Kind
	// Server is the slug of the server that offers it.
	Server string
	// Name of the entry, and the one that clients of the aggregate see, if it has
	// one. They say what it is compared with in a Registry, and are also scanned.
	Name, ExposedName string
	// Raw is the definition as the server sent it, one JSON object.
	Raw []byte
}

// Finding is one thing that a person should see before approving a definition.
type Finding struct {
	// Check that found it, "class.name". Stable across versions.
	Check    string
	Severity Severity
	// Path is the JSON pointer of the string or object in the definition. For the
	// name of a member it is the pointer of that member.
	Path string
	// Excerpt of the place, with everything invisible written out, bounded.
	Excerpt string
	// Explanation is one sentence for the person who decides.
	Explanation string
}

// Bounds of what is read and reported.
const (
	// MaxDefinition is the largest definition that is read, in bytes. A larger one
	// is a hard finding.
	MaxDefinition = 1 << 20
	// MaxPerCheck bounds the findings of one check in a definition. The last one
	// says how many more places there are.
	MaxPerCheck = 8
	// maxExcerpt bounds the part of a string that is quoted, in bytes before
	// invisible characters are written out.
	maxExcerpt = 160
	maxPath    = 512
)

// Scan returns what is suspicious about a definition: hard findings first, then by
// check and in the order of the definition. registry may be nil: then nothing is
// compared with other servers. It is safe for concurrent use.
func Scan(d Definition, registry *Registry) []Finding {
	return scanWith(checks, d, registry)
}

// Worst returns the severity that the findings have together: Hard if one is hard
// or three different checks are soft, Soft if there is any, and "" if there is none.
func Worst(findings []Finding) Severity {
	if len(findings) == 0 {
		return ""
	}
	soft := make(map[string]bool)
	for _, f := range findings {
		if f.Severity == Hard {
			return Hard
		}
		soft[f.Check] = true
	}
	if len(soft) >= 3 {
		return Hard
	}
	return Soft
}

// check is one look at a string. It reports to the scan and keeps nothing.
type check struct {
	name string
	look func(*scan, *text)
}

// checks is all that looks at strings. The order does not matter.
var checks = []check{
	{"hidden", lookHidden},
	{"hidden.mixed_script", lookScripts},
	{"hidden.padding", lookPadding},
	{"terminal", lookTerminal},
	{"name", lookName},
	{"content", lookContent},
	{"injection", lookInjection},
	{"injection.markup", lookMarkup},
	{"sink", lookSink},
	{"shadow", lookShadow},
	{"schema", lookSchema},
}

// scan is one run over one definition.
type scan struct {
	def      Definition
	registry *Registry
	checks   []check
	found    []Finding
	kept     map[string]*kept     // by check
	progress [][maxSteps]progress // of rules, kept from string to string
}

func scanWith(checks []check, d Definition, registry *Registry) []Finding {
	s := &scan{def: d, registry: registry, checks: checks, kept: make(map[string]*kept)}
	nowhere := func() string { return "" }
	s.guard("shadow.name", nowhere, s.compareNames)
	switch {
	case len(d.Raw) > MaxDefinition:
		s.report(Finding{Check: "scan.too_large", Severity: Hard,
			Explanation: fmt.Sprintf("The definition has more than %d KiB and was not read.", MaxDefinition>>10)})
	default:
		s.guard("walk", nowhere, s.walk)
	}
	return s.finish()
}

// look runs every check on a string.
func (s *scan) look(t *text) {
	for _, c := range s.checks {
		s.guard(c.name, t.path, func() { c.look(s, t) })
	}
}

// guard runs one check. One that panics is a finding: what it would have said is
// not known.
func (s *scan) guard(name string, path func() string, run func()) {
	defer func() {
		if recover() != nil {
			s.report(Finding{Check: "scan.degraded", Severity: Hard, Path: path(),
				Explanation: fmt.Sprintf("The check %q failed here, so that nothing is known of what it looks for.", name)})
		}
	}()
	run()
}

// at reports a finding about the bytes [start,end) of a string.
func (s *scan) at(t *text, check string, severity Severity, start, end int, explanation string) {
	if k := s.kept[check]; k != nil && k.full(severity) {
		if k.last != t { // Nothing is written out for what nobody will see.
			k.last = t
			k.more++
		}
		return
	}
	s.report(Finding{Check: check, Severity: severity, Path: t.path(), Excerpt: excerpt(t.value, start, end), Explanation: explanation})
}

// kept counts the findings of one check.
type kept struct {
	hard, soft, more int
	last             *text // the last one that was only counted
}

// full reports whether no finding of a severity is taken any more.
func (k *kept) full(severity Severity) bool {
	return k.hard+k.soft >= MaxPerCheck && (severity == Soft || k.soft == 0)
}

// report keeps a finding. Of one check and one place only the first counts, and of
// a check no more than MaxPerCheck; a hard one takes the place of a soft one.
func (s *scan) report(f Finding) {
	f.Path = limit(Visible(f.Path), maxPath)
	k := s.kept[f.Check]
	if k == nil {
		k = new(kept)
		s.kept[f.Check] = k
	}
	softest := -1
	for i := range s.found {
		old := &s.found[i]
		if old.Check != f.Check {
			continue
		}
		if old.Path == f.Path && (old.Severity == Hard || f.Severity == Soft) {
			return
		}
		if old.Severity == Soft && (softest < 0 || s.found[softest].Path != f.Path) {
			softest = i
		}
	}
	switch {
	case f.Severity == Hard && softest >= 0 && (s.found[softest].Path == f.Path || k.full(Soft)):
		if s.found[softest].Path != f.Path {
			k.more++
		}
		s.found[softest] = f
		k.soft--
		k.hard++
	case k.full(f.Severity):
		k.more++
	default:
		s.found = append(s.found, f)
		if f.Severity == Hard {
			k.hard++
		} else {
			k.soft++
		}
	}
}

func (s *scan) finish() []Finding {
	slices.SortStableFunc(s.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Check, b.Check))
	})
	for i := range s.found {
		k := s.kept[s.found[i].Check]
		if last := i+1 == len(s.found) || s.found[i+1].Check != s.found[i].Check; last && k.more > 0 {
			s.found[i].Explanation += fmt.Sprintf(" There are %d more places like this.", k.more)
			k.more = 0
		}
	}
	return s.found
}

// excerpt shows the bytes [start,end) of a text with a little of what is around.
func excerpt(text string, start, end int) string {
	start = min(max(start, 0), len(text))
	end = min(max(end, start), len(text))
	from := start - min(start, 24)
	to := min(len(text), max(end+24, from+maxExcerpt/2), from+maxExcerpt)
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to++
	}
	shown := Visible(strings.TrimSpace(text[from:to]))
	if from > 0 {
		shown = "…" + shown
	}
	if to < len(text) {
		shown += "…"
	}
	return shown
}

// limit cuts a text to about n bytes, at a character's end.
func limit(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
