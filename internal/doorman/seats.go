package doorman

import (
	"net"
	"net/netip"
	"sync"
)

// seats bound how many connections there are at a time, of all addresses and of each. When
// there are as many, one more is turned away: nobody waits. It is safe for concurrent use.
type seats struct {
	all, each int

	mu    sync.Mutex
	taken int
	of    map[netip.Prefix]int // those that have one at least
}

func newSeats(all, each int) *seats {
	return &seats{all: all, each: each, of: make(map[netip.Prefix]int)}
}

// take takes a seat, which is given back by give. full is which bound forbids it; empty:
// none.
func (s *seats) take(who netip.Prefix) (full string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[who] >= s.each:
		return fullAddress
	case s.taken >= s.all:
		return fullAll
	}
	s.taken++
	s.of[who]++
	return ""
}

func (s *seats) give(who netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.of[who]--; s.of[who] == 0 {
		delete(s.of, who)
	}
}

// What is full.
const (
	fullAddress = "address"
	fullAll     = "all"
)

// neighbours returns the addresses that are taken for one: an IPv4 address, or the 64 bits
// of an IPv6 address that one customer has. Peers without such an address are taken for one,
// too.
func neighbours(address net.Addr) netip.Prefix {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
