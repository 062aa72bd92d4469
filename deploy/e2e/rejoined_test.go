package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhoIsRevokedAndJoinsAnewServesAgain revokes all agents and nodes of a site, and lets them in again under their
// names at once. What nodes are told of their old certificates stays, and shuts none of the new ones out.
func TestWhoIsRevokedAndJoinsAnewServesAgain(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for name, agent := range s.agents {
		admin(t, s.dataDir, "agent", "revoke", name)
		agent.kill() // Or the old one might serve a little longer.
		s.startAgent(t, name)
	}
	s.whole(t, within)
	for _, n := range s.nodes {
		admin(t, s.dataDir, "node", "revoke", n.name)
		n.kill()
	}
	for _, n := range s.nodes {
		path := filepath.Join(s.root, "join-token-"+n.name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		s.joinToken(t, n.name)
		s.restart(t, n)
	}
	s.whole(t, within)
	if denied, _ := admin(t, s.dataDir, "deny", "list")["denials"].([]any); len(denied) != len(s.agents)+len(s.nodes) {
		t.Errorf("of %d that were revoked nodes are told %v", len(s.agents)+len(s.nodes), denied)
	}
}

// TestTheNameOfAnAgentThatWasRemovedIsFree removes an agent, and lets another in under its name at once.
func TestTheNameOfAnAgentThatWasRemovedIsFree(t *testing.T) {
	t.Parallel()
	a := startApart(t, "--tunnel-listen", "127.0.0.1:0")
	s := &site{apart: a, agents: map[string]*part{}}
	for range 3 {
		s.startAgent(t, "east")
		eventually(t, "it has a tunnel", func() bool { return s.tunnels(t, "east") == 1 })
		s.agents["east"].kill()
		admin(t, s.dataDir, "agent", "remove", "east")
	}
}

// tunnels is how many an agent says that it has.
func (s *site) tunnels(t *testing.T, agent string) int {
	t.Helper()
	list, _ := admin(t, s.dataDir, "agent", "list")["agents"].([]any)
	for _, a := range list {
		if a.(object)["name"] == agent {
			open, _ := a.(object)["tunnels"].([]any)
			return len(open)
		}
	}
	return 0
}
