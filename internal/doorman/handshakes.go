package doorman

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// handshakes bound how many connections there are at a time of which it is not known yet
// who they are, of all addresses and of each. When there are as many, the one that has been
// so for longest loses its seat to one more: who says nothing cannot keep out who speaks. It
// is safe for concurrent use, and each method takes the same time however many there are.
type handshakes struct {
	all, each int

	mu  sync.Mutex
	old *list.List                  // of *handshake, the oldest first
	of  map[netip.Prefix]*list.List // the same by address; none of them is empty
}

// handshake is the seat of a connection.
type handshake struct {
	who  netip.Prefix
	conn net.Conn
	// inAll and inAddress are where it is in the lists. The lock of handshakes guards them;
	// nil: it has no seat any more.
	inAll, inAddress *list.Element
}

func newHandshakes(all, each int) *handshakes {
	return &handshakes{all: all, each: each, old: list.New(), of: make(map[netip.Prefix]*list.List)}
}

// begin gives a connection a seat, which it gives back by end. Where another one has lost
// its seat for that, full is which bound was reached, else empty. The caller closes that
// one's connection, loser, before it goes on: so there are never more than the bounds say.
func (h *handshakes) begin(who netip.Prefix, conn net.Conn) (seat *handshake, loser net.Conn, full string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var oldest *list.Element
	switch of := h.of[who]; {
	case of != nil && of.Len() >= h.each:
		oldest, full = of.Front(), fullAddress
	case h.old.Len() >= h.all:
		oldest, full = h.old.Front(), fullAll
	}
	if oldest != nil {
		evicted := oldest.Value.(*handshake)
		h.remove(evicted)
		loser = evicted.conn
	}
	of := h.of[who] // after the removal, which may have dropped it
	if of == nil {
		of = list.New()
		h.of[who] = of
	}
	seat = &handshake{who: who, conn: conn}
	seat.inAll, seat.inAddress = h.old.PushBack(seat), of.PushBack(seat)
	return seat, loser, full
}

// end gives a seat back. It reports whether the connection still had it; else somebody
// closes that, or has.
func (h *handshakes) end(seat *handshake) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seat.inAll == nil {
		return false
	}
	h.remove(seat)
	return true
}

// remove takes a seat away. The caller holds the lock.
func (h *handshakes) remove(seat *handshake) {
	h.old.Remove(seat.inAll)
	of := h.of[seat.who]
	of.Remove(seat.inAddress)
	if of.Len() == 0 {
		delete(h.of, seat.who)
	}
	seat.inAll, seat.inAddress = nil, nil
}
