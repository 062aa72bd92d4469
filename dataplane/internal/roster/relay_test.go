package roster_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/relay"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	heldLines   = "warder_node_relay_lines"
	servedLines = "warder_node_relay_served_lines"
)

// latch is a tool whose calls are held until it is let, and counted.
type latch struct {
	began chan struct{}
	let   chan struct{}
	open  func()
	calls atomic.Int64
}

func newLatch() *latch {
	l := &latch{began: make(chan struct{}, 8), let: make(chan struct{})}
	l.open = sync.OnceFunc(func() { close(l.let) })
	return l
}

func (l *latch) tool(w http.ResponseWriter, r *http.Request, id, arguments string) {
	l.calls.Add(1)
	l.began <- struct{}{}
	select {
	case <-l.let:
		echo(w, r, id, arguments)
	case <-r.Context().Done():
	}
}

// begin makes a call at a node that is held at the server, and returns how it ends.
func (l *latch) begin(t *testing.T, n *node, server *snapshotv1.Server) (failures <-chan string) {
	t.Helper()
	return l.beginWith(t, n, server, "{}")
}

func (l *latch) beginWith(t *testing.T, n *node, server *snapshotv1.Server, arguments string) (failures <-chan string) {
	t.Helper()
	t.Cleanup(l.open)
	ended := make(chan string, 1)
	go func() {
		_, failure := ask(t, n, call(t, server, mcp.Modern, arguments))
		ended <- failure
	}()
	select {
	case <-l.began:
	case <-time.After(patience):
		t.Fatal("the call did not begin")
	}
	return ended
}

// wantAnswer waits for a call that was begun, which has to be answered.
func wantAnswer(t *testing.T, ended <-chan string) {
	t.Helper()
	select {
	case failure := <-ended:
		if failure != "" {
			t.Errorf("a call that ran failed with %q", failure)
		}
	case <-time.After(patience):
		t.Error("a call that ran never ended")
	}
}

func TestALineThatIsIdleIsClosedAndAnotherMade(t *testing.T) {
	ca := newAuthority(t)
	one := startNode(t, ca, "one")
	two := startNode(t, ca, "two", func(c *relay.Config) { c.Idle = 40 * time.Millisecond })
	nodes := []*node{one, two}
	server := serverOf("laptop", "files", mcp.Version20260728)
	retain(nodes, server)
	held := newLatch()
	attach(t, ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), one, mcpServer(t, held.tool), "files")
	here(t, one, "laptop[files]")
	locate(nodes)
	if two.metric(heldLines) != 0 {
		t.Error("there is a line before anything was asked")
	}
	// One that has something to do is not idle, however long that takes.
	ended := held.begin(t, two, server)
	for quiet := time.Now().Add(4 * 40 * time.Millisecond); time.Now().Before(quiet); time.Sleep(time.Millisecond) {
		if two.metric(heldLines) != 1 || one.metric(servedLines) != 1 {
			t.Fatal("the line of a call that runs is closed")
		}
	}
	held.open()
	wantAnswer(t, ended)
	for range 2 {
		eventually(t, "both ends let go of it", func() bool { return two.metric(heldLines) == 0 && one.metric(servedLines) == 0 })
		wantEcho(t, two, server, mcp.Modern)
	}
}

func TestANodeThatLeavesRefusesCallsAndFinishesWhatRuns(t *testing.T) {
	held := newLatch()
	nodes, server, ca, _ := cluster(t, mcp.Version20260728, held.tool, "one", "two", "three")
	one, two, three := nodes[0], nodes[1], nodes[2]
	ended := held.begin(t, two, server)
	one.relay.Leave()
	if _, failure := ask(t, two, call(t, server, mcp.Modern, "{}")); failure != `server "files" cannot be reached: agent "laptop" is not connected, or takes no calls at the moment` {
		t.Errorf("a call by a node that leaves: %q", failure)
	}
	attach(t, ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), three, mcpServer(t, echo), "files")
	here(t, three, "laptop[files]")
	locate(nodes)
	for range 5 {
		wantEcho(t, two, server, mcp.Modern)
	}
	hail := func() error {
		response, err := two.relay.Do(t.Context(), "one", &tunnel.Request{Errand: "hail"})
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	if err := hail(); err != nil {
		t.Errorf("an errand, for which a call may wait: %v", err)
	}
	if got := one.relay.Serving(); got != 1 || held.calls.Load() != 1 {
		t.Errorf("%d calls run, and %d came", got, held.calls.Load())
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		one.relay.Drain(t.Context())
	}()
	eventually(t, "errands are refused, too", func() bool { return hail() != nil })
	select {
	case <-drained:
		t.Error("it is drained while a call runs")
	default:
	}
	held.open()
	wantAnswer(t, ended)
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("nobody lets go of a node that drains")
	}
	if one.relay.Serving() != 0 || one.metric(servedLines) != 0 {
		t.Error("a line is left")
	}
	one.relay.Drain(t.Context()) // Once more does nothing.
	wantEcho(t, two, server, mcp.Modern)
}

func TestALineToANodeThatIsNoLongerNamedFinishesWhatRuns(t *testing.T) {
	held := newLatch()
	nodes, server, _, _ := cluster(t, mcp.Version20260728, held.tool, "one", "two")
	two := nodes[1]
	ended := held.begin(t, two, server)
	two.relay.Locate(nil) // As when that node has lost the control plane.
	two.roster.Locate(new(syncv1.Locations))
	if _, failure := ask(t, two, call(t, server, mcp.Modern, "{}")); failure == "" {
		t.Error("a node is asked that is not known")
	}
	held.open()
	wantAnswer(t, ended)
	eventually(t, "the line ends then", func() bool { return two.metric(heldLines) == 0 })
}

func TestCloseEndsLinesThatAreRetired(t *testing.T) {
	held := newLatch()
	nodes, server, _, _ := cluster(t, mcp.Version20260728, held.tool, "one", "two")
	ended := held.begin(t, nodes[1], server)
	nodes[1].relay.Locate(nil)
	nodes[1].relay.Close()
	if failure := <-ended; failure == "" {
		t.Error("a call that was cut off has an answer")
	}
}

func TestANodeThatDrainsSaysOnlyWhichAgentsNeedIt(t *testing.T) {
	nodes, server, ca, laptop := cluster(t, mcp.Version20260728, echo, "one", "two")
	mail := serverOf("desk", "mail", mcp.Version20260728)
	retain(nodes, server, mail)
	desk := attach(t, ca.identity(identity.Agent, "desk").Client(identity.Node, ""), nodes[0], mcpServer(t, echo), "mail")
	here(t, nodes[0], "desk[mail] laptop[files]")
	nodes[0].roster.Drain()
	for _, agent := range []*attachment{laptop, desk} {
		select {
		case <-agent.PeerDrains():
		case <-time.After(patience):
			t.Fatal("an agent is not told")
		}
	}
	here(t, nodes[0], "desk[mail] laptop[files]")
	attach(t, ca.identity(identity.Agent, "laptop").Client(identity.Node, ""), nodes[1], mcpServer(t, echo), "files")
	here(t, nodes[1], "laptop[files]")
	locate(nodes)
	here(t, nodes[0], "desk[mail]")
	if nodes[0].roster.Moved() {
		t.Error("one needs it, and it says that all have moved")
	}
	// The other node drains as well, and says so: neither takes back that it is not needed.
	locate(nodes[:1])
	here(t, nodes[0], "desk[mail]")
	wantEcho(t, nodes[0], server, mcp.Modern) // Its own clients have the tunnel as long as it is there.
	desk.Drain()
	eventually(t, "the agent gives up its tunnel", nodes[0].roster.Moved)
	here(t, nodes[0], "")
}

// noting tells what a request came with.
type noting struct{ came chan *tunnel.Incoming }

func (n noting) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	if deadline, ok := ctx.Deadline(); ok {
		in.Header = append(in.Header, tunnel.Field{Name: "deadline", Value: deadline.Format(time.RFC3339Nano)})
	}
	n.came <- in
	w.Reply(202, nil, nil)
}

func TestDeadlineAndHeaderGoThroughARelay(t *testing.T) {
	nodes, server, ca, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	mail := serverOf("desk", "mail", mcp.Version20260728)
	retain(nodes, server, mail)
	came := noting{make(chan *tunnel.Incoming, 1)}
	attach(t, ca.identity(identity.Agent, "desk").Client(identity.Node, ""), nodes[0], came, "mail")
	here(t, nodes[0], "desk[mail] laptop[files]")
	locate(nodes)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	deadline, _ := ctx.Deadline()
	response, err := nodes[1].relay.Do(ctx, "one", &tunnel.Request{Agent: "desk", Server: "mail", Method: "POST", Header: []tunnel.Field{{Name: "X-Tenant", Value: "é "}}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	in := <-came.came
	if len(in.Header) != 2 || in.Header[0] != (tunnel.Field{Name: "X-Tenant", Value: "é "}) {
		t.Fatalf("header %q", in.Header)
	}
	if got, err := time.Parse(time.RFC3339Nano, in.Header[1].Value); err != nil || got.Sub(deadline).Abs() > time.Second {
		t.Errorf("the deadline is %v, want %v", got, deadline)
	}
	// Of a call of a client the header has the trace.
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c := call(t, mail, mcp.Modern, "{}")
	c.TraceParent = trace
	ask(t, nodes[1], c)
	in = <-came.came
	var got string
	for _, f := range in.Header {
		if f.Name == "Traceparent" {
			got = f.Value
		}
	}
	if got != trace {
		t.Errorf("trace %q in %q", got, in.Header)
	}
}
