package finding_test

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/internal/finding"
)

// sample is one line of the corpus.
type sample struct {
	ID         string         `json:"id"`
	Source     string         `json:"source"`
	Licence    string         `json:"licence"`
	Expect     string         `json:"expect"` // the check that must find it; empty for what is innocent
	Kind       finding.Kind   `json:"kind"`
	Server     string         `json:"server"`
	Definition jsontext.Value `json:"definition"`
	Others     []struct {
		Server      string `json:"server"`
		Name        string `json:"name"`
		Exposed     string `json:"exposed"`
		Description string `json:"description"`
	} `json:"others"` // what other servers offer
}

func corpus(t testing.TB, file string) []sample {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, s)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("%s: %d samples, %v", file, len(all), err)
	}
	return all
}

// heldOut parts the corpus by a hash of the name: three in ten samples were never
// looked at while the rules were written.
func heldOut(id string) bool {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()%10 < 3
}

func (s *sample) definition() finding.Definition {
	var head struct {
		Name string `json:"name"`
	}
	// A name that is no string is for the scanner to find.
	_ = json.Unmarshal(s.Definition, &head)
	d := finding.Definition{Kind: s.Kind, Server: s.Server, Name: head.Name, Raw: s.Definition}
	if s.Kind == finding.Tool || s.Kind == finding.Prompt {
		d.ExposedName = s.Server + "__" + head.Name
	}
	return d
}

// registry is what the sample's other servers offer.
func (s *sample) registry() *finding.Registry {
	var entries []finding.Entry
	for _, o := range s.Others {
		entries = append(entries, finding.Entry{Server: o.Server, Name: o.Name, ExposedName: o.Exposed, Description: o.Description})
	}
	return finding.NewRegistry(entries)
}

// rate counts hits.
type rate struct{ hit, all int }

func (r *rate) count(hit bool) {
	r.all++
	if hit {
		r.hit++
	}
}

func (r rate) String() string { return fmt.Sprintf("%d of %d (%.3f)", r.hit, r.all, r.share()) }

func (r rate) share() float64 {
	if r.all == 0 {
		return 0
	}
	return float64(r.hit) / float64(r.all)
}

// TestAttacksAreFound holds a floor under the recall, and prints it.
func TestAttacksAreFound(t *testing.T) {
	total := map[bool]*rate{false: {}, true: {}}
	classes := make(map[string]*rate)
	for _, s := range corpus(t, "attacks.jsonl") {
		found := finding.Scan(s.definition(), s.registry())
		hit := slices.ContainsFunc(found, func(f finding.Finding) bool { return f.Check == s.Expect })
		class, _, _ := strings.Cut(s.Expect, ".")
		if class == "injection" {
			class = s.Expect
		}
		if classes[class] == nil {
			classes[class] = new(rate)
		}
		classes[class].count(hit)
		total[heldOut(s.ID)].count(hit)
		if !hit {
			t.Logf("missed: %s (%s; held out: %v)", s.ID, s.Expect, heldOut(s.ID))
		}
	}
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		t.Logf("recall %-24s %v", class, classes[class])
	}
	t.Logf("recall of the part that was tuned on: %v; of the held-out part: %v", total[false], total[true])
	for held, r := range total {
		if r.all < 40 || r.share() < 0.95 {
			t.Errorf("recall is %v (held out: %v), want at least 0.95 of 40 or more", r, held)
		}
	}
}

// TestHonestDefinitionsHaveFewFindings holds a roof over the false positives, and
// prints them. What real servers offer is scanned beside each other, as a gateway
// has it.
func TestHonestDefinitionsHaveFewFindings(t *testing.T) {
	samples := append(corpus(t, "offers.jsonl"), corpus(t, "texts.jsonl")...)
	var entries []finding.Entry
	for i := range samples {
		d := samples[i].definition()
		var head struct {
			Description string `json:"description"`
		}
		_ = json.Unmarshal(samples[i].Definition, &head)
		entries = append(entries, finding.Entry{Server: d.Server, Name: d.Name, ExposedName: d.ExposedName, Description: head.Description})
	}
	registry := finding.NewRegistry(entries)
	hard, soft := map[bool]*rate{false: {}, true: {}}, map[bool]*rate{false: {}, true: {}}
	for _, s := range samples {
		found := finding.Scan(s.definition(), registry)
		held := heldOut(s.ID)
		hard[held].count(slices.ContainsFunc(found, func(f finding.Finding) bool { return f.Severity == finding.Hard }))
		soft[held].count(len(found) > 0)
		for _, f := range found {
			if held {
				t.Logf("held out: %s %s %s", f.Severity, f.Check, s.ID)
				continue
			}
			t.Logf("%s: %s %s %s: %s", s.ID, f.Severity, f.Check, f.Path, f.Excerpt)
		}
	}
	t.Logf("tuned on: hard %v, any %v; held out: hard %v, any %v", hard[false], soft[false], hard[true], soft[true])
	for _, held := range []bool{false, true} {
		if hard[held].all < 90 || hard[held].share() > 0.02 {
			t.Errorf("hard findings on %v of honest definitions (held out: %v), want at most 0.02 of 90 or more", hard[held], held)
		}
		if soft[held].share() > 0.10 {
			t.Errorf("findings on %v of honest definitions (held out: %v), want at most 0.10", soft[held], held)
		}
	}
}

// TestKnownMisses keeps the attacks that are known to be missed honest: one that is
// found now belongs among the attacks.
func TestKnownMisses(t *testing.T) {
	for _, s := range corpus(t, "missed.jsonl") {
		if found := finding.Scan(s.definition(), nil); len(found) > 0 {
			t.Errorf("%s is found now, move it to attacks.jsonl: %v", s.ID, found)
		}
		t.Logf("missed: %s: %s", s.ID, s.Source)
	}
}

// TestTheCorpusIsFairAndSaysWhereItIsFrom: there are at least as many honest samples
// as attacks, and of what others wrote source and licence are there.
func TestTheCorpusIsFairAndSaysWhereItIsFrom(t *testing.T) {
	permissive := []string{"MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause"}
	offers, attacks := corpus(t, "offers.jsonl"), corpus(t, "attacks.jsonl")
	if honest := len(offers) + len(corpus(t, "texts.jsonl")); honest < len(attacks) {
		t.Errorf("%d honest samples beside %d attacks", honest, len(attacks))
	}
	for _, s := range offers {
		if s.Source == "" || !slices.Contains(permissive, s.Licence) {
			t.Errorf("%s: source %q, licence %q", s.ID, s.Source, s.Licence)
		}
	}
	for _, s := range attacks {
		if s.Source == "" {
			t.Errorf("%s does not say what it is after", s.ID)
		}
	}
}
