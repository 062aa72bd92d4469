package risk_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/internal/risk"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// sample is one definition of the corpus; testdata/corpus/README.md tells of it.
type sample struct {
	server, name string
	definition   []byte
	label        snapshotv1.Risk // by hand, the annotations left out
}

// severity is the place of a category among all, least risky first.
func severity(r snapshotv1.Risk) int { return slices.Index(risk.Names(), risk.Name(r)) }

// bare returns the definition without the server's own claims.
func (s sample) bare(t testing.TB) []byte {
	t.Helper()
	var members map[string]jsontext.Value
	if err := json.Unmarshal(s.definition, &members); err != nil {
		t.Fatalf("%s %s: %v", s.server, s.name, err)
	}
	delete(members, "annotations")
	bare, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return bare
}

// expected is what the whole definition should be: the label, or what the
// server's claims raise it to.
func (s sample) expected(t testing.TB) snapshotv1.Risk {
	t.Helper()
	var d struct {
		Annotations struct {
			ReadOnly    *bool `json:"readOnlyHint"`
			Destructive *bool `json:"destructiveHint"`
		} `json:"annotations"`
	}
	if err := json.Unmarshal(s.definition, &d); err != nil {
		t.Fatal(err)
	}
	expected := s.label
	raise := func(r snapshotv1.Risk) {
		if severity(r) > severity(expected) {
			expected = r
		}
	}
	if v := d.Annotations.ReadOnly; v != nil && !*v {
		raise(write)
	}
	if v := d.Annotations.Destructive; v != nil && *v {
		raise(destructive)
	}
	return expected
}

// readLabels returns package → tool → category.
func readLabels(t testing.TB, path string) map[string]map[string]snapshotv1.Risk {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	labels, server := map[string]map[string]snapshotv1.Risk{}, ""
	for number, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, ok := strings.CutPrefix(line, "["); ok {
			server = strings.TrimSuffix(name, "]")
			labels[server] = map[string]snapshotv1.Risk{}
			continue
		}
		category, tools, _ := strings.Cut(line, ":")
		label, err := risk.Parse(category)
		if err != nil {
			t.Fatalf("%s:%d: %v", path, number+1, err)
		}
		for _, tool := range strings.Fields(tools) {
			if _, twice := labels[server][tool]; twice {
				t.Fatalf("%s:%d: %s is labelled twice", path, number+1, tool)
			}
			labels[server][tool] = label
		}
	}
	return labels
}

// readCorpora returns the labelled definitions of the parts of the corpus whose
// directories match.
func readCorpora(t testing.TB, pattern string) (samples []sample) {
	t.Helper()
	labels, err := filepath.Glob(filepath.Join("testdata", "corpus", pattern, "labels.txt"))
	if err != nil || len(labels) == 0 {
		t.Fatalf("no corpus %s (%v)", pattern, err)
	}
	for _, path := range labels {
		samples = append(samples, readCorpus(t, filepath.Dir(path))...)
	}
	return samples
}

// readCorpus returns the labelled definitions of a directory. Each definition
// has a label and each label a definition, or the test fails.
func readCorpus(t testing.TB, directory string) []sample {
	t.Helper()
	labels := readLabels(t, filepath.Join(directory, "labels.txt"))
	files, err := filepath.Glob(filepath.Join(directory, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus in %s (%v)", directory, err)
	}
	var samples []sample
	for _, path := range files {
		samples = append(samples, readServer(t, path, labels)...)
	}
	for server, rest := range labels {
		for tool := range rest {
			t.Errorf("%s %s has a label and no definition", server, tool)
		}
	}
	return samples
}

// readServer reads a file and takes its labels out of labels.
func readServer(t testing.TB, path string, labels map[string]map[string]snapshotv1.Risk) []sample {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), "\n")
	var origin struct{ Package, Version, Licence string }
	if err := json.Unmarshal([]byte(head), &origin, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if origin.Package == "" || origin.Version == "" || origin.Licence == "" {
		t.Errorf("%s does not say where it is from: %s", path, head)
	}
	var samples []sample
	lines := bufio.NewScanner(strings.NewReader(rest))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		label, ok := labels[origin.Package][d.Name]
		if !ok {
			t.Errorf("%s %s has no label", origin.Package, d.Name)
		}
		delete(labels[origin.Package], d.Name)
		samples = append(samples, sample{origin.Package, d.Name, slices.Clone(lines.Bytes()), label})
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return samples
}

// score counts what Classify says of samples against what it should.
type score struct {
	what         string
	total, right int
	low, risky   int // of the risky ones, those taken for reading
	matrix       map[[2]snapshotv1.Risk]int
	wrong        []string
}

func newScore(what string) *score {
	return &score{what: what, matrix: map[[2]snapshotv1.Risk]int{}}
}

// hold reports the score and fails below a floor.
func (s *score) hold(t *testing.T, accuracy, tooLow float64) {
	t.Helper()
	s.report(t)
	if got := s.accuracy(); got < accuracy {
		t.Errorf("%s: %.3f right, below %.3f", s.what, got, accuracy)
	}
	if got := s.tooLow(); got > tooLow {
		t.Errorf("%s: %.3f of what does more than read is taken for reading, above %.3f", s.what, got, tooLow)
	}
}

func (s *score) accuracy() float64 { return float64(s.right) / float64(max(s.total, 1)) }

// tooLow is how often a tool that does more than read is taken for reading.
func (s *score) tooLow() float64 { return float64(s.low) / float64(max(s.risky, 1)) }

func (s *score) add(x sample, expected, got snapshotv1.Risk) {
	s.total++
	s.matrix[[2]snapshotv1.Risk{expected, got}]++
	if expected == got {
		s.right++
	} else {
		s.wrong = append(s.wrong, fmt.Sprintf("%s %s: %s, want %s", x.server, x.name, risk.Name(got), risk.Name(expected)))
	}
	if expected != read {
		s.risky++
		if got == read {
			s.low++
		}
	}
}

// report prints the confusion matrix: a row a category as labelled, a column
// a category as classified.
func (s *score) report(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d right (%.3f); %d of %d taken for reading that do more (%.3f)\n%14s",
		s.what, s.right, s.total, s.accuracy(), s.low, s.risky, s.tooLow(), "")
	for _, name := range risk.Names() {
		fmt.Fprintf(&b, "%13s", name)
	}
	fmt.Fprintf(&b, "%13s%13s\n", "recall", "precision")
	for _, rowName := range risk.Names() {
		row, _ := risk.Parse(rowName)
		fmt.Fprintf(&b, "%14s", rowName)
		var labelled, classified int
		for _, name := range risk.Names() {
			column, _ := risk.Parse(name)
			fmt.Fprintf(&b, "%13d", s.matrix[[2]snapshotv1.Risk{row, column}])
			labelled += s.matrix[[2]snapshotv1.Risk{row, column}]
			classified += s.matrix[[2]snapshotv1.Risk{column, row}]
		}
		right := float64(s.matrix[[2]snapshotv1.Risk{row, row}])
		fmt.Fprintf(&b, "%13.2f%13.2f\n", right/float64(max(labelled, 1)), right/float64(max(classified, 1)))
	}
	t.Log(b.String() + "\t" + strings.Join(s.wrong, "\n\t"))
}

// floors are what the classifier is held to on each part of the corpus. Bare is
// without the annotations, against the label alone; whole is with them.
var floors = []struct {
	directory           string
	samples             int
	bare, whole, tooLow float64
}{
	{directory: "tuned", samples: 400, bare: 0.93, whole: 0.94, tooLow: 0.02},
	{directory: "heldout", samples: 150, bare: 0.87, whole: 0.88, tooLow: 0.04},
	{directory: "*", samples: 600, bare: 0.9, whole: 0.9, tooLow: 0.02},
}

func TestCorpusIsClassifiedAsPeopleDo(t *testing.T) {
	for _, floor := range floors {
		bare, whole := newScore(floor.directory+", without annotations"), newScore(floor.directory+", as offered")
		for _, x := range readCorpora(t, floor.directory) {
			bare.add(x, x.label, risk.Classify(x.bare(t)))
			whole.add(x, x.expected(t), risk.Classify(x.definition))
		}
		if bare.total < floor.samples {
			t.Errorf("%s holds %d definitions, fewer than %d", floor.directory, bare.total, floor.samples)
		}
		bare.hold(t, floor.bare, floor.tooLow)
		whole.hold(t, floor.whole, floor.tooLow)
	}
}

func TestCorpusIsOfManyServers(t *testing.T) {
	servers := map[string]bool{}
	for _, x := range readCorpora(t, "*") {
		servers[x.server] = true
	}
	if len(servers) < 20 {
		t.Errorf("the corpus is of %d servers only", len(servers))
	}
}
