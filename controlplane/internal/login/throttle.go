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

// attempts counts failed attempts from three sides: one address against one
// account, one address against all accounts, and all addresses against one
// account. The last is wide, so that a stranger cannot lock somebody out by
// failing in his name from a few addresses.
type attempts struct {
	pair, address, account *throttle
}

const bucketsKept = 10_000

func newAttempts() *attempts {
	return &attempts{
		pair:    newThrottle(6, 10*time.Second, bucketsKept),
		address: newThrottle(30, 2*time.Second, bucketsKept),
		account: newThrottle(60, time.Second, bucketsKept),
	}
}

// take reserves one attempt before it is made, so that many at once are counted
// too. A success gives it back.
func (a *attempts) take(address, account string, now time.Time) (wait time.Duration, ok bool) {
	pair := address + "\x00" + account
	if wait, ok = a.pair.take(pair, now); !ok {
		return wait, false
	}
	if wait, ok = a.address.take(address, now); !ok {
		a.pair.give(pair, now)
		return wait, false
	}
	if wait, ok = a.account.take(account, now); !ok {
		a.pair.give(pair, now)
		a.address.give(address, now)
		return wait, false
	}
	return 0, true
}

func (a *attempts) give(address, account string, now time.Time) {
	a.pair.give(address+"\x00"+account, now)
	a.address.give(address, now)
	a.account.give(account, now)
}
