package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/porttest"
)

// TestARegionThatIsTypedDecidesWhereAnAgentsTunnelsGo types join tokens as an administrator does, and starts what they are for: two
// nodes of a region beside one of none, and an agent of each. By lot alone the agents would have other nodes.
func TestARegionThatIsTypedDecidesWhereAnAgentsTunnelsGo(t *testing.T) {
	t.Parallel()
	a := startApart(t, "--tunnel-listen", porttest.Free(t))
	token := func(kind, name string, region ...string) string {
		t.Helper()
		r := command(t, a.dataDir, "", append([]string{"join-token", "create", "--kind", kind, "--name", name}, region...)...)
		if r.code != 0 || !strings.Contains(r.stderr, "It lets the "+kind+" "+name+" in, once") {
			t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		file := filepath.Join(a.root, "token-of-"+name)
		if err := os.WriteFile(file, []byte(r.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, name := range []string{"edge-2", "edge-3"} {
		start(t, a.root, nil, binary, "dataplane", "--data-dir", filepath.Join(a.root, name), "--join-token-file", token("node", name, "--region", "eu"),
			"--control-plane", a.nodeListen, "--listen", porttest.Free(t), "--tunnel-listen", porttest.Free(t))
	}
	regions := map[string]string{"edge-1": "", "edge-2": "eu", "edge-3": "eu"}
	eventually(t, "the nodes are connected, with their regions", func() bool {
		found := a.peers(t, "node", "nodes")
		for name, region := range regions {
			at, _ := found[name]["region"].(string)
			if found[name]["connected"] != true || at != region {
				return false
			}
		}
		return len(found) == len(regions)
	})
	file := filepath.Join(a.root, "agent.yaml")
	if err := os.WriteFile(file, []byte("allow_any: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, region := range map[string][]string{"south": {"--region", "eu"}, "laptop": nil} {
		start(t, a.root, nil, binary, "agent", "run", "--data-dir", filepath.Join(a.root, name), "--config", file,
			"--control-plane", a.nodeListen, "--join-token-file", token("agent", name, region...))
	}
	// An agent whose first orders lack a node that has just come, or that cannot dial one at once, begins with another; it mends that when
	// it looks again, which may be after the node's probation.
	eventuallyIn(t, 3*time.Minute, "the agent of the region has its tunnels there, and that of no region one to the node of none", func() bool {
		agents := a.peers(t, "agent", "agents")
		south, laptop := tunnelsOf(agents["south"]), tunnelsOf(agents["laptop"])
		return slices.Equal(south, []string{"edge-2", "edge-3"}) && len(laptop) == 2 && laptop[0] == "edge-1"
	})
	for verb, want := range map[string]string{"node": "edge-2", "agent": "south", "join-token": "south"} {
		r := command(t, a.dataDir, "", verb, "list")
		if !slices.ContainsFunc(strings.Split(r.stdout, "\n"), func(line string) bool {
			words := strings.Fields(line)
			return slices.Contains(words, want) && slices.Contains(words, "eu")
		}) {
			t.Errorf("warder %s list does not show the region of %s:\n%s", verb, want, r.stdout)
		}
	}
	a.refusesTokens(t)
}

// peers returns what a list has, by name.
func (a *apart) peers(t *testing.T, verb, list string) map[string]object {
	t.Helper()
	found := make(map[string]object)
	all, _ := admin(t, a.dataDir, verb, "list")[list].([]any)
	for _, one := range all {
		found[one.(object)["name"].(string)] = one.(object)
	}
	return found
}

// tunnelsOf returns the nodes that an agent reports tunnels to, sorted.
func tunnelsOf(agent object) (nodes []string) {
	tunnels, _ := agent["tunnels"].([]any)
	for _, one := range tunnels {
		nodes = append(nodes, one.(object)["node"].(string))
	}
	slices.Sort(nodes)
	return nodes
}

// refusesTokens types what is wrong. Each time it is said what, where, and what to do, and no token is made.
func (a *apart) refusesTokens(t *testing.T) {
	t.Helper()
	list := func() int {
		t.Helper()
		tokens, _ := admin(t, a.dataDir, "join-token", "list")["joinTokens"].([]any)
		return len(tokens)
	}
	before := list()
	for typed, want := range map[string][]string{
		"--kind node --name edge-9 --region EU_West":                    {"region:", "at most 63 characters of a-z, 0-9 and -"},
		"--kind node --name edge-9 --region " + strings.Repeat("e", 64): {"region:", "at most 63 characters of a-z, 0-9 and -"},
		"--kind nodes --name edge-9 --region eu":                        {"--kind", `"nodes"`, "node or agent"},
		"--kind controlplane --name edge-9":                             {"--kind", "node or agent"},
		"--kind node --name Edge_9":                                     {"name:", "a-z"},
		"--name edge-9 --region eu":                                     {"kind", "required"},
		"--kind agent --region eu":                                      {"name", "required"},
		"--kind node --name edge-9 --region eu --life 16m":              {"life:", "at most 15m"},
	} {
		r := command(t, a.dataDir, "", append([]string{"join-token", "create"}, strings.Fields(typed)...)...)
		if r.code == 0 || r.stdout != "" {
			t.Errorf("join-token create %s: exit %d\n%s", typed, r.code, r.stdout)
		}
		for _, w := range want {
			if !strings.Contains(r.stderr, w) {
				t.Errorf("join-token create %s does not say %q:\n%s", typed, w, r.stderr)
			}
		}
	}
	if after := list(); before == 0 || after != before {
		t.Errorf("there were %d join tokens, and are %d", before, after)
	}
}
