package uplink

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/agent/internal/uplinktest"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// site is an agent and all that it speaks to.
type site struct {
	t *testing.T
	*uplinktest.Authority
	control *uplinktest.Peer
	nodes   map[string]*uplinktest.Peer
	who     *identity.Identity
	dir     string
	stand   *stand

	uplink *Uplink
	// every is how often the choice of nodes is looked at again, and pings how often tunnels are measured; 0: as ever.
	every    time.Duration
	pings    time.Duration
	stop     func()
	mu       sync.Mutex
	assigned []*enrollv1.AssignedServer
	applied  func()
	told     int // how often
}

func newSite(t *testing.T, nodes ...string) *site {
	a := uplinktest.NewAuthority(t)
	s := &site{t: t, Authority: a, nodes: map[string]*uplinktest.Peer{}, who: a.Issue(identity.Agent, "laptop"), dir: t.TempDir(), stand: newStand("files", "private", "slow")}
	s.control = a.Peer(identity.ControlPlane, "")
	for _, name := range nodes {
		s.nodes[name] = a.Peer(identity.Node, name)
	}
	return s
}

// order tells the agent of nodes.
func (s *site) order(nodes ...string) {
	orders := &enrollv1.Orders{
		Tunnels: 2, Allowed: []string{"files", "slow"},
		Servers: []*enrollv1.AssignedServer{{Name: "given", Command: []string{"x"}, Environment: map[string]string{"KEY": "s3cret"}}},
	}
	for _, name := range nodes {
		orders.Nodes = append(orders.Nodes, &enrollv1.NodeAddress{Name: name, Region: "eu", Address: s.nodes[name].Address})
	}
	s.control.Change(func() { s.control.Orders = orders })
}

// run starts the agent.
func (s *site) run() {
	s.uplink = New(Config{
		Identity: s.who, ControlPlane: s.control.Address, Dir: s.dir, Servers: s.stand, DrainTime: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})), Version: "test",
		Assigned: func(a []*enrollv1.AssignedServer, applied func()) {
			s.mu.Lock()
			s.assigned, s.applied = a, applied
			s.told++
			s.mu.Unlock()
		},
	})
	s.uplink.pings = s.pings
	s.uplink.pilot.every = cmp.Or(s.every, s.uplink.pilot.every)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.uplink.Run(ctx) })
	s.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(s.stop)
}

// reaches waits for a node to reach the server that the agent offers.
func (s *site) reaches(name string) {
	s.t.Helper()
	node := s.nodes[name]
	node.Until("a tunnel with the server", func() bool { return node.States["files"] })
	if got, err := node.Call("files"); got != "files got hello" || err != nil {
		s.t.Fatalf("by %s the server answered %q, %v", name, got, err)
	}
}

func TestServersAreReachedThroughBothNodesAndThroughOneThatIsLeft(t *testing.T) {
	s := newSite(t, "a", "b")
	s.order("a", "b")
	s.run()
	s.reaches("a")
	s.reaches("b")
	s.control.Until("a tunnel of its own", func() bool { return s.control.States["files"] })
	if got, err := s.control.Call("files"); got != "files got hello" || err != nil {
		t.Errorf("the control plane was answered %q, %v", got, err)
	}
	s.control.Until("a report of both tunnels", func() bool { return len(s.control.Report.GetTunnels()) == 2 })

	began := time.Now()
	s.nodes["a"].Kill()
	s.control.Until("a report of one tunnel", func() bool { return len(s.control.Report.GetTunnels()) == 1 })
	if took := time.Since(began); took > reportPause/2 {
		t.Errorf("a report of other tunnels, right after one, took %v", took)
	}
	if got, err := s.nodes["b"].Call("files"); got != "files got hello" || err != nil {
		t.Fatalf("after the other node died, b answered %q, %v", got, err)
	}
	began = time.Now()
	s.nodes["a"].Start(s.nodes["a"].Address)
	s.reaches("a")
	if took := time.Since(began); took > maxPause+time.Second {
		t.Errorf("a node that is back had no tunnel for %v", took)
	}
}

func TestALostTunnelIsReplacedAtOnceByOneToAnotherNode(t *testing.T) {
	s := newSite(t, "a", "b", "c")
	s.order("a", "b", "c")
	s.run()
	s.control.Until("two tunnels", func() bool { return len(s.control.Report.GetTunnels()) == 2 })
	tunnels := s.uplink.View().tunnels()
	has := map[string]bool{tunnels[0].GetNode(): true, tunnels[1].GetNode(): true}
	for name := range s.nodes {
		if !has[name] {
			began := time.Now()
			s.nodes[tunnels[0].GetNode()].Kill()
			s.reaches(name)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("that took %v", took)
			}
		}
	}
}

func TestWhatTheOrdersDoNotAllowIsNeitherAnnouncedNorServed(t *testing.T) {
	s := newSite(t, "a")
	s.order("a")
	s.run()
	s.reaches("a")
	node := s.nodes["a"]
	node.Until("the states", func() bool { return len(node.States) == 2 })
	if _, announced := node.States["private"]; announced {
		t.Error("a server that was not given is announced")
	}
	if _, err := node.Call("private"); !errors.Is(err, tunnel.ErrRefused) {
		t.Errorf("it answered: %v", err)
	}
}

func TestACrashIsWithdrawnFromAllTunnelsAtOnce(t *testing.T) {
	s := newSite(t, "a", "b")
	s.order("a", "b")
	s.run()
	s.reaches("a")
	s.reaches("b")
	began := time.Now()
	s.stand.set("files", false)
	for _, node := range s.nodes {
		node.Until("the crash", func() bool { return !node.States["files"] })
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("nodes heard of it after %v", took)
	}
}

func TestAnAgentStartsByItsLastOrdersWithoutTheControlPlane(t *testing.T) {
	s := newSite(t, "a", "b")
	s.order("a", "b")
	s.run()
	s.reaches("a")
	s.reaches("b")
	s.control.Kill()
	s.reaches("a") // Nothing changes while it is away.
	s.stop()
	for _, node := range s.nodes {
		node.Until("the end of its tunnel", func() bool { return node.Tunnel == nil })
	}
	s.assigned = nil
	s.run()
	s.reaches("a")
	s.reaches("b")
	s.mu.Lock()
	if len(s.assigned) != 1 || s.assigned[0].GetEnvironment()["KEY"] != "s3cret" {
		t.Errorf("assigned is %v", s.assigned)
	}
	s.mu.Unlock()
	if s.uplink.View().ControlPlane.Connected {
		t.Error("it is connected to a control plane that is not there")
	}
	info, err := os.Stat(filepath.Join(s.dir, ordersFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the orders: %v, %v", info.Mode(), err)
	}
	// It is back, with other orders.
	s.order("a")
	s.control.Start(s.control.Address)
	s.control.Until("a report", func() bool { return s.control.Tunnel != nil })
	if got, err := s.control.Call("files"); got != "files got hello" || err != nil {
		t.Errorf("the control plane was answered %q, %v", got, err)
	}
}

func TestOrdersThatAreBrokenOrAnothersAreNotTaken(t *testing.T) {
	mine := shelf{dir: t.TempDir(), agent: "laptop"}
	if orders, err := mine.get(); orders != nil || err != nil {
		t.Errorf("of an empty directory: %v, %v", orders, err)
	}
	if err := mine.put(&enrollv1.Orders{Allowed: []string{"files", "memory"}}); err != nil {
		t.Fatal(err)
	}
	if orders, err := mine.get(); len(orders.GetAllowed()) != 2 || err != nil {
		t.Errorf("read back: %v, %v", orders, err)
	}
	if orders, err := (shelf{dir: mine.dir, agent: "other"}).get(); orders != nil || err == nil {
		t.Errorf("another agent's: %v, %v", orders, err)
	}
	name := filepath.Join(mine.dir, ordersFile)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{0, 10, 32, 34, len(whole) - 1} {
		if err := os.WriteFile(name, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		if orders, err := mine.get(); orders != nil || err == nil {
			t.Errorf("%d bytes of it: %v, %v", length, orders, err)
		}
	}
	if err := errors.Join(os.WriteFile(name, whole, 0o600), os.Chmod(name, 0o644)); err != nil {
		t.Fatal(err)
	}
	if orders, err := mine.get(); orders != nil || err == nil {
		t.Errorf("readable by all: %v, %v", orders, err)
	}
}

func TestReportsComeAtMostOnceASecond(t *testing.T) {
	s := newSite(t, "a")
	s.order("a")
	s.run()
	s.reaches("a")
	stop := time.After(2500 * time.Millisecond)
	for i := 0; ; i++ {
		select {
		case <-stop:
			s.control.Change(func() {
				if n := len(s.control.Reports); n < 2 || n > 4 {
					t.Errorf("%d reports came while servers changed %d times", n, i)
				}
			})
			return
		case <-time.After(time.Millisecond):
			s.stand.set("files", i%2 == 0)
		}
	}
}

func TestCallsEndBeforeTheirTunnelDoes(t *testing.T) {
	for name, end := range map[string]func(*site){
		"the node drains": func(s *site) { s.nodes["a"].Tunnel.Drain() },
		"the orders say it drains": func(s *site) {
			orders := proto.CloneOf(s.control.Orders)
			orders.Nodes[0].Draining = true
			s.control.Change(func() { s.control.Orders = orders })
		},
		"the agent stops": func(s *site) { go s.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "a", "b")
			s.order("a", "b")
			s.run()
			s.reaches("a")
			s.reaches("b")
			type answer struct {
				text string
				err  error
			}
			answered := make(chan answer, 1)
			begun := s.nodes["a"].Tunnel
			go func() {
				text, err := s.nodes["a"].Call("slow")
				answered <- answer{text, err}
			}()
			<-s.stand.began
			end(s)
			if name != "the node drains" {
				select {
				case <-begun.PeerDrains():
				case <-time.After(10 * time.Second):
					t.Fatal("the node is not told")
				}
			}
			close(s.stand.hold)
			if a := <-answered; a.text != "slow" || a.err != nil {
				t.Errorf("the call ended with %q, %v", a.text, a.err)
			}
			s.nodes["a"].Until("the end of the tunnel", func() bool { return s.nodes["a"].Tunnel != begun })
		})
	}
}

func TestATunnelThatIsGivenUpTakesNoCallWithIt(t *testing.T) {
	s := newSite(t, "a", "b")
	s.order("a", "b")
	s.run()
	s.reaches("a")
	s.reaches("b")
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				_, err := s.nodes["a"].Call("files")
				if failure, ok := errors.AsType[*tunnel.Error](err); ok && failure.Sent {
					t.Errorf("a call was lost: %v", err)
				}
				if err != nil {
					return // It was refused; a node makes it another way.
				}
			}
		})
	}
	s.nodes["a"].Tunnel.Drain()
	callers.Wait()
}

// Behind a balancer of two replicas of the control plane, two connections would often have one each; and only the replica
// that has both streams can ask the servers what they offer.
func TestOrdersAndTheTunnelForQuestionsGoOverOneConnection(t *testing.T) {
	s := newSite(t)
	s.order()
	s.run()
	for range 2 {
		s.control.Until("both streams", func() bool { return s.control.Tunnel != nil && s.control.States["files"] })
		s.control.Until("one connection", func() bool { return s.control.From[0] != "" && s.control.From[0] == s.control.From[1] })
		before := s.control.From[0]
		s.control.Kill()
		s.control.Start(s.control.Address)
		s.control.Until("another connection", func() bool { return s.control.From[0] != before })
	}
}
