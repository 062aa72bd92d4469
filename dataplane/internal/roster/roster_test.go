package roster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

var eras = []struct {
	era     mcp.Era
	version string
}{{mcp.Legacy, mcp.Version20251125}, {mcp.Modern, mcp.Version20260728}}

// cluster starts nodes, of which the first has a tunnel of the agent laptop with the server files.
func cluster(t testing.TB, version string, serve tool, names ...string) (nodes []*node, server *snapshotv1.Server, ca *authority, agent *attachment) {
	t.Helper()
	ca = newAuthority(t)
	for _, name := range names {
		nodes = append(nodes, startNode(t, ca, name))
	}
	server = serverOf("laptop", "files", version)
	retain(nodes, server)
	agent = attach(t, ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), nodes[0], mcpServer(t, serve), "files")
	here(t, nodes[0], "laptop[files]")
	locate(nodes)
	return nodes, server, ca, agent
}

func TestACallIsServedByTheTunnelHereOrOneHopAway(t *testing.T) {
	for _, server := range eras {
		for _, client := range eras {
			nodes, item, _, _ := cluster(t, server.version, echo, "one", "two")
			for _, n := range nodes {
				wantEcho(t, n, item, client.era)
			}
		}
	}
}

func TestAnAgentThatIsNowhereIsNamed(t *testing.T) {
	nodes, server, _, agent := cluster(t, mcp.Version20260728, echo, "one", "two")
	agent.kill()
	here(t, nodes[0], "")
	locate(nodes)
	for _, n := range nodes {
		if _, away := n.roster.Away([]*snapshotv1.Server{server})["files"]; !away {
			t.Errorf("%s does not know that the server is away", n.name)
		}
		for range 10 { // More than a breaker lets through.
			if _, failure := ask(t, n, call(t, server, mcp.Modern, "{}")); failure != `server "files" cannot be reached: agent "laptop" is not connected` {
				t.Fatalf("at %s: %q", n.name, failure)
			}
		}
	}
}

func TestALostTunnelFailsWhatIsUnderWayOnceAndTheNextCallTakesAnother(t *testing.T) {
	began, hold := make(chan struct{}, 4), make(chan struct{})
	var calls atomic.Int64
	nodes, server, ca, agent := cluster(t, mcp.Version20260728, func(w http.ResponseWriter, r *http.Request, id, arguments string) {
		if calls.Add(1) <= 2 {
			began <- struct{}{}
			select {
			case <-hold:
			case <-r.Context().Done():
			}
			return
		}
		echo(w, r, id, arguments)
	}, "one", "two")
	defer close(hold)
	failures := make(chan string, 2)
	for _, n := range nodes {
		go func() {
			_, failure := ask(t, n, call(t, server, mcp.Modern, "{}"))
			failures <- failure
		}()
	}
	<-began
	<-began
	agent.kill()
	for range nodes {
		if failure := <-failures; !strings.Contains(failure, `agent "laptop"`) || strings.Contains(failure, "not connected") {
			t.Errorf("a call under way ended with %q", failure)
		}
	}
	attach(t, ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), nodes[1], mcpServer(t, echo), "files")
	here(t, nodes[1], "laptop[files]")
	locate(nodes)
	for _, n := range nodes {
		wantEcho(t, n, server, mcp.Modern)
	}
	if got := calls.Load(); got != 2 {
		t.Errorf("the first server got %d calls, want 2: nothing is sent again", got)
	}
}

func TestTheEndOfATunnelDoesNotTakeOutItsSuccessor(t *testing.T) {
	nodes, server, ca, first := cluster(t, mcp.Version20260728, echo, "one")
	secure := ca.identity(identity.Agent, "laptop").Client(identity.Node, "")
	for range 20 {
		second := attach(t, secure, nodes[0], mcpServer(t, echo), "files")
		first.kill()
		<-first.ended
		eventually(t, "the successor serves", func() bool {
			_, failure := ask(t, nodes[0], call(t, server, mcp.Modern, "{}"))
			return failure == ""
		})
		first = second
	}
	here(t, nodes[0], "laptop[files]")
	wantEcho(t, nodes[0], server, mcp.Modern)
}

func TestARefusedRelayLooksElsewhereOnce(t *testing.T) {
	var calls atomic.Int64
	nodes, server, _, _ := cluster(t, mcp.Version20260728, func(w http.ResponseWriter, r *http.Request, id, arguments string) {
		calls.Add(1)
		echo(w, r, id, arguments)
	}, "one", "two", "three")
	// Node three believes that two has the agent, which is at one.
	locations := &syncv1.Locations{Agents: []*syncv1.AgentLocation{{Name: "laptop", Nodes: []string{"two", "one"}, Ready: []string{"files"}}}}
	for _, n := range nodes {
		locations.Nodes = append(locations.Nodes, &syncv1.NodeLocation{Name: n.name, TunnelAddress: n.address})
	}
	nodes[2].relay.Locate(locations.GetNodes())
	nodes[2].roster.Locate(locations)
	for range 3 {
		wantEcho(t, nodes[2], server, mcp.Modern)
	}
	// The node that refused comes last for a while.
	if refused, answered := nodes[2].metric("warder_node_relayed_total", "refused"), nodes[2].metric("warder_node_relayed_total", "answered"); refused != 1 || answered != 3 {
		t.Errorf("%v requests were refused and %v answered, want 1 and 3", refused, answered)
	}
	if got := calls.Load(); got != 3 {
		t.Errorf("the server got %d calls, want each of 3 once", got)
	}
}

func TestARelayGoesNoFurther(t *testing.T) {
	nodes, server, _, agent := cluster(t, mcp.Version20260728, echo, "one", "two", "three")
	agent.kill()
	here(t, nodes[0], "")
	// Each believes that the agent is at the others.
	locate(nodes, &syncv1.AgentLocation{Name: "laptop", Nodes: []string{"one", "two", "three"}, Ready: []string{"files"}})
	for _, n := range nodes {
		_, failure := ask(t, n, call(t, server, mcp.Modern, "{}"))
		if failure != `server "files" cannot be reached: agent "laptop" is not connected, or takes no calls at the moment` {
			t.Errorf("at %s: %q", n.name, failure)
		}
	}
	// Who asks a node for what it has not is refused there; see relay.Local.
	_, err := nodes[0].relay.Do(t.Context(), "two", &tunnel.Request{Agent: "laptop", Server: "files", Method: "POST"})
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("relay to a node without the agent: %v", err)
	}
}

func TestEventsComeThroughARelayAsTheyAreSaid(t *testing.T) {
	heard := make(chan struct{})
	nodes, server, _, _ := cluster(t, mcp.Version20260728, func(w http.ResponseWriter, r *http.Request, id, arguments string) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n")
		w.(http.Flusher).Flush()
		select { // The answer comes when the first event was heard.
		case <-heard:
		case <-r.Context().Done():
			return
		}
		fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"resultType\":\"complete\",\"content\":[]}}\n\n", id)
	}, "one", "two")
	c := call(t, server, mcp.Modern, "{}")
	c.LogLevel = "debug"
	answer, err := nodes[1].pool.Do(t.Context(), c, hearing{said: func() { close(heard) }})
	if err != nil || answer.Error != "" {
		t.Fatalf("answer %+v, %v", answer, err)
	}
}

// hearing is a sink that takes notifications.
type hearing struct {
	upstream.Sink
	said func()
}

func (h hearing) Notification([]byte, upstream.Mark) error { h.said(); return nil }

func TestWhoGoesAwayIsHeardOfBehindARelay(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	nodes, server, _, _ := cluster(t, mcp.Version20260728, func(_ http.ResponseWriter, r *http.Request, _, _ string) {
		close(began)
		<-r.Context().Done()
		close(gone)
	}, "one", "two")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if _, err := nodes[1].pool.Do(ctx, call(t, server, mcp.Modern, "{}"), nil); err == nil {
		t.Error("a cancelled call came back with an answer")
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("the server was not told")
	}
}

func TestAStalledStreamLeavesOthersAlone(t *testing.T) {
	filler := strings.Repeat("x", 64<<10)
	nodes, server, _, _ := cluster(t, mcp.Version20260728, func(w http.ResponseWriter, r *http.Request, id, arguments string) {
		if !strings.Contains(arguments, "flood") {
			echo(w, r, id, arguments)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":%q}}\n\n", filler)
			w.(http.Flusher).Flush()
		}
	}, "one", "two")
	stalled, release := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	flood.Go(func() {
		var once sync.Once
		c := call(t, server, mcp.Modern, `{"flood":1}`)
		c.LogLevel = "debug"
		nodes[1].pool.Do(ctx, c, hearing{said: func() { once.Do(func() { close(stalled) }); <-release }})
	})
	<-stalled
	for range 200 {
		wantEcho(t, nodes[1], server, mcp.Modern)
	}
	cancel()
	close(release)
	flood.Wait()
}

func TestChangesAreToldAndCrashesWithdrawServers(t *testing.T) {
	nodes, server, _, agent := cluster(t, mcp.Version20260728, echo, "one")
	items := []*snapshotv1.Server{server}
	eventually(t, "nothing is away", func() bool { return len(nodes[0].roster.Away(items)) == 0 })
	for _, ready := range []bool{false, true} {
		for len(nodes[0].changed) > 0 {
			<-nodes[0].changed
		}
		since := time.Now()
		if err := agent.Announce([]*tunnelv1.ServerState{{Name: "files", Ready: ready}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the change is known", func() bool { return (len(nodes[0].roster.Away(items)) == 0) == ready })
		<-nodes[0].changed
		if took := time.Since(since); took > time.Second {
			t.Errorf("ready %v was told after %v", ready, took)
		}
		if _, failure := ask(t, nodes[0], call(t, server, mcp.Modern, "{}")); (failure == "") != ready {
			t.Errorf("with ready %v a call ends with %q", ready, failure)
		}
	}
}

// A node that starts may hear where agents are before it hears whom the snapshot denies: of an agent that joined anew long
// ago, its old certificates.
func TestWhereAnAgentIsThatJoinedAnewIsNotForgottenByANodeThatStarts(t *testing.T) {
	nodes, server, _, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	denied := identity.Denials{"laptop": {Before: time.Now().Add(-time.Minute)}}
	nodes[1].roster.Retain([]*snapshotv1.Server{server}, denied, nil)
	wantEcho(t, nodes[1], server, mcp.Modern)
}
