package login

import (
	"container/list"
	"sync"
	"time"
)

// throttle is a set of token buckets by key. It is bounded: when it is full, the
// bucket that was used least recently is forgotten, which at worst gives its
// owner a full bucket again. It is safe for concurrent use.
type throttle struct {
	burst float64
	every time.Duration // time in which one token comes back
	limit int           // buckets kept

	mu      sync.Mutex
	buckets map[string]*list.Element
	recent  *list.List // of *bucket; front is the most recent
}

type bucket struct {
	key    string
	tokens float64
	at     time.Time
}

func newThrottle(burst int, every time.Duration, limit int) *throttle {
	return &throttle{
		burst: float64(burst), every: every, limit: limit,
		buckets: make(map[string]*list.Element), recent: list.New(),
	}
}

// take takes a token, or says how long until there is one.
func (t *throttle) take(key string, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.touch(key, now)
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(t.every)), false
	}
	b.tokens--
	return 0, true
}

// give returns a token that take took.
func (t *throttle) give(key string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.touch(key, now)
	b.tokens = min(b.tokens+1, t.burst)
}

// touch returns the key's bucket, refilled up to now.
func (t *throttle) touch(key string, now time.Time) *bucket {
	if e, found := t.buckets[key]; found {
		t.recent.MoveToFront(e)
		b := e.Value.(*bucket)
		if passed := now.Sub(b.at); passed > 0 {
			b.tokens = min(b.tokens+float64(passed)/float64(t.every), t.burst)
			b.at = now
		}
		return b
	}
	if len(t.buckets) >= t.limit {
		oldest := t.recent.Back()
		t.recent.Remove(oldest)
		delete(t.buckets, oldest.Value.(*bucket).key)
	}
	b := &bucket{key: key, tokens: t.burst, at: now}
	t.buckets[key] = t.recent.PushFront(b)
	return b
}

// side is whom an attempt counts for.
type side struct {
	address, account string
	// device is known to be one from which this account signed in before; empty:
	// none is.
	device string
}

// attempts counts failed attempts from four sides: one address against one
// account, one address against all accounts, all addresses against one account,
// and all against all, which leaves the process time for other work. An attempt
// from a known device counts for that device alone: strangers who fail in
// somebody's name, from however many addresses, do not lock him out where he is
// known (security.md T-42).
type attempts struct {
	pair, address, account, all, device *throttle
}

const bucketsKept = 10_000

func newAttempts() *attempts {
	return &attempts{
		pair:    newThrottle(6, 10*time.Second, bucketsKept),
		address: newThrottle(30, 2*time.Second, bucketsKept),
		account: newThrottle(60, time.Second, bucketsKept),
		all:     newThrottle(300, 50*time.Millisecond, 1),
		device:  newThrottle(6, 10*time.Second, bucketsKept),
	}
}

// claim is one bucket that an attempt counts in.
type claim struct {
	throttle *throttle
	key      string
}

func (a *attempts) claims(s side) []claim {
	if s.device != "" {
		return []claim{{a.device, s.device}}
	}
	return []claim{{a.pair, s.address + "\x00" + s.account}, {a.address, s.address}, {a.account, s.account}, {a.all, ""}}
}

// take reserves one attempt before it is made, so that many at once are counted
// too. A success gives it back.
func (a *attempts) take(s side, now time.Time) (wait time.Duration, ok bool) {
	claims := a.claims(s)
	for i, c := range claims {
		if wait, ok = c.throttle.take(c.key, now); !ok {
			for _, taken := range claims[:i] {
				taken.throttle.give(taken.key, now)
			}
			return wait, false
		}
	}
	return 0, true
}

func (a *attempts) give(s side, now time.Time) {
	for _, c := range a.claims(s) {
		c.throttle.give(c.key, now)
	}
}
