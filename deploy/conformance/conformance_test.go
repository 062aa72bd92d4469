package conformance

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes a directory of results as a suite does.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, checks := range files {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "checks.json"), []byte(checks), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestResultsAreReadAsTheSuitesWriteThem(t *testing.T) {
	dir := write(t, map[string]string{
		"server-ping-2026-11-22T16-18-16-280Z": `[{"id":"ping","status":"SUCCESS","details":{}},{"id":"wire","status":"SUCCESS"},{"id":"sent","status":"INFO"}]`,
		"server-server-stateless-2026-11-22T16-18-17-280Z": `[{"id":"meta","status":"SUCCESS"},{"id":"meta","status":"FAILURE","errorMessage":"x"},
			{"id":"log","status":"WARNING"},{"id":"list","status":"SKIPPED"}]`,
		"server-empty-2026-11-22T16-18-18-280Z": `[]`,
	})
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Results{
		"ping":             {"ping": {Passed: 1}, "wire": {Passed: 1}},
		"server-stateless": {"meta": {Passed: 1, Failed: 1}, "log": {Warned: 1}, "list": {Skipped: 1}},
		"empty":            {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Tally{3, 1, 1, 1}, got.Total()); diff != "" {
		t.Error(diff)
	}
}

// TestResultsThatAreNotUnderstoodAreAnError: else a new version of the suites could make the comparison vacuous.
func TestResultsThatAreNotUnderstoodAreAnError(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"none":           {},
		"other name":     {"ping": `[]`},
		"other status":   {"server-ping-2026-11-22T16-18-16-280Z": `[{"id":"ping","status":"PASSED"}]`},
		"no JSON":        {"server-ping-2026-11-22T16-18-16-280Z": `ok`},
		"another format": {"server-ping-2026-11-22T16-18-16-280Z": `{"checks":[]}`},
	} {
		if got, err := Read(write(t, files)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "no")); err == nil {
		t.Error("no directory is no error")
	}
}

func TestWhatEndsWorseIsALoss(t *testing.T) {
	// Scenario a fails directly, b does not.
	direct := Results{"a": {"x": {Passed: 2}, "y": {Failed: 1}, "z": {Warned: 1}}, "b": {"x": {Passed: 1}}}
	for name, c := range map[string]struct {
		through Results
		lost    []string
	}{
		"the same":           {direct, nil},
		"better":             {Results{"a": {"x": {Passed: 2}, "y": {Passed: 1}, "z": {Passed: 1}}, "b": {"x": {Passed: 3}}, "c": {"x": {Passed: 1}}}, nil},
		"one fails":          {Results{"a": {"x": {Passed: 1, Failed: 1}, "y": {Failed: 1}, "z": {Warned: 1}}, "b": {"x": {Passed: 1}}}, []string{"a/x"}},
		"one is skipped":     {Results{"a": {"x": {Passed: 1, Skipped: 1}, "y": {}}, "b": {"x": {Passed: 1}}}, []string{"a/x"}},
		"one more fails":     {Results{"a": {"x": {Passed: 2}, "y": {Failed: 2}, "z": {Warned: 1}}, "b": {"x": {Passed: 1}}}, []string{"a/y"}},
		"one more warns":     {Results{"a": {"x": {Passed: 2}, "y": {Warned: 1}, "z": {Warned: 2}}, "b": {"x": {Passed: 1}}}, []string{"a/y", "a/z"}},
		"a new one fails":    {Results{"a": direct["a"], "b": {"x": {Passed: 1}, "w": {Failed: 1}}}, []string{"b/w"}},
		"a new one warns":    {Results{"a": direct["a"], "b": {"x": {Passed: 1}, "w": {Warned: 1}}}, []string{"b/w"}},
		"one comes further":  {Results{"a": {"x": {Passed: 2}, "y": {Passed: 1}, "w": {Failed: 1}, "z": {Warned: 1}}, "b": {"x": {Passed: 1}}}, nil},
		"a scenario is gone": {Results{"a": direct["a"]}, []string{"b/x"}},
		"all are gone":       {nil, []string{"a/x", "b/x"}},
	} {
		var lost []string
		for _, l := range Compare(direct, c.through) {
			lost = append(lost, l.Scenario+"/"+l.Check)
		}
		if diff := cmp.Diff(c.lost, lost); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestExcusesAreForScenariosOrSingleChecks(t *testing.T) {
	excuses := parseExcuses("# why not\n\na: everything of it: all\nb / y: only that\none, c / x: here\ntwo, c / a: there\n")
	losses := []Loss{{Scenario: "a", Check: "x"}, {Scenario: "b", Check: "x"}, {Scenario: "b", Check: "y"}, {Scenario: "c", Check: "a"}, {Scenario: "c", Check: "x"}}
	real, used := excuses.Excuse("one", losses)
	if diff := cmp.Diff([]Loss{losses[1], losses[3]}, real); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b / y", "one, c / x"}, used); diff != "" {
		t.Error(diff)
	}
	if excuses["a"] != "everything of it: all" {
		t.Errorf("the reason is %q", excuses["a"])
	}
}

// TestTheDocumentNamesWhatIsExcused holds docs/conformance.md and the lists together, both ways.
func TestTheDocumentNamesWhatIsExcused(t *testing.T) {
	data, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	for head, excuses := range map[string]Excuses{"| scenario | why |": Renamed(), "| scenario / check | why |": Optional()} {
		_, table, ok := strings.Cut(string(data), head+"\n|---|---|\n")
		if !ok {
			t.Fatalf("docs/conformance.md has no table %q", head)
		}
		documented := Excuses{}
		for line := range strings.Lines(table) {
			cells := strings.Split(strings.TrimSpace(line), "|")
			if len(cells) != 4 {
				break
			}
			documented[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
		for what, reason := range excuses {
			if reason == "" {
				t.Errorf("%s has no reason", what)
			}
		}
		if diff := cmp.Diff(excuses, documented); diff != "" {
			t.Errorf("the list and the table %q differ: %s", head, diff)
		}
	}
}

// TestTheRelayPassesEverythingAndAddsTheKey looks at it from both ends.
func TestTheRelayPassesEverythingAndAddsTheKey(t *testing.T) {
	seen := make(chan *http.Request, 1)
	next := make(chan struct{})
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Clone(r.Context())
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	defer node.Close()
	relay, err := NewRelay("secret", 1, node.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, relay.URL+"/mcp/x?a=b", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	request.Header.Set("Origin", "http://evil.example")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := <-seen
	if got.Host != "evil.example" || got.Header.Get("Origin") != "http://evil.example" || got.RequestURI != "/mcp/x?a=b" ||
		got.Header.Get("Authorization") != "Bearer secret" || got.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("the node got %s %s %v", got.Host, got.RequestURI, got.Header)
	}
	lines := bufio.NewScanner(response.Body)
	for _, want := range []string{"data: 1", "", "data: 2", ""} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the stream says %q, not %q: %v", lines.Text(), want, lines.Err())
		}
		if want == "" {
			next <- struct{}{} // Only now the node says more: nothing was held back.
		}
	}
}

func TestTheRelaySpreadsRequestsAsTheSeedSays(t *testing.T) {
	spread := func(seed uint64) []int {
		node := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		defer node.Close()
		relay, err := NewRelay("secret", seed, node.URL, node.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		for range 40 {
			response, err := http.Get(relay.URL)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
		return relay.Served()
	}
	a, b := spread(1), spread(1)
	if !cmp.Equal(a, b) || a[0] == 0 || a[1] == 0 || a[0]+a[1] != 40 {
		t.Errorf("40 requests were spread as %v, and again as %v", a, b)
	}
}
