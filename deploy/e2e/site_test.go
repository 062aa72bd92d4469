package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/porttest"
)

// countingServer makes this test's own binary a stdio server that counts the calls of a session. It
// names a file for the numbers of its processes.
const countingServer = "WARDER_E2E_COUNTING"

// serveCounting serves over stdio until its input ends. It is of the legacy era, in which a
// session has state: who has a session of his own counts from one.
func serveCounting(file string) int {
	processes, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(processes, os.Getpid())
	}
	calls := 0
	for in := json.NewDecoder(os.Stdin); err == nil; {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if err = in.Decode(&m); err != nil || m.ID == nil {
			continue
		}
		result := `"error":{"code":-32601,"message":"no such method"}`
		switch m.Method {
		case "initialize":
			result = `"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"counter","version":"1.0.0"}}`
		case "ping":
			result = `"result":{}`
		case "tools/list":
			result = `"result":{"tools":[{"name":"count","description":"Counts its calls","inputSchema":{"type":"object"}}]}`
		case "tools/call":
			calls++
			result = fmt.Sprintf(`"result":{"content":[{"type":"text","text":"%d"}]}`, calls)
		}
		_, err = fmt.Printf(`{"jsonrpc":"2.0","id":%s,%s}`+"\n", m.ID, result)
	}
	if !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// site is what a company runs: a control plane with its database, three nodes behind a plain
// balancer, and two agents with servers over stdio.
//
//	clients ─▶ balancer ┬▶ edge-1 ┬── north: files, memory
//	                    ├▶ edge-2 ┤
//	                    └▶ edge-3 ┴── south: everything, counter
//
// Agents hold tunnels to two nodes each, so some calls go over a relay. It is a dozen processes
// and more, on few cores: tests of it run beside no other of this package.
type site struct {
	*apart
	balancer *balancer
	nodes    []*part // by their turn at the balancer
	agents   map[string]*part
	files    string // the directory that "files" may read
	key      string
}

// part is a process of the site that can be killed and started again as it was.
type part struct {
	name string
	mcp  string // of a node: host:port for clients
	args []string
	*process
}

// sited are the servers, by the agent that has them.
var sited = map[string][]string{"north": {"files", "memory"}, "south": {"everything", "counter"}}

func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{apart: &apart{durable: true, nodeFlags: []string{"--tunnel-listen", porttest.Free(t)}}, agents: map[string]*part{}}
	s.apart.begin(t)
	s.nodes = []*part{{name: "edge-1", mcp: s.listen, args: s.node.cmd.Args[1:], process: s.node}}
	for _, name := range []string{"edge-2", "edge-3"} {
		listen := porttest.Free(t)
		n := &part{name: name, mcp: listen, args: []string{"dataplane", "--data-dir", filepath.Join(s.root, name),
			"--join-token-file", s.joinToken(t, name), "--control-plane", s.nodeListen, "--listen", listen, "--tunnel-listen", porttest.Free(t)}}
		s.nodes = append(s.nodes, n)
		s.restart(t, n)
	}
	s.balancer = startBalancer(t, s.nodes[0].mcp, s.nodes[1].mcp, s.nodes[2].mcp)
	s.mcp = "http://" + s.balancer.listener.Addr().String() + "/mcp"

	s.files = filepath.Join(s.root, "files")
	if err := os.MkdirAll(s.files, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.files, "note.txt"), []byte("a note"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name := range sited {
		s.startAgent(t, name)
	}
	s.addServers(t)
	admin(t, s.dataDir, "user", "create", "ana", "--role", "owner")
	s.key = admin(t, s.dataDir, "key", "create", "--user", "ana", "--application", "site")["key"].(string)
	s.whole(t, within)
	return s
}

// restart starts a part, anew or again.
func (s *site) restart(t *testing.T, m *part) {
	t.Helper()
	m.process = start(t, s.root, nil, binary, m.args...)
}

func (s *site) startAgent(t *testing.T, name string) {
	t.Helper()
	file := filepath.Join(s.root, name+".yaml")
	if err := os.WriteFile(file, []byte("allow:\n  - command: node\n    args: [\"...\"]\n    environment: [MEMORY_FILE_PATH]\n"+
		"  - command: "+strconv.Quote(os.Args[0])+"\n    environment: ["+countingServer+", "+askingServer+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(s.root, "join-token-"+name)
	made := admin(t, s.dataDir, "join-token", "create", "--kind", "agent", "--name", name)
	if err := os.WriteFile(token, []byte(made["token"].(string)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.agents[name] = &part{name: name, args: []string{"agent", "run", "--data-dir", filepath.Join(s.root, name),
		"--config", file, "--control-plane", s.nodeListen, "--join-token-file", token}}
	s.restart(t, s.agents[name])
	eventually(t, name+" has joined", func() bool {
		list, _ := admin(t, s.dataDir, "agent", "list")["agents"].([]any)
		return slices.ContainsFunc(list, func(a any) bool { return a.(object)["name"] == name && a.(object)["connected"] == true })
	})
}

// addServers assigns the servers and approves all that they offer.
func (s *site) addServers(t *testing.T) {
	t.Helper()
	modules := filepath.Join(repo, "deploy/e2e/fixtures/node_modules/@modelcontextprotocol")
	add := func(name, agent string, args ...string) {
		t.Helper()
		admin(t, s.dataDir, append([]string{"server", "add", name, "--agent", agent, "--approve"}, args...)...)
	}
	add("files", "north", "--", "node", filepath.Join(modules, "server-filesystem/dist/index.js"), s.files)
	add("memory", "north", "--env", "MEMORY_FILE_PATH="+filepath.Join(s.root, "memory.json"), "--shared", "--", "node", filepath.Join(modules, "server-memory/dist/index.js"))
	add("everything", "south", "--", "node", filepath.Join(modules, "server-everything/dist/index.js"), "stdio")
	admin(t, s.dataDir, addCounter("south", filepath.Join(s.root, "counters"))...)
}

// sample is one call of each server, and what its answer has.
var sample = []struct{ server, tool, arguments, has string }{
	{"files", "list_allowed_directories", `{}`, "files"},
	{"memory", "read_graph", `{}`, "entities"},
	{"everything", "echo", `{"message":"hello"}`, "hello"},
	{"counter", "count", `{}`, ""},
}

// whole waits until every node serves a call of each server.
func (s *site) whole(t *testing.T, limit time.Duration) {
	t.Helper()
	last := ""
	deadline := time.Now().Add(limit)
	for !s.serves(&last) {
		if time.Now().After(deadline) {
			t.Fatalf("the site is not whole within %v: %s", limit, last)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *site) serves(last *string) bool {
	for _, n := range s.nodes {
		for _, c := range sample {
			a := (&caller{url: "http://" + n.mcp + "/mcp", key: s.key}).call(c.server, c.tool, c.arguments)
			if !strings.Contains(a.text, `"result"`) || !strings.Contains(a.text, c.has) {
				*last = fmt.Sprintf("%s on %s: %v %s", c.server, n.name, a.err, a.text)
				return false
			}
		}
	}
	return true
}

// killDatabase kills PostgreSQL with all of its processes.
func (s *site) killDatabase(t *testing.T) {
	t.Helper()
	var pid int
	err := filepath.WalkDir(filepath.Join(s.root, "database"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "postmaster.pid" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err = strconv.Atoi(strings.TrimSpace(line))
		return err
	})
	if err != nil || pid == 0 {
		t.Fatalf("find PostgreSQL: pid %d, %v", pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.database.Done()
}

// TestEveryToolIsReachedThroughEveryNode has clients of both eras list and call at each node,
// whether the agent's tunnel ends there or at another.
func TestEveryToolIsReachedThroughEveryNode(t *testing.T) {
	s := startSite(t)
	var want []string
	for _, n := range s.nodes {
		for _, version := range []string{"2025-06-18", "2025-11-25", "2026-07-28"} {
			cs, err := connectSDK(t.Context(), gateway{mcp: "http://" + n.mcp + "/mcp"}, s.key, version)
			if err != nil {
				t.Fatalf("%s at %s: %v", n.name, version, err)
			}
			list, err := cs.ListTools(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var tools []string
			for _, tool := range list.Tools {
				tools = append(tools, tool.Name)
			}
			slices.Sort(tools)
			if want == nil {
				want = tools
			}
			if len(tools) < 30 || !slices.Equal(tools, want) {
				t.Errorf("%s shows a client of %s %d tools, not the %d of the first:\n%v", n.name, version, len(tools), len(want), tools)
			}
			for _, c := range sample {
				var arguments map[string]any
				if err := json.Unmarshal([]byte(c.arguments), &arguments); err != nil {
					t.Fatal(err)
				}
				result, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: c.server + "__" + c.tool, Arguments: arguments})
				if err != nil || result.IsError {
					t.Errorf("%s at %s of %s: %v %v", c.server, n.name, version, err, result)
				}
			}
			if err := cs.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	attached := 0.0
	for _, n := range s.nodes {
		attached += gauge(t, "http://"+n.mcp, "warder_node_agents")
	}
	if attached < 1 || attached >= float64(len(s.nodes)*len(s.agents)) {
		t.Errorf("%v tunnels of %d agents to %d nodes: no call went over a relay", attached, len(s.agents), len(s.nodes))
	}
}

// TestASessionHasItsStateOnEveryNode calls a server that keeps a process for each session, in
// one session by turns at all nodes, and in another one beside it.
func TestASessionHasItsStateOnEveryNode(t *testing.T) {
	s := startSite(t)
	one := openVersion(t, "http://"+s.nodes[0].mcp+"/mcp", s.key, "2025-11-25", `{}`)
	other := openVersion(t, "http://"+s.nodes[1].mcp+"/mcp", s.key, "2025-11-25", `{}`)
	for i := range 9 {
		n := s.nodes[i%3]
		for session, want := range map[string]string{one: strconv.Itoa(2*i + 1), other: strconv.Itoa(i + 1)} {
			c := &caller{url: "http://" + n.mcp + "/mcp", key: s.key, session: session}
			if a := c.call("counter", "count", `{}`); !strings.Contains(a.text, `"text":"`+want+`"`) {
				t.Fatalf("call %d at %s: %v %s; want %s", i, n.name, a.err, a.text, want)
			}
		}
		c := &caller{url: s.mcp, key: s.key, session: one} // At whichever node.
		if a := c.call("counter", "count", `{}`); !strings.Contains(a.text, `"text":"`+strconv.Itoa(2*i+2)+`"`) {
			t.Fatalf("call %d through the balancer: %v %s", i, a.err, a.text)
		}
	}

	// What is new to a session, or was lost, begins anew and has one state again.
	s.agents["south"].kill()
	s.restart(t, s.agents["south"])
	s.whole(t, within)
	s.countsOnce(t, one)
	s.countsOnce(t, other)
	late := openVersion(t, "http://"+s.nodes[2].mcp+"/mcp", s.key, "2025-11-25", `{}`)
	admin(t, s.dataDir, "server", "remove", "counter")
	admin(t, s.dataDir, addCounter("south", filepath.Join(s.root, "counters"))...)
	s.whole(t, within)
	s.countsOnce(t, late)
}

// countsOnce calls the counter from one session at all nodes at once, and has it count from one.
func (s *site) countsOnce(t *testing.T, session string) {
	t.Helper()
	const calls = 12
	answers := make(chan *placed, calls)
	for i := range calls {
		c := &caller{url: "http://" + s.nodes[i%len(s.nodes)].mcp + "/mcp", key: s.key, session: session}
		go func() { answers <- c.call("counter", "count", `{}`) }()
	}
	var texts []string
	for range calls {
		a := <-answers
		if a.err != nil {
			t.Error(a.err)
		}
		texts = append(texts, a.text)
	}
	all := strings.Join(texts, " ")
	for want := 1; want <= calls; want++ {
		if n := strings.Count(all, `"text":"`+strconv.Itoa(want)+`"`); n != 1 {
			t.Fatalf("the counter said %d %d times: %s", want, n, all)
		}
	}
}
