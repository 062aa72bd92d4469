package roster_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/relay"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

const (
	requestBytes = "warder_node_relay_request_bytes"
	overBudget   = "warder_node_relay_over_budget_total"
)

// TestWhatNodesHoldOfRequestsOfOthersIsBoundedTogether has a node whose room is for some large requests of other nodes, and
// for fewer of each of them.
func TestWhatNodesHoldOfRequestsOfOthersIsBoundedTogether(t *testing.T) {
	const large = 300 << 10
	ca, held := newAuthority(t), newLatch()
	one := startNode(t, ca, "one", func(c *relay.Config) { c.Bodies = 4 * large })
	two, again, three, four := startNode(t, ca, "two"), startNode(t, ca, "two"), startNode(t, ca, "three"), startNode(t, ca, "four")
	server, nodes := serverOf("laptop", "files", mcp.Version20260728), []*node{one, two, again, three, four}
	retain(nodes, server)
	attach(t, ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), one, mcpServer(t, held.tool), "files")
	here(t, one, "laptop[files]")
	locate([]*node{one, two, three, four})
	locate([]*node{one, again})

	arguments := `{"text":"` + strings.Repeat("x", large) + `"}`
	refused := 0.0
	wantRefusal := func(n *node) {
		t.Helper()
		_, failure := ask(t, n, call(t, server, mcp.Modern, arguments))
		if want := `server "files" cannot be reached: agent "laptop" is not connected, or takes no calls at the moment`; failure != want {
			t.Errorf("a call without room for it ends with %q", failure)
		}
		if refused++; one.metric(overBudget) != refused {
			t.Errorf("%v calls were refused, and %v are counted", refused, one.metric(overBudget))
		}
	}
	running := []<-chan string{held.beginWith(t, two, server, arguments)}
	wantRefusal(two)
	wantRefusal(again) // The room is that of a node, whichever of its lines it takes.
	for _, n := range []*node{three, four} {
		running = append(running, held.beginWith(t, n, server, arguments)) // One node cannot take what others have.
	}
	if bytes := one.metric(requestBytes); bytes < 3*large || bytes > 4*large {
		t.Errorf("%v bytes are held", bytes)
	}
	hail := func(bytes int) error {
		response, err := three.relay.Do(t.Context(), "one", &tunnel.Request{Errand: "hail", Body: make([]byte, bytes)})
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	if err := hail(large); !errors.Is(err, tunnel.ErrRefused) {
		t.Errorf("an errand without room for it: %v", err)
	}
	if refused++; one.metric(overBudget) != refused {
		t.Error("an errand that found no room is not counted")
	}
	if err := hail(1); err != nil {
		t.Errorf("a small errand: %v", err)
	}
	running = append(running, held.begin(t, two, server), held.beginWith(t, one, server, arguments)) // Its own calls need no such room.
	held.open()
	for _, ended := range running {
		wantAnswer(t, ended)
	}
	eventually(t, "all is given back", func() bool { return one.metric(requestBytes) == 0 })
	if body, failure := ask(t, two, call(t, server, mcp.Modern, arguments)); failure != "" || len(body) < large {
		t.Errorf("a call for which there is room again: %q", failure)
	}
}
