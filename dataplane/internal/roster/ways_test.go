package roster_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// lanes are two tunnels of one agent, whose calls are held until their tunnel is let.
type lanes struct {
	began chan int // which tunnel a call came by
	let   [2]chan struct{}
}

func newLanes() *lanes {
	l := &lanes{began: make(chan int, 16)}
	for i := range l.let {
		l.let[i] = make(chan struct{}, 16)
	}
	return l
}

// open lets all calls end, also those to come.
func (l *lanes) open() {
	for _, let := range l.let {
		close(let)
	}
}

// tool is that of one of the tunnels.
func (l *lanes) tool(i int) tool {
	return func(w http.ResponseWriter, r *http.Request, id, arguments string) {
		l.began <- i
		select {
		case <-l.let[i]:
			echo(w, r, id, arguments)
		case <-r.Context().Done():
		}
	}
}

// begin makes calls one after another, each when the one before has come to the agent, and counts by which tunnel they came.
func (l *lanes) begin(t *testing.T, n *node, server *snapshotv1.Server, calls int, ending *sync.WaitGroup) (came [2]int) {
	t.Helper()
	for range calls {
		c := call(t, server, mcp.Modern, "{}")
		ending.Go(func() {
			if answer, err := n.pool.Do(context.Background(), c, nil); err != nil || answer.Error != "" {
				t.Errorf("a call ended with %+v, %v", answer, err)
			}
		})
		select {
		case i := <-l.began:
			came[i]++
		case <-time.After(patience):
			t.Fatal("a call did not come to the agent")
		}
	}
	return came
}

// Of an agent's tunnels that are here, and of the nodes that have one, each call takes the one that has the least to do.
func TestCallsTakeTheLeastBusyTunnel(t *testing.T) {
	for name, at := range map[string][2]int{"at this node": {0, 0}, "at two others": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			nodes := []*node{startNode(t, ca, "one"), startNode(t, ca, "two"), startNode(t, ca, "three")}
			server := serverOf("laptop", "files", mcp.Version20260728)
			// A server beside it that one tunnel alone has shows when the node has heard of that tunnel.
			retain(nodes, server, serverOf("laptop", "a", mcp.Version20260728), serverOf("laptop", "b", mcp.Version20260728))
			l := newLanes()
			secure := ca.identity(identity.Agent, "laptop").Client(identity.Node, "")
			first := attach(t, secure, nodes[at[0]], mcpServer(t, l.tool(0)), "files")
			here(t, nodes[at[0]], "laptop[files]")
			attach(t, secure, nodes[at[1]], mcpServer(t, l.tool(1)), "files", "a")
			here(t, nodes[at[1]], "laptop[a files]")
			// The first says something after the other has come: one that was silent since then is taken for lost.
			if err := first.Announce([]*tunnelv1.ServerState{{Name: "files", Ready: true}, {Name: "b", Ready: true}}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the first is heard again", func() bool {
				return slices.Contains(nodes[at[0]].roster.Attached().GetAgents()[0].GetReady(), "b")
			})
			locate(nodes)
			var ending sync.WaitGroup
			defer ending.Wait()
			defer l.open()
			if came := l.begin(t, nodes[0], server, 6, &ending); came != [2]int{3, 3} {
				t.Errorf("of six calls the tunnels got %v", came)
			}
			// The first is done with its calls, and gets the next ones.
			for range 3 {
				l.let[0] <- struct{}{}
			}
			eventually(t, "the ends of three calls", func() bool { return len(l.let[0]) == 0 })
			eventually(t, "the next calls take the tunnel that is free", func() bool {
				came := l.begin(t, nodes[0], server, 1, &ending)
				return came[0] == 1
			})
		})
	}
}
