package session

import (
	"bytes"
	"hash/maphash"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/internal/fault"
)

// errCancelled is why a call ended that its client cancelled.
var errCancelled = fault.New(fault.Unavailable, "the client cancelled the request")

// errGoingDown is why a call ended that outlasted its node.
var errGoingDown = fault.New(fault.Unavailable, "the node is going down")

// flight is a call of a legacy client that runs on this node. It lives in its
// exchange.
type flight struct {
	session [16]byte
	id      []byte // raw
	hash    uint64
	life    *lifetime.Lifetime
	next    *flight // with the same hash
}

// flights are the calls that can be cancelled, by session and raw id. Two calls
// share a lock only if their hashes share a shard. The requests that the listener
// lets in are bounded, and so are these.
type flights struct {
	seed   maphash.Seed
	shards [flightShards]flightShard
}

const flightShards = 64

type flightShard struct {
	mu    sync.Mutex
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

// enter makes a call known. The id must not change until it leaves.
func (f *flights) enter(call *flight, session [16]byte, id []byte, life *lifetime.Lifetime) {
	call.session, call.id, call.life, call.hash = session, id, life, f.hash(session, id)
	shard := &f.shards[call.hash%flightShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.calls == nil {
		shard.calls = make(map[uint64]*flight)
	}
	call.next = shard.calls[call.hash]
	shard.calls[call.hash] = call
	if shard.over {
		life.End(errGoingDown)
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
