package limit

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/policy"
)

// bucket has the tokens of one name under one limit.
type bucket struct {
	at    place
	asked atomic.Uint64 // since the last Demand

	mu     sync.Mutex
	tokens float64
	since  time.Time // when tokens was right
	full   time.Time // when it will be as full as it can be, if nobody takes
	part   float64   // of the limit, by the shares of this turn
	turn   uint64
	known  bool // false: it is new, and as full as a new one is
	gone   bool // it was forgotten: another has its place
}

// share takes the node's part of the limit from the shares in force. The caller holds
// the lock, here and below.
func (k *bucket) share(s *shares) {
	if !k.known || k.turn != s.turn {
		k.part, k.turn = s.of(k.at), s.turn
	}
}

// rate is how many tokens a second the share gives.
func (k *bucket) rate(l *policy.Limit) float64 {
	return float64(l.Calls) / l.Window.Seconds() * k.part
}

// capacity is how many tokens the bucket holds at most, and when it is new: the share of
// the burst, and one at least. A bucket of less would never admit a call.
func (k *bucket) capacity(l *policy.Limit) float64 { return max(1, float64(l.Burst)*k.part) }

// refill adds what has come since. A clock that goes back adds nothing.
func (k *bucket) refill(l *policy.Limit, now time.Time) {
	if !k.known {
		k.known, k.tokens, k.since = true, k.capacity(l), now
	}
	if elapsed := now.Sub(k.since); elapsed > 0 {
		k.tokens += elapsed.Seconds() * k.rate(l)
		k.since = now
	}
	// A share that has shrunk takes away what it held.
	k.tokens = min(k.tokens, k.capacity(l))
}

// slack is how much less than a token is one: rates are not exact.
const slack = 1e-9

// wait is how long until there is a token, by the share of now, and not longer than the
// limit's window; 0: there is one.
func (k *bucket) wait(l *policy.Limit) time.Duration {
	if k.tokens >= 1-slack {
		return 0
	}
	perSecond := k.rate(l)
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
func (k *bucket) take(l *policy.Limit) {
	k.tokens--
	k.full = k.since.Add(l.Window)
	if perSecond := k.rate(l); perSecond > 0 {
		missing := (k.capacity(l) - k.tokens) / perSecond
		k.full = k.since.Add(time.Duration(min(missing, policy.MaxWindow.Seconds()) * float64(time.Second)))
	}
}
