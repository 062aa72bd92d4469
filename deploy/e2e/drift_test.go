package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/porttest"
)

// shiftyAddress is the variable that makes this program an MCP server, and names
// where it listens.
const shiftyAddress = "WARDER_E2E_SHIFTY"

// serveShifty is an MCP server of the official Go SDK, with sessions, in a process of
// its own. POST /define gives one of its tools another description, of which it tells
// its clients; GET /calls?tool= is how often that was called.
func serveShifty(address string) int {
	server := mcp.NewServer(&mcp.Implementation{Name: "shifty", Version: "1.0.0"}, nil)
	var mu sync.Mutex
	calls := map[string]int{}
	offer := func(name, description string) {
		mcp.AddTool(server, &mcp.Tool{Name: name, Description: description},
			func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
				mu.Lock()
				defer mu.Unlock()
				calls[name]++
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil, nil
			})
	}
	for _, tool := range strings.Split(os.Getenv(shiftyAddress+"_TOOLS"), ",") {
		name, description, _ := strings.Cut(tool, "=")
		offer(name, description)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	mux.HandleFunc("POST /define", func(w http.ResponseWriter, r *http.Request) {
		offer(r.URL.Query().Get("tool"), r.URL.Query().Get("description"))
	})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprint(w, calls[r.URL.Query().Get("tool")])
	})
	err := http.ListenAndServe(address, mux)
	if !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

// shifty is such a process.
type shifty struct {
	address string
	process *process
}

func (s *shifty) start(t *testing.T, tools string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.process = start(t, t.TempDir(), []string{shiftyAddress + "=" + s.address, shiftyAddress + "_TOOLS=" + tools}, program)
	eventually(t, "the server listens", func() bool { return answers("http://" + s.address + "/calls") })
}

func (s *shifty) define(t *testing.T, tool, description string) {
	t.Helper()
	response, err := http.Post("http://"+s.address+"/define?tool="+tool+"&description="+description, "", nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	response.Body.Close()
}

func (s *shifty) called(t *testing.T, tool string) int {
	t.Helper()
	response, err := http.Get("http://" + s.address + "/calls?tool=" + tool)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// drifting is a gateway of two nodes with a server that changes, and a client at each
// node that listens.
type drifting struct {
	*apart
	server  *shifty
	clients []*mcp.ClientSession
}

func startDrifting(t *testing.T, flags ...string) *drifting {
	t.Helper()
	d := &drifting{apart: startApartWith(t, flags, nil), server: &shifty{address: porttest.Free(t)}}
	d.server.start(t, "read=old,list=old")
	admin(t, d.dataDir, "server", "add", "shifty", "--url", "http://"+d.server.address+"/mcp", "--private", "--approve")
	admin(t, d.dataDir, "user", "create", "ana", "--role", "owner")
	w := world{gateway: d.gateway}
	key := w.key(t, "drift")
	for _, g := range []gateway{d.gateway, d.secondNode(t)} {
		n := world{gateway: g}
		n.settled(t, key)
		client, err := connectSDK(t.Context(), g, key, "2025-11-25")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		d.clients = append(d.clients, client)
	}
	for n := range d.clients {
		d.wants(t, "approved", n, "read", "done")
	}
	return d
}

func (d *drifting) call(t *testing.T, node int, tool string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return callSDK(ctx, d.clients[node], call{"shifty__" + tool, object{}})
}

// wants holds what a call of a tool at a node gives: a text, or the beginning of an
// error, and that what is refused does not reach the server.
func (d *drifting) wants(t *testing.T, when string, node int, tool, want string) {
	t.Helper()
	before := d.server.called(t, tool)
	got := d.call(t, node, tool)
	reached := d.server.called(t, tool) - before
	if served := want == "done"; got.text != want && !strings.HasPrefix(got.err, want) || (reached == 1) != served {
		t.Errorf("%s, node %d: %s gives %+v and reached the server %d times, want %q", when, node+1, tool, got, reached, want)
	}
}

// blocked waits until no node has a tool any more, and returns how long that took.
func (d *drifting) blocked(t *testing.T, tool string, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for node := range d.clients {
		eventuallyIn(t, limit-time.Since(start), fmt.Sprintf("node %d has no %s", node+1, tool), func() bool {
			return strings.HasPrefix(d.call(t, node, tool).err, "-32602 Unknown tool")
		})
	}
	took := time.Since(start)
	for node := range d.clients {
		d.wants(t, "changed", node, tool, "-32602 Unknown tool")
	}
	return took
}

// alerts returns "kind count" of each that is open.
func (d *drifting) alerts(t *testing.T) (all []string) {
	t.Helper()
	for _, alert := range admin(t, d.dataDir, "alert", "list")["alerts"].([]any) {
		all = append(all, fmt.Sprint(alert.(object)["kind"], " ", alert.(object)["count"]))
	}
	return all
}

// TestDriftIsFoundAtDiscovery replaces the server's process by another version, as a
// deployment does, and asks for a discovery.
func TestDriftIsFoundAtDiscovery(t *testing.T) {
	t.Parallel()
	d := startDrifting(t, "--discover-every", "1h")
	d.server.process.stop()
	d.server.start(t, "read=new,list=old")
	changed := admin(t, d.dataDir, "server", "refresh", "shifty")["discovery"].(object)["changed"]
	if fmt.Sprint(changed) != "[shifty/read]" {
		t.Errorf("changed: %v", changed)
	}
	d.blocked(t, "read", time.Second)
	for node := range d.clients {
		d.wants(t, "beside the changed one", node, "list", "done")
	}
	if got := fmt.Sprint(d.alerts(t)); got != "[definition-changed 1]" {
		t.Errorf("alerts %s", got)
	}
}

// TestDriftIsFoundOnASchedule replaces it likewise, and nobody says so.
func TestDriftIsFoundOnASchedule(t *testing.T) {
	t.Parallel()
	d := startDrifting(t, "--discover-every", "1s")
	d.server.process.stop()
	d.server.start(t, "read=new,list=old")
	t.Logf("blocked on both nodes after %v", d.blocked(t, "read", 10*time.Second))
	if got := fmt.Sprint(d.alerts(t)); !strings.HasPrefix(got, "[definition-changed 1") {
		t.Errorf("alerts %s", got)
	}
}

// TestDriftIsFoundOnListChanged lets the process change what it offers while it
// runs, and flap. Nobody asks for a discovery.
func TestDriftIsFoundOnListChanged(t *testing.T) {
	t.Parallel()
	d := startDrifting(t, "--discover-every", "1h")
	d.server.define(t, "read", "new")
	t.Logf("blocked on both nodes %v after the server changed", d.blocked(t, "read", time.Second))
	for _, description := range []string{"old", "new", "newer", "old"} {
		d.server.define(t, "read", description)
		eventually(t, "the control plane has seen "+description, func() bool {
			shown := admin(t, d.dataDir, "tool", "show", "shifty/read")["tool"].(object)
			var definition struct{ Description string }
			if err := json.Unmarshal([]byte(shown["definition"].(string)), &definition); err != nil {
				t.Fatal(err)
			}
			return definition.Description == description
		})
	}
	// It is as it was approved, and stays blocked until a person looks (T-03b, T-03c).
	for node := range d.clients {
		d.wants(t, "flapping", node, "read", "-32602 Unknown tool")
	}
	if got := fmt.Sprint(d.alerts(t)); got != "[server-flapping 5]" {
		t.Errorf("alerts %s", got)
	}
}

// TestT04_ANodeHoldsWhatChangedWithoutItsControlPlane: the node sees for itself, and
// serves what is not concerned.
func TestT04_ANodeHoldsWhatChangedWithoutItsControlPlane(t *testing.T) {
	t.Parallel()
	d := startDrifting(t, "--discover-every", "1h")
	d.control.kill()
	d.server.define(t, "read", "new")
	for node := range d.clients {
		eventuallyIn(t, time.Second, "the node refuses it", func() bool { return d.call(t, node, "read").text == "" })
		d.wants(t, "changed", node, "read", "1403 Denied by policy: the server changed this since it was approved")
		d.wants(t, "beside the changed one", node, "list", "done")
	}
	d.server.define(t, "read", "old")
	for node := range d.clients {
		eventuallyIn(t, 5*time.Second, "the node serves it again", func() bool { return d.call(t, node, "read").text == "done" })
	}
	d.node.kill() // Else they wait with their audit for a control plane when they end.
	d.second.kill()
}
