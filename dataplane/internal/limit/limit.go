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
	shardCount = 16
	// maxBuckets bounds the buckets, with about 200 bytes each.
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
type place struct{ limit, name string }

type shard struct {
	mu      sync.Mutex
	buckets map[place]*bucket
	swept   time.Time
}

// bucket has the tokens of one name under one limit.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	at     time.Time // when tokens was right
	full   time.Time // when it will be as full as it can be, if nobody takes
	asked  uint64    // since the last Demand
	known  bool      // false: it is new, and as full as a new one is
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
func (b *Buckets) Take(limits []*policy.Limit, p *principal.Principal, t *policy.Target, now time.Time) (Refusal, bool) {
	parts := b.shares.Load()
	var few [4]charge
	charges := few[:0]
	for _, limit := range limits {
		at := place{limit.Name, limit.Bucket(p, t)}
		charges = append(charges, charge{limit, b.find(at, now), parts.of(at)})
	}
	var refusal Refusal
	// Everybody locks in the order of limits, and a limit has one bucket for a call: so
	// no two calls wait for each other.
	for _, c := range charges {
		c.bucket.mu.Lock()
		c.bucket.refill(c.limit, c.part, now)
		c.bucket.asked++
		if wait := c.bucket.wait(c.limit, c.part); wait > refusal.Wait {
			refusal = Refusal{c.limit, wait}
		}
	}
	for _, c := range charges {
		if refusal.Limit == nil {
			c.bucket.take(c.limit, c.part)
		}
		c.bucket.mu.Unlock()
	}
	return refusal, refusal.Limit == nil
}

// charge is one limit that a call is charged to.
type charge struct {
	limit  *policy.Limit
	bucket *bucket
	part   float64
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
		at.name = crowded
		if found := s.buckets[at]; found != nil {
			return found
		}
	}
	if s.buckets == nil {
		s.buckets = make(map[place]*bucket)
	}
	made := new(bucket)
	s.buckets[at] = made
	return made
}

// sweep forgets buckets that are full, and reports whether there is room. The caller
// holds the shard's lock.
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
		if bucket.known && !now.Before(bucket.full) && bucket.asked == 0 {
			delete(s.buckets, at)
		}
		bucket.mu.Unlock()
	}
	return len(s.buckets) < before
}

// rate is how many tokens a second a share of a limit gives.
func rate(l *policy.Limit, part float64) float64 {
	return float64(l.Calls) / l.Window.Seconds() * part
}

// capacity is how many tokens a bucket holds at most. A share of less than one token
// would never admit a call: such a bucket fills up to one, and begins with the share.
func capacity(l *policy.Limit, part float64) float64 { return max(1, float64(l.Burst)*part) }

// refill adds what has come since. The caller holds the lock.
func (k *bucket) refill(l *policy.Limit, part float64, now time.Time) {
	if !k.known {
		k.known, k.tokens, k.at = true, float64(l.Burst)*part, now
	}
	if elapsed := now.Sub(k.at); elapsed > 0 {
		k.tokens += elapsed.Seconds() * rate(l, part)
		k.at = now
	}
	// A share that has shrunk takes away what it held.
	k.tokens = min(k.tokens, capacity(l, part))
}

// slack is how much less than a token is one: rates are not exact.
const slack = 1e-9

// wait is how long until there is a token; 0: there is one.
func (k *bucket) wait(l *policy.Limit, part float64) time.Duration {
	if k.tokens >= 1-slack {
		return 0
	}
	perSecond := rate(l, part)
	if perSecond <= 0 {
		return l.Window
	}
	seconds := (1 - k.tokens) / perSecond
	if seconds >= l.Window.Seconds() {
		return l.Window
	}
	return max(time.Millisecond, time.Duration(seconds*float64(time.Second)))
}

// take takes a token that is there.
func (k *bucket) take(l *policy.Limit, part float64) {
	k.tokens--
	k.full = k.at.Add(l.Window)
	if perSecond := rate(l, part); perSecond > 0 {
		missing := (capacity(l, part) - k.tokens) / perSecond
		k.full = k.at.Add(time.Duration(min(missing, policy.MaxWindow.Seconds()) * float64(time.Second)))
	}
}
