package definition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/warder-gateway/warder/internal/finding"
)

// Change says what became of a place.
type Change string

const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Difference is one place where two definitions differ. Its texts are safe to show.
type Difference struct {
	// Path is a JSON pointer into the definition that has the place; into the second
	// if both do.
	Path   string
	Change Change
	// Before and After are JSON, bounded; empty where there is none. Of long texts
	// they show what is around the first place that differs.
	Before, After string
	// Note says what may be dangerous in it; empty: nothing known.
	Note string
}

const (
	// AtMost bounds the differences of two definitions. The last one then says how
	// many more there are.
	AtMost   = 200
	maxShown = 600 // bytes of a value, before what does not show is written out
	maxPath  = 512
	context  = 80 // bytes shown before the first place that differs
)

// Diff returns where two definitions differ, in the order of the first; what was
// added comes after what is beside it. The error says which of them cannot be read.
func Diff(before, after []byte) ([]Difference, error) {
	a, err := parse(before)
	if err != nil {
		return nil, fmt.Errorf("the first: %w", err)
	}
	b, err := parse(after)
	if err != nil {
		return nil, fmt.Errorf("the second: %w", err)
	}
	w := &walk{known: addresses(a)}
	w.values(nil, a, b)
	if w.more > 0 {
		w.found[AtMost-1].Note = strings.TrimSpace(fmt.Sprintf("%s There are %d more differences.", w.found[AtMost-1].Note, w.more))
	}
	return w.found, nil
}

// walk is one comparison.
type walk struct {
	found []Difference
	more  int
	known map[string]bool // addresses that the first definition has
}

// values compares two values at one place.
func (w *walk) values(path []string, a, b *node) {
	switch {
	case a.kind == '{' && b.kind == '{':
		w.objects(path, a, b)
	case a.kind == '[' && b.kind == '[':
		w.arrays(path, a, b)
	case !same(a, b):
		w.report(path, a, b)
	}
}

// objects compares member by member.
func (w *walk) objects(path []string, a, b *node) {
	second := index(b.members)
	for _, m := range a.members {
		at := append(slices.Clip(path), m.name)
		if other, found := second[m.name]; found {
			w.values(at, m.value, other)
		} else {
			w.report(at, m.value, nil)
		}
	}
	first := index(a.members)
	for _, m := range b.members {
		if _, found := first[m.name]; !found {
			w.report(append(slices.Clip(path), m.name), nil, m.value)
		}
	}
}

// arrays chooses how two arrays are compared.
func (w *walk) arrays(path []string, a, b *node) {
	if same(a, b) {
		return
	}
	isPlain := func(n *node) bool { return n.plain() }
	before := len(w.found) + w.more
	first, firstNamed := named(a.elements)
	second, secondNamed := named(b.elements)
	switch {
	case !slices.ContainsFunc(a.elements, not(isPlain)) && !slices.ContainsFunc(b.elements, not(isPlain)):
		w.sets(path, a, b)
	case firstNamed && secondNamed:
		w.byName(path, first, second)
	default:
		w.sequences(path, a, b)
	}
	if len(w.found)+w.more == before { // The same elements, in another order.
		w.report(path, a, b)
	}
}

func not[T any](is func(T) bool) func(T) bool { return func(v T) bool { return !is(v) } }

// sets compares arrays of plain values, each as often as it comes.
func (w *walk) sets(path []string, a, b *node) {
	key := func(n *node) string { return n.kind.String() + n.text }
	left := make(map[string]int)
	for _, n := range b.elements {
		left[key(n)]++
	}
	for i, n := range a.elements {
		if left[key(n)]--; left[key(n)] < 0 {
			w.report(append(slices.Clip(path), strconv.Itoa(i)), n, nil)
		}
	}
	left = make(map[string]int)
	for _, n := range a.elements {
		left[key(n)]++
	}
	for i, n := range b.elements {
		if left[key(n)]--; left[key(n)] < 0 {
			w.report(append(slices.Clip(path), strconv.Itoa(i)), nil, n)
		}
	}
}

// place is an element of an array, by where it stands.
type place struct {
	at    int
	value *node
}

// named returns elements by the names that they give themselves, and false if one
// gives none, or one that another has.
func named(elements []*node) (map[string]place, bool) {
	byName := make(map[string]place, len(elements))
	for i, n := range elements {
		name := n.get("name")
		if name == nil || name.kind != '"' {
			return nil, false
		}
		if _, twice := byName[name.text]; twice {
			return nil, false
		}
		byName[name.text] = place{i, n}
	}
	return byName, true
}

// byName compares elements that have one name.
func (w *walk) byName(path []string, first, second map[string]place) {
	for _, p := range inOrder(first) {
		if other, found := second[p.value.get("name").text]; found {
			w.values(append(slices.Clip(path), strconv.Itoa(other.at)), p.value, other.value)
		} else {
			w.report(append(slices.Clip(path), strconv.Itoa(p.at)), p.value, nil)
		}
	}
	for _, p := range inOrder(second) {
		if _, found := first[p.value.get("name").text]; !found {
			w.report(append(slices.Clip(path), strconv.Itoa(p.at)), nil, p.value)
		}
	}
}

func inOrder(places map[string]place) []place {
	out := make([]place, len(places))
	for _, p := range places {
		out[p.at] = p
	}
	return out
}

// sequences compares arrays in order, but for what both begin and end with.
func (w *walk) sequences(path []string, a, b *node) {
	start, one, two := 0, len(a.elements), len(b.elements)
	for start < one && start < two && same(a.elements[start], b.elements[start]) {
		start++
	}
	for one > start && two > start && same(a.elements[one-1], b.elements[two-1]) {
		one--
		two--
	}
	for i := start; i < one || i < two; i++ {
		at := append(slices.Clip(path), strconv.Itoa(i))
		switch {
		case i >= two:
			w.report(at, a.elements[i], nil)
		case i >= one:
			w.report(at, nil, b.elements[i])
		default:
			w.values(at, a.elements[i], b.elements[i])
		}
	}
}

// report files a difference; nil is nothing.
func (w *walk) report(path []string, a, b *node) {
	if len(w.found) == AtMost {
		w.more++
		return
	}
	d := Difference{Path: pointer(path), Change: Changed, Note: w.note(path, a, b)}
	switch {
	case a == nil:
		d.Change = Added
	case b == nil:
		d.Change = Removed
	}
	d.Before, d.After = shown(a, b)
	w.found = append(w.found, d)
}

// pointer writes a path as a JSON pointer that is safe to show.
func pointer(path []string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var out strings.Builder
	for _, name := range path {
		out.WriteString("/" + escape.Replace(name))
	}
	return finding.Visible(cut(out.String(), 0, maxPath))
}

// shown returns two values for people.
func shown(a, b *node) (before, after string) {
	if a != nil {
		before = string(a.appendJSON(nil))
	}
	if b != nil {
		after = string(b.appendJSON(nil))
	}
	from := 0
	if a != nil && b != nil {
		for from < len(before) && from < len(after) && before[from] == after[from] {
			from++
		}
		from = max(0, from-context)
	}
	return finding.Visible(cut(before, from, maxShown)), finding.Visible(cut(after, from, maxShown))
}

// cut returns about n bytes of a text from a place on, whole characters, and marks
// what is left out. A text that is not long is returned whole.
func cut(text string, from, n int) string {
	if len(text) <= n {
		return text
	}
	from = min(from, len(text)-1)
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	to := min(from+n, len(text))
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to++
	}
	out := text[from:to]
	if from > 0 {
		out = "…" + out
	}
	if to < len(text) {
		out += "…"
	}
	return out
}
