package roster_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// churn is an agent with tunnels to two nodes, of which the oldest is cut again and again, and clients of three nodes.
type churn struct {
	t            *testing.T
	nodes        []*node
	secure       *tls.Config
	served       []atomic.Uint32 // by call: how often the agent got it
	cuts         int
	good, failed atomic.Int64
}

var callNumber = regexp.MustCompile(`call-([0-9]+)-`)

func (c *churn) note(arguments string) {
	found := callNumber.FindStringSubmatch(arguments)
	if found == nil {
		c.t.Errorf("the agent got %s", arguments)
		return
	}
	n, _ := strconv.Atoi(found[1]) // Digits alone.
	if c.served[n].Add(1) > 1 {
		c.t.Errorf("call %d was sent twice", n)
	}
}

// cut opens a tunnel and cuts the oldest, every so often until ctx ends.
func (c *churn) cut(ctx context.Context, every time.Duration) {
	var open []*attachment
	for i := 0; ctx.Err() == nil; i++ {
		open = append(open, attach(c.t, c.secure, c.nodes[i%2], direct{c.note}, "files"))
		locate(c.nodes)
		if len(open) > 2 {
			open[0].kill()
			open = open[1:]
			locate(c.nodes)
			c.cuts++
		}
		pause := time.NewTimer(every)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	for _, a := range open {
		a.kill()
	}
}

// call makes call number n at one of the nodes.
func (c *churn) call(n int, server *snapshotv1.Server) {
	nonce := fmt.Sprintf("call-%d-", n)
	body, failure := ask(c.t, c.nodes[n%len(c.nodes)], call(c.t, server, mcp.Modern, `{"nonce":"`+nonce+`"}`))
	switch {
	case strings.Contains(failure, `agent "laptop"`):
		c.failed.Add(1)
	case failure != "":
		c.t.Errorf("call %d failed with %q", n, failure)
	case !strings.Contains(body, nonce):
		c.t.Errorf("call %d got %s", n, body)
	case c.served[n].Load() != 1:
		c.t.Errorf("call %d was answered, and served %d times", n, c.served[n].Load())
	default:
		c.good.Add(1)
	}
}

// TestAnswersOverManyTunnelsAndRelaysAreNeverAnothers holds T-22 over tunnels that come and go, at three nodes: no answer is another's, nothing
// is sent twice, and nothing is left in the end. WARDER_TUNNEL_CALLS makes it long; then tunnels are cut every two seconds.
func TestAnswersOverManyTunnelsAndRelaysAreNeverAnothers(t *testing.T) {
	calls, every := 3000, time.Duration(0)
	if long, err := strconv.Atoi(os.Getenv("WARDER_TUNNEL_CALLS")); err == nil {
		calls, every = long, 2*time.Second
	}
	before := runtime.NumGoroutine()
	t.Run("calls", func(t *testing.T) { manyCalls(t, calls, every) })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// mostCalls bounds how often more calls are made than were asked for, where too few are answered: on a busy machine tunnels are
// cut faster than calls get through.
const mostCalls = 20

func manyCalls(t *testing.T, calls int, every time.Duration) {
	ca := newAuthority(t)
	c := &churn{t: t, secure: ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), served: make([]atomic.Uint32, mostCalls*calls)}
	for _, name := range []string{"one", "two", "three"} {
		c.nodes = append(c.nodes, startNode(t, ca, name))
	}
	server := serverOf("laptop", "files", mcp.Version20260728)
	retain(c.nodes, server)
	ctx, stop := context.WithCancel(t.Context())
	var cutting, clients sync.WaitGroup
	cutting.Go(func() { c.cut(ctx, every) })
	eventually(t, "the agent is attached", func() bool { return len(c.nodes[0].roster.Attached().GetAgents()) > 0 })
	var next atomic.Int64
	enough := int64(calls) / 2 // that are answered
	for range 16 {
		clients.Go(func() {
			for n := int(next.Add(1) - 1); n < calls || n < len(c.served) && c.good.Load() < enough; n = int(next.Add(1) - 1) {
				c.call(n, server)
			}
		})
	}
	clients.Wait()
	stop()
	cutting.Wait()
	t.Logf("%d calls answered, %d failed, %d tunnels cut", c.good.Load(), c.failed.Load(), c.cuts)
	if c.good.Load() < enough || c.cuts < 3 {
		t.Error("this holds vacuously")
	}
	for _, n := range c.nodes {
		for _, gauge := range []string{"warder_node_agents", "warder_node_tunnels", "warder_node_tunnel_streams"} {
			eventually(t, n.name+" has nothing left in "+gauge, func() bool { return n.metric(gauge) == 0 })
		}
		if n.relay.Serving() != 0 {
			t.Errorf("%s still serves", n.name)
		}
	}
}
