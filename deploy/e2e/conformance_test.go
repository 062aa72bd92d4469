//go:build conformance

package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/deploy/conformance"
	"github.com/warder-gateway/warder/internal/porttest"
)

// specimen is a server that the suites find all in which they look for.
type specimen struct {
	slug   string
	direct string // its own URL
	trials []trial
}

// trial is a suite to run against a specimen.
type trial struct {
	suite *conformance.Suite
	// least is how many checks pass directly at least: with fewer, the comparison
	// would hold vacuously. It is what was measured when the versions of the suites
	// and of the SDK were chosen.
	least int
}

// startSpecimens starts the everything-server of the official Go SDK in both
// modes, and a server that keeps its events.
func startSpecimens(t *testing.T) []*specimen {
	t.Helper()
	stateful, stateless := startEverythingOfGo(t)
	suites := conformance.Suites
	return []*specimen{
		{"stateful", stateful, []trial{{&suites[0], 44}, {&suites[1], 82}, {&suites[2], 69}}},
		{"stateless", stateless, []trial{{&suites[0], 30}, {&suites[1], 64}, {&suites[2], 165}}},
		{"resumable", startResumable(t), []trial{{&conformance.Resumption, 3}}},
	}
}

// way is one way through Warder to a specimen.
type way struct {
	name  string
	nodes []string // base URLs
	// key is one that sees the specimen; path is where the suite speaks to.
	key, path string
	// renames says that names and URIs are others than the suite's.
	renames bool
}

// TestConformance runs the official suites against the specimens directly and
// through Warder, with one node and with requests spread over two, and fails if
// a check that passes directly does not pass through Warder.
func TestConformance(t *testing.T) {
	seed := spreadSeed(t)
	t.Logf("requests are spread over the nodes with WARDER_CONFORMANCE_SEED=%d", seed)
	node := suiteNode(t)
	all := startSpecimens(t)
	one, _ := startUp(t)
	two := startApart(t)
	second := two.startSecondNode(t)
	oneNode := []string{strings.TrimSuffix(one.mcp, "/mcp")}
	twoNodes := []string{strings.TrimSuffix(two.mcp, "/mcp"), second}

	rig := &conformanceRig{node: node, seed: seed, excused: map[string]bool{}}
	whole := 0
	for _, s := range all {
		ways := append(waysTo(t, one, "one node", oneNode, s), waysTo(t, two.gateway, "two nodes", twoNodes, s)...)
		whole += len(s.trials) * (1 + len(ways))
		for _, trial := range s.trials {
			t.Run(trial.suite.Name+"/"+s.slug, func(t *testing.T) { rig.compare(t, trial, s, ways) })
		}
	}
	rig.report(t, whole)
}

// spreadSeed is the same for each run, unless another one is given.
func spreadSeed(t *testing.T) uint64 {
	t.Helper()
	given := os.Getenv("WARDER_CONFORMANCE_SEED")
	if given == "" {
		return 20260728
	}
	seed, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		t.Fatalf("WARDER_CONFORMANCE_SEED: %v", err)
	}
	return seed
}

// suiteModules is where npm puts the suites.
func suiteModules() string { return filepath.Join(repo, "deploy/conformance/node_modules") }

// suiteNode finds the Node that npm fetched beside the suites: they need a newer
// one than the rest of the tests.
func suiteNode(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(suiteModules(), "node-*", "bin", "node"))
	if err != nil || len(found) != 1 {
		t.Fatalf("no Node for %s/%s beside the suites (%v, %v); 'make conformance' fetches it", runtime.GOOS, runtime.GOARCH, found, err)
	}
	return found[0]
}

// startEverythingOfGo builds the everything-server from the SDK that go.mod names,
// and starts it in each mode.
func startEverythingOfGo(t *testing.T) (stateful, stateless string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "everything-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/modelcontextprotocol/go-sdk/conformance/everything-server")
	build.Dir = repo
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the everything-server: %v\n%s", err, out)
	}
	serve := func(flag string) string {
		address := porttest.Free(t)
		start(t, dir, nil, program, "-http="+address, flag)
		eventually(t, "the everything-server listens", func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		return "http://" + address + "/"
	}
	return serve("-stateless=false"), serve("-stateless=true")
}

// startResumable serves the tool that the scenario of resumption calls: it closes
// the client's stream, and answers once the client had time to come back. Unlike
// that of the everything-server, its streams can be resumed.
func startResumable(t *testing.T) string {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "resumable", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "test_reconnection", Description: "Closes the stream and answers after that"},
		func(_ context.Context, request *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			request.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 50 * time.Millisecond})
			time.Sleep(200 * time.Millisecond) // What is tested is what comes after a while.
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "resumed"}}}, nil, nil
		})
	front := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)}))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front.URL + "/"
}

// startSecondNode starts another node of the same control plane and returns its
// base URL.
func (a *apart) startSecondNode(t *testing.T) string {
	t.Helper()
	listen := porttest.Free(t)
	p := start(t, a.root, nil, binary, "dataplane", "--data-dir", filepath.Join(a.root, "node-2"),
		"--join-token-file", a.joinToken(t, "edge-2"), "--control-plane", a.nodeListen, "--listen", listen)
	eventually(t, "the second node is ready", func() bool {
		if p.ended() {
			t.Fatalf("the second node ended:\n%s", p.output.String())
		}
		return answers("http://" + listen + "/readyz")
	})
	return "http://" + listen
}

// waysTo registers a specimen with a gateway and returns the ways to it: its own
// endpoint, and the aggregate of one who sees nothing else.
func waysTo(t *testing.T, g gateway, name string, nodes []string, s *specimen) []way {
	t.Helper()
	admin(t, g.dataDir, "server", "add", s.slug, "--url", s.direct, "--private")
	// One server in several modes: each is a copy of the one before, which is a finding.
	admin(t, g.dataDir, "server", "approve", s.slug, "--accept-findings", "--reason", "the same server in another mode")
	everything := s.slug + "/*"
	admin(t, g.dataDir, "role", "create", "only-"+s.slug, "--tools", everything, "--prompts", everything, "--resources", everything)
	keyOf := func(user, role string) string {
		admin(t, g.dataDir, "user", "create", user, "--role", role)
		return admin(t, g.dataDir, "key", "create", "--user", user, "--application", "conformance")["key"].(string)
	}
	ways := []way{
		{name + ", own endpoint", nodes, keyOf("owner-"+s.slug, "owner"), "/mcp/" + s.slug, false},
		{name + ", aggregate", nodes, keyOf("only-"+s.slug, "only-"+s.slug), "/mcp", true},
	}
	for _, w := range ways {
		for _, node := range nodes {
			awaitTools(t, gateway{mcp: node + w.path}, w.key)
		}
	}
	return ways
}

// awaitTools waits until a node lists tools to a key.
func awaitTools(t *testing.T, g gateway, key string) {
	t.Helper()
	var last error
	eventually(t, "tools are listed at "+g.mcp, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		cs, err := connectSDK(ctx, g, key, "2025-11-25")
		if err != nil {
			last = err
			return false
		}
		defer cs.Close()
		list, err := cs.ListTools(ctx, nil)
		last = err
		return err == nil && len(list.Tools) > 0
	})
	if last != nil {
		t.Fatal(last)
	}
}

// conformanceRig runs suites and keeps what came out.
type conformanceRig struct {
	node    string
	seed    uint64
	rows    [][]string
	excused map[string]bool // excuses that were needed
	runs    int
}

// compare runs a suite directly and in each way.
func (r *conformanceRig) compare(t *testing.T, trial trial, s *specimen, ways []way) {
	t.Helper()
	suite, least := trial.suite, trial.least
	direct := r.run(t, suite, s.direct)
	r.row(suite.Name, s.slug, "directly", direct, 0, 0)
	if passed := direct.Total().Passed; passed < least {
		t.Errorf("only %d checks pass directly, of %d that are known to", passed, least)
	}
	for _, w := range ways {
		through := r.through(t, suite, s, w)
		losses, used := conformance.Optional().Excuse(s.slug, conformance.Compare(direct, through))
		if w.renames {
			var more []string
			losses, more = conformance.Renamed().Excuse(s.slug, losses)
			used = append(used, more...)
		}
		for _, what := range used {
			r.excused[what] = true
		}
		for _, l := range losses {
			t.Errorf("%s: %s", w.name, l)
		}
		r.row(suite.Name, s.slug, w.name, through, len(used), len(losses))
	}
}

// through runs a suite in one way.
func (r *conformanceRig) through(t *testing.T, suite *conformance.Suite, s *specimen, w way) conformance.Results {
	t.Helper()
	relay, err := conformance.NewRelay(w.key, r.seed, w.nodes...)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	results := r.run(t, suite, relay.URL+w.path)
	if noise := relay.Noise(); noise != "" {
		t.Logf("%s: the relay says\n%s", w.name, noise)
	}
	if served := relay.Served(); slices.Min(served) == 0 {
		t.Errorf("%s: the nodes got %v requests", w.name, served)
	}
	return results
}

func (r *conformanceRig) run(t *testing.T, suite *conformance.Suite, url string) conformance.Results {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	results, err := suite.Run(ctx, r.node, suiteModules(), r.resultDir(t), url)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// resultDir is where the next run writes: into WARDER_CONFORMANCE_KEEP, to be
// looked at, or where it is removed.
func (r *conformanceRig) resultDir(t *testing.T) string {
	t.Helper()
	r.runs++
	keep := os.Getenv("WARDER_CONFORMANCE_KEEP")
	if keep == "" {
		return t.TempDir()
	}
	dir := filepath.Join(keep, fmt.Sprintf("run-%02d", r.runs))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *conformanceRig) row(suite, server, way string, results conformance.Results, excused, lost int) {
	total := results.Total()
	r.rows = append(r.rows, []string{suite, server, way, strconv.Itoa(len(results)), strconv.Itoa(total.Passed), strconv.Itoa(total.Failed),
		strconv.Itoa(total.Warned), strconv.Itoa(excused), strconv.Itoa(lost)})
}

// report prints the table. After a whole run of so many, what is excused must
// have been needed.
func (r *conformanceRig) report(t *testing.T, whole int) {
	t.Helper()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "suite\tserver\tway\tscenarios\tpassed\tfailed\twarned\texcused\tlost")
	for _, row := range r.rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	table.Flush()
	t.Logf("checks of the suites:\n%s", text.String())
	if r.runs < whole {
		return // some were left out by -run
	}
	for _, excuses := range []conformance.Excuses{conformance.Renamed(), conformance.Optional()} {
		for what := range excuses {
			if !r.excused[what] {
				t.Errorf("%s needs no excuse: take it off the list in deploy/conformance", what)
			}
		}
	}
}
