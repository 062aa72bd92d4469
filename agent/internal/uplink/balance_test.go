package uplink

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/tunnel"
)

func TestANodeThatDrainsIsLeftForAnotherThatHadNoTunnel(t *testing.T) {
	for name, drain := range map[string]func(*site, string){
		"it says so": func(s *site, node string) { s.nodes[node].Tunnel.Drain() },
		"the orders say so": func(s *site, node string) {
			orders := proto.CloneOf(s.control.Orders)
			for _, n := range orders.GetNodes() {
				n.Draining = n.GetName() == node
			}
			s.control.Change(func() { s.control.Orders = orders })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "a", "b", "c")
			s.order("a", "b", "c")
			s.run()
			before := s.until("two tunnels", func(v View) bool { return len(v.in(Ready)) == 2 }).in(Ready)
			s.reaches(before[0])
			drain(s, before[0])
			after := s.until("another tunnel", func(v View) bool {
				return len(v.in(Ready)) == 2 && v.link(before[0]).State != Ready
			}).in(Ready)
			if slices.Contains(after, before[0]) || !slices.Contains(after, before[1]) {
				t.Errorf("tunnels were to %v, and %s drains; now they are to %v", before, before[0], after)
			}
			for _, node := range after {
				s.reaches(node)
			}
			s.nodes[before[0]].Until("the end of its tunnel", func() bool { return s.nodes[before[0]].Tunnel == nil })
		})
	}
}

func TestACallInFlightFailsAtOnceWhenItsNodeDiesAndTheNextTakesAnotherTunnel(t *testing.T) {
	s := newSite(t, "a", "b")
	s.order("a", "b")
	s.run()
	s.reaches("a")
	s.reaches("b")
	failed := make(chan error, 1)
	go func() {
		_, err := s.nodes["a"].Call("slow")
		failed <- err
	}()
	<-s.stand.began
	began := time.Now()
	s.nodes["a"].Kill()
	var lost *tunnel.Error
	if err := <-failed; !errors.As(err, &lost) || !lost.Sent {
		t.Errorf("the call ended with %v; want one that says that the server may have got it", err)
	}
	s.reaches("b")
	view := s.until("the loss", func(v View) bool { return len(v.in(Ready)) == 1 && v.link("a").Calls == 0 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("that took %v", took)
	}
	if l := view.link("a"); (l.State != Lost && l.State != Dialling) || l.Why == "" {
		t.Errorf("the link is shown as %+v", l)
	}
	select {
	case <-s.stand.left:
	case <-time.After(5 * time.Second):
		t.Error("the server goes on with a call that nobody waits for")
	}
}

func TestANodeOfTheRegionThatJoinsTakesThePlaceOfOneBeyondIt(t *testing.T) {
	s := newSite(t, "far", "farther", "home")
	s.every = 100 * time.Millisecond
	beyond := func(regions map[string]string, nodes ...string) {
		s.order(nodes...)
		orders := proto.CloneOf(s.control.Orders)
		for _, n := range orders.GetNodes() {
			n.Region = regions[n.GetName()]
		}
		s.control.Change(func() { s.control.Orders = orders })
	}
	regions := map[string]string{"far": "us", "farther": "ap", "home": "eu"}
	beyond(regions, "far", "farther")
	s.run()
	s.until("two tunnels", func(v View) bool { return len(v.in(Ready)) == 2 })
	beyond(regions, "far", "farther", "home")
	s.reaches("home")
	// The node knows of its tunnel before the agent counts it as one, so that two others may be all that is ready until then.
	s.until("its tunnel and another, and none to the third", func(v View) bool {
		ready := v.in(Ready)
		return len(ready) == 2 && slices.Contains(ready, "home") && len(v.in(Idle)) == 1
	})
}

// road is a TCP proxy in front of a node. What goes to the node arrives late, in order.
type road struct {
	address string
	late    atomic.Int64 // nanoseconds
	ends    sync.WaitGroup
}

// newRoad returns one that takes no time yet.
func newRoad(t *testing.T, to string) *road {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{address: listener.Addr().String()}
	var open sync.Map
	r.ends.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			node, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			open.Store(from, node)
			r.ends.Go(func() { r.carry(node, from) })
			r.ends.Go(func() { defer from.Close(); _, _ = io.Copy(from, node) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		open.Range(func(from, node any) bool { from.(net.Conn).Close(); node.(net.Conn).Close(); return true })
		r.ends.Wait()
	})
	return r
}

// carry brings what comes from one end to the other. When a hundred pieces are under way the next ones wait.
func (r *road) carry(to, from net.Conn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 100)
	r.ends.Go(func() {
		defer to.Close()
		for p := range pieces {
			<-time.After(time.Until(p.due))
			_, _ = to.Write(p.data) // What cannot be written any more is lost, as the connection is.
		}
	})
	defer close(pieces)
	for buffer := make([]byte, 32<<10); ; {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		pieces <- piece{time.Now().Add(time.Duration(r.late.Load())), slices.Clone(buffer[:n])}
	}
}

// TestANodeThatSlowsIsLeftForAnother has the round trip of one of two tunnels become slow. A ping measures that, and two looks at the
// choice in a row believe it: after 90 seconds at most with the times of an agent, of which these here are a three-hundredth.
func TestANodeThatSlowsIsLeftForAnother(t *testing.T) {
	s := newSite(t, "a", "b", "c")
	s.every, s.pings = period/300, 10*time.Second/300
	s.order("a", "b", "c")
	orders, roads := proto.CloneOf(s.control.Orders), map[string]*road{}
	for _, n := range orders.GetNodes() {
		roads[n.GetName()] = newRoad(t, n.GetAddress())
		n.Address = roads[n.GetName()].address
	}
	s.control.Change(func() { s.control.Orders = orders })
	s.run()
	slows := s.until("two tunnels, and a measure of the third", func(v View) bool {
		return len(v.in(Ready)) == 2 && len(v.in(Idle)) == 1 && v.link(v.in(Idle)[0]).RoundTrip != 0
	}).in(Ready)[0]
	s.reaches(slows)
	roads[slows].late.Store(int64(200 * time.Millisecond))
	began := time.Now()
	if got, err := s.nodes[slows].Call("files"); got != "files got hello" || err != nil {
		t.Errorf("by the node that is slow the server answered %q, %v", got, err)
	}
	after := s.until("tunnels to the two others", func(v View) bool {
		return len(v.in(Ready)) == 2 && v.link(slows).State != Ready
	}).in(Ready)
	t.Logf("%s was left %v after it slowed", slows, time.Since(began))
	for _, node := range after {
		s.reaches(node)
	}
	s.nodes[slows].Until("the end of its tunnel", func() bool { return s.nodes[slows].Tunnel == nil })
	if l := s.uplink.View().link(slows); l.State != Idle {
		t.Errorf("its link is %+v", l)
	}
}

// TestATunnelThatEndsLeavesItsSuccessorAlone has a node come back again and again. Its latest tunnel serves, and hears of changes, whatever
// is left of the earlier ones (security.md 6.2).
func TestATunnelThatEndsLeavesItsSuccessorAlone(t *testing.T) {
	s := newSite(t, "a")
	s.order("a")
	s.run()
	node := s.nodes["a"]
	for range 4 {
		s.reaches("a")
		var last *tunnel.Tunnel
		node.Change(func() { last = node.Tunnel })
		node.Kill()
		node.Start(node.Address)
		node.Until("a tunnel after that one", func() bool { return node.Tunnel != nil && node.Tunnel != last && node.States["files"] })
		s.stand.set("files", false)
		node.Until("the crash", func() bool { return !node.States["files"] })
		s.stand.set("files", true)
	}
	s.reaches("a")
	var view View
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) { // The node knows of a tunnel before the agent counts it.
		if view = s.uplink.View(); len(view.Links) == 1 && view.Links[0].State == Ready {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the links are %+v", view.Links)
		}
	}
}
