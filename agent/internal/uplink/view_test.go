package uplink

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// until waits for the view to be as it should.
func (s *site) until(what string, so func(View) bool) View {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		view := s.uplink.View()
		if so(view) {
			return view
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s never was; the view is %+v", what, view)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// in names the nodes that are in a state.
func (v View) in(state State) (names []string) {
	for _, l := range v.Links {
		if l.State == state {
			names = append(names, l.Node)
		}
	}
	return names
}

// link is the one to a node.
func (v View) link(node string) Link {
	for _, l := range v.Links {
		if l.Node == node {
			return l
		}
	}
	return Link{}
}

func TestAViewSaysHowTheAgentIsConnected(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // It takes connections, and never says a word.
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	s := newSite(t, "a")
	s.order("a")
	orders := proto.CloneOf(s.control.Orders)
	orders.Tunnels = 3
	orders.Nodes = append(orders.Nodes,
		&enrollv1.NodeAddress{Name: "deaf", Region: "eu", Address: deaf.Addr().String()},
		&enrollv1.NodeAddress{Name: "dead", Region: "us", Address: "127.0.0.1:1"})
	s.control.Change(func() { s.control.Orders = orders })
	s.run()
	var watching sync.WaitGroup
	defer watching.Wait()
	stop := make(chan struct{})
	defer close(stop)
	for range 2 {
		watching.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.uplink.View()
				}
			}
		})
	}
	s.reaches("a")
	go func() { _, _ = s.nodes["a"].Call("slow") }()
	<-s.stand.began
	view := s.until("all of it", func(v View) bool {
		return v.link("a").Calls == 1 && v.link("a").RoundTrip > 0 && v.link("deaf").State == Dialling && v.link("dead").State == Lost
	})
	if l := view.link("a"); l.State != Ready || l.Region != "eu" || l.Address != s.nodes["a"].Address || l.Streams != 1 || l.Since.IsZero() || l.Why != "" {
		t.Errorf("the one that is there is shown as %+v", l)
	}
	if l := view.link("dead"); l.Why == "" || l.RoundTrip != 0 {
		t.Errorf("the one that is not is shown as %+v", l)
	}
	if c := view.ControlPlane; !c.Connected || c.Address != s.control.Address || time.Since(c.Since) > time.Minute || c.Why != "" || view.Tunnels != 3 {
		t.Errorf("the control plane is shown as %+v, and %d tunnels", c, view.Tunnels)
	}
	s.nodes["a"].Tunnel.Drain()
	s.until("that it drains", func(v View) bool { l := v.link("a"); return l.State == Draining && l.Why == nodeDrains && l.Calls == 1 })
	close(s.stand.hold)
	s.control.Kill()
	away := s.until("the loss", func(v View) bool { return !v.ControlPlane.Connected }).ControlPlane
	if !away.Since.After(view.ControlPlane.Since) || away.Why == "" {
		t.Errorf("a control plane that went is shown as %+v", away)
	}
}

func TestAReasonIsOneLineThatMovesNoCursor(t *testing.T) {
	for _, c := range []struct{ given, want string }{
		{"one\nand \x1b[31mred\u202e", "one and  [31mred"},
		{string(slices.Repeat([]byte("ä"), 400)), string(slices.Repeat([]byte("ä"), maxWhy/2))},
	} {
		if got := plain(errors.New(c.given)); got != c.want {
			t.Errorf("%q is shown as %q", c.given, got)
		}
	}
}
