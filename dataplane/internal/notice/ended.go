package notice

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

const (
	endedShards = 64

	// endedSamples is how many entries are looked at for one to make room.
	endedSamples = 16

	// endedPurge is the number of entries from which on a shard looks for some that have expired.
	endedPurge = 64
)

// endedSet holds the sessions that were ended before their time. It is bounded: when a shard is full, an entry that
// expires soon makes room, as that of a session with the least left to lose.
//
// Looking up is on the path of every legacy request: it is one atomic read while nothing was ended, and else takes the
// read lock of one shard.
type endedSet struct {
	count  atomic.Int64
	limit  int // of a shard
	shards [endedShards]endedShard
}

type endedShard struct {
	mu       sync.RWMutex
	sessions map[[16]byte]uint32 // to when they expire, in seconds since 1970
	purgeAt  int
	_        [24]byte // keeps the locks of two shards on different cache lines
}

func (e *endedSet) init(limit int) {
	e.limit = max(limit/endedShards, 1)
	for i := range e.shards {
		e.shards[i].sessions = make(map[[16]byte]uint32)
		e.shards[i].purgeAt = endedPurge
	}
}

// shard returns where a session is: ids are random.
func (e *endedSet) shard(session *[16]byte) *endedShard { return &e.shards[session[0]%endedShards] }

// seconds rounds up, so that nothing is forgotten early; it holds until the year 2106.
func seconds(t time.Time) uint32 { return uint32(max(t.Unix()+1, 0)) }

func (e *endedSet) add(session [16]byte, expires, now time.Time) {
	if !now.Before(expires) {
		return
	}
	s := e.shard(&session)
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.sessions)
	if before >= min(s.purgeAt, e.limit) {
		s.purge(seconds(now) - 1)
		s.purgeAt = max(2*len(s.sessions), endedPurge)
	}
	if _, known := s.sessions[session]; !known && len(s.sessions) >= e.limit {
		s.makeRoom()
	}
	s.sessions[session] = seconds(expires)
	e.count.Add(int64(len(s.sessions) - before))
}

// purge forgets what has expired.
func (s *endedShard) purge(now uint32) {
	for session, expires := range s.sessions {
		if expires <= now {
			delete(s.sessions, session)
		}
	}
}

// makeRoom forgets the entry that expires first, of some that chance picks.
func (s *endedShard) makeRoom() {
	var first [16]byte
	looked, soonest := 0, uint32(0)
	for session, expires := range s.sessions {
		if looked == 0 || expires < soonest {
			first, soonest = session, expires
		}
		if looked++; looked == endedSamples {
			break
		}
	}
	delete(s.sessions, first)
}

func (e *endedSet) has(session [16]byte) bool {
	if e.count.Load() == 0 {
		return false
	}
	s := e.shard(&session)
	s.mu.RLock()
	_, ended := s.sessions[session]
	s.mu.RUnlock()
	return ended
}

// hash spreads session ids over n places.
func hash(session *[16]byte, n uint64) uint64 { return binary.LittleEndian.Uint64(session[8:]) % n }
