package uplink

import (
	"strings"
	"testing"
	"time"
)

// orders waits for the orders that come as that many, and returns what says that they are in force.
func (s *site) orders(told int) (applied func()) {
	s.t.Helper()
	s.until("orders", func(View) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		applied = s.applied
		return s.told == told
	})
	return applied
}

func TestOrdersAreReceiptedAtOnceWhenTheyAreInForceAndNotBefore(t *testing.T) {
	s := newSite(t, "a")
	s.order("a")
	s.run()
	s.reaches("a")
	first := s.orders(1)
	s.control.Change(func() {
		if len(s.control.Taken) != 0 {
			t.Errorf("before they are in force, %v were receipted", s.control.Taken)
		}
	})
	began := time.Now()
	first()
	s.control.Until("a receipt", func() bool { return len(s.control.Taken) > 0 && s.control.Taken[0] == 1 })
	if took := time.Since(began); took > reportPause/2 {
		t.Errorf("the receipt took %v", took)
	}
	s.control.Until("a report after it", func() bool { return len(s.control.Taken) >= 2 })

	s.order("a")
	second := s.orders(2)
	// Another stream counts from 1 anew. What was in force by the stream before says nothing on it.
	s.control.Kill()
	s.control.Change(func() { s.control.Taken = nil })
	s.until("the loss", func(v View) bool { return !v.ControlPlane.Connected && v.ControlPlane.Why != "" })
	s.control.Start(s.control.Address)
	s.until("the return", func(v View) bool { return v.ControlPlane.Connected && v.ControlPlane.Why == "" })
	third := s.orders(3)
	second()
	s.control.Until("a tunnel", func() bool { return s.control.Tunnel != nil })
	s.control.Change(func() {
		if len(s.control.Taken) != 0 {
			t.Errorf("another stream's receipt came: %v", s.control.Taken)
		}
	})
	third()
	s.control.Until("the receipt", func() bool { return len(s.control.Taken) > 0 && s.control.Taken[0] == 1 })
}

func TestOrdersMayCarryEnvironmentsOfManyMegabytes(t *testing.T) {
	s := newSite(t, "a")
	s.order("a")
	value := strings.Repeat("x", 12<<20)
	s.control.Change(func() { s.control.Orders.Servers[0].Environment["LONG"] = value })
	s.run()
	s.orders(1)
	if got := s.assigned[0].GetEnvironment()["LONG"]; got != value {
		t.Errorf("%d bytes came", len(got))
	}
	kept, err := s.uplink.shelf.get()
	if err != nil || kept.GetServers()[0].GetEnvironment()["LONG"] != value {
		t.Errorf("they were not kept: %v", err)
	}
}
