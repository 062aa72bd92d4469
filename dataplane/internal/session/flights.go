package session

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/internal/fault"
)

// errCancelled is why a call ended that its client cancelled.
var errCancelled = fault.New(fault.Unavailable, "the client cancelled the request")

// errGoingDown is why a call ended that outlasted its node.
var errGoingDown = fault.New(fault.Unavailable, "the node is going down")

// flight is a call that runs on this node. It lives in its exchange.
type flight struct {
	session [16]byte // of a legacy client
	id      []byte   // raw; nil: nobody can cancel it
	hash    uint64
	life    *lifetime.Lifetime
	next    *flight // with the same hash

	// of is the exchange. The calls of a shard are in a list.
	of              *exchange
	before, further *flight
}

// flights are the calls that run, and that can be cancelled by session and raw id
// if they are those of legacy clients. Two calls share a lock only if their hashes share a shard. The requests that the listener
// lets in are bounded, and so are these.
type flights struct {
	seed   maphash.Seed
	shards [flightShards]flightShard
}

const flightShards = 64

type flightShard struct {
	mu    sync.Mutex
	first *flight
	calls map[uint64]*flight
	over  bool // a call that enters is cancelled at once
}

func (f *flights) hash(session [16]byte, id []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	h.Write(session[:])
	h.Write(id)
	return h.Sum64()
}

// enter makes a call known. A legacy client may cancel it by its id, which must not
// change until it leaves.
func (f *flights) enter(x *exchange, life *lifetime.Lifetime) {
	call := &x.flight
	call.of, call.life = x, life
	if x.attached {
		call.session, call.id = x.legacy.ID, x.id()
		call.hash = f.hash(call.session, call.id)
	} else {
		call.hash = binary.BigEndian.Uint64(x.record.callID[:])
	}
	shard := &f.shards[call.hash%flightShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.link(call)
	if call.id == nil {
		return // It ends with its connection.
	}
	if shard.calls == nil {
		shard.calls = make(map[uint64]*flight)
	}
	call.next = shard.calls[call.hash]
	shard.calls[call.hash] = call
	if shard.over {
		life.End(errGoingDown)
	}
}

// link puts a call into the list.
func (s *flightShard) link(call *flight) {
	call.further = s.first
	if s.first != nil {
		s.first.before = call
	}
	s.first = call
}

// unlink takes it out.
func (s *flightShard) unlink(call *flight) {
	if call.further != nil {
		call.further.before = call.before
	}
	if call.before != nil {
		call.before.further = call.further
	} else {
		s.first = call.further
	}
	call.before, call.further = nil, nil
}

// review ends the calls that an index denies. It holds up those that enter and leave
// for as long as one look at each takes.
func (f *flights) review(index *gate.Index) {
	for i := range f.shards {
		f.shards[i].review(index)
	}
}

func (s *flightShard) review(index *gate.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for call := s.first; call != nil; call = call.further {
		call.review(index)
	}
}

func (call *flight) review(index *gate.Index) {
	if why := revoked(index, call.of); why != nil {
		call.life.End(why)
	}
}

// abandon cancels all calls, and those that enter later.
func (f *flights) abandon() {
	for i := range f.shards {
		f.shards[i].abandon()
	}
}

func (s *flightShard) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, at := range s.calls {
		for ; at != nil; at = at.next {
			at.life.End(errGoingDown)
		}
	}
}

func (f *flights) leave(call *flight) {
	shard := &f.shards[call.hash%flightShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.unlink(call)
	if call.id == nil {
		return
	}
	first := shard.calls[call.hash]
	if first == call && call.next == nil {
		delete(shard.calls, call.hash)
		return
	}
	if first == call {
		shard.calls[call.hash] = call.next
		return
	}
	for at := first; at != nil; at = at.next {
		if at.next == call {
			at.next = call.next
			return
		}
	}
}

// cancel ends the calls of a session with this id, and reports whether there were
// any.
func (f *flights) cancel(session [16]byte, id []byte) (found bool) {
	hash := f.hash(session, id)
	shard := &f.shards[hash%flightShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for at := shard.calls[hash]; at != nil; at = at.next {
		if at.session == session && bytes.Equal(at.id, id) {
			at.life.End(errCancelled)
			found = true
		}
	}
	return found
}
