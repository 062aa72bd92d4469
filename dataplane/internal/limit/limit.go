package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
)

const (
	shardCount = 64
	// maxBuckets bounds the buckets, with about 300 bytes each, names included.
	maxBuckets = 1 << 17
	// sweepEvery is how often a shard that is full looks for what it can forget.
	sweepEvery = time.Second
	// crowded is the name of the bucket that names share for which there is no room. It
	// is no user's, server's or tool's.
	crowded = "\x00"
)

// Buckets are those of a node. It is safe for concurrent use, and lives as long as the
// node: snapshots come and go, and what was taken stays taken.
type Buckets struct {
	shares atomic.Pointer[shares]
	seed   maphash.Seed
	shards [shardCount]shard
	room   int // of a shard
}

// place names a bucket.
type place struct {
	limit string
	of    policy.Bucket
}

type shard struct {
	mu      sync.Mutex
	buckets map[place]*bucket
	swept   time.Time
}

// New returns buckets that are all full, with the share of a node that is alone.
func New() *Buckets {
	b := &Buckets{seed: maphash.MakeSeed(), room: maxBuckets / shardCount}
	b.shares.Store(&shares{even: 1})
	return b
}

// Refusal says which limit a call ran into, and when to come back.
type Refusal struct {
	Limit *policy.Limit
	Wait  time.Duration
}

// Take charges a call to the limits that are about it, which are in the order of their
// names: all of them, or, if one has no token left, none. Of those that have none it
// returns the one that lasts longest.
func (b *Buckets) Take(limits []*policy.Limit, p *principal.Principal, t policy.Target, now time.Time) (Refusal, bool) {
	parts := b.shares.Load()
	var few [8]charge
	charges := few[:0]
	var refusal Refusal
	var refusing *bucket
	// Everybody locks in the order of limits, and a limit has one bucket for a call: so
	// no two calls wait for each other.
	for _, limit := range limits {
		k := b.lock(place{limit.Name, limit.Bucket(p, &t)}, now)
		k.share(parts)
		k.refill(limit, now)
		if wait := k.wait(limit); wait > refusal.Wait {
			refusal, refusing = Refusal{limit, wait}, k
		}
		charges = append(charges, charge{limit, k})
	}
	for _, c := range charges {
		// Who is refused asks only of the limit that is in the way. Else whoever floods
		// against a limit of his own would draw to his node what others share with him.
		if refusing == nil || refusing == c.bucket {
			c.bucket.asked.Add(1)
		}
		if refusing == nil {
			c.bucket.take(c.limit)
		}
		c.bucket.mu.Unlock()
	}
	return refusal, refusing == nil
}

// charge is one limit that a call is charged to.
type charge struct {
	limit  *policy.Limit
	bucket *bucket
}

// lock returns the bucket of a place, locked.
func (b *Buckets) lock(at place, now time.Time) *bucket {
	for {
		k := b.find(at, now)
		k.mu.Lock()
		if !k.gone {
			return k
		}
		k.mu.Unlock()
	}
}

// find returns the bucket of a place, a new one if there is none.
func (b *Buckets) find(at place, now time.Time) *bucket {
	s := &b.shards[maphash.Comparable(b.seed, at)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.buckets[at]; found != nil {
		return found
	}
	if len(s.buckets) >= b.room && !s.sweep(now) {
		at.of = policy.Bucket{Name: crowded}
		if found := s.buckets[at]; found != nil {
			return found
		}
	}
	if s.buckets == nil {
		s.buckets = make(map[place]*bucket)
	}
	made := &bucket{at: at}
	s.buckets[at] = made
	return made
}

// sweep forgets buckets that are full, and reports whether there is room. The caller
// holds the shard's lock, and maybe those of buckets: so it waits for none.
func (s *shard) sweep(now time.Time) bool {
	if now.Sub(s.swept) < sweepEvery {
		return false
	}
	s.swept = now
	before := len(s.buckets)
	for at, bucket := range s.buckets {
		// One that somebody is at is not full.
		if !bucket.mu.TryLock() {
			continue
		}
		if bucket.known && !now.Before(bucket.full) && bucket.asked.Load() == 0 {
			bucket.gone = true
			delete(s.buckets, at)
		}
		bucket.mu.Unlock()
	}
	return len(s.buckets) < before
}
