package uplink

import (
	"errors"
	"slices"
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
