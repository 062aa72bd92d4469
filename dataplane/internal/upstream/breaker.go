package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// breakerFailures is how many calls in a row have to find a server dead until it is left alone.
	breakerFailures = 5

	// A server is left alone for breakerFirst, and then for twice as long each time, up to breakerLast.
	breakerFirst = time.Second
	breakerLast  = 30 * time.Second
)

// breaker keeps calls from waiting for a server that is dead:
//
//	closed ──5 failures in a row──▶ open ──after 1 s, 2 s, … 30 s──▶ half open: one call probes
//	  ▲                              ▲  └──an answer of any call──▶ closed      │
//	  └──────── answered ────────────┼──────────────────────────────────────────┤
//	                                 └── not answered ──────────────────────────┘
//
// A failure is that no connection could be made, or that no answer began in time. Whatever the server answers, it is
// alive. While it is closed and calls are answered, nothing is written and no lock is taken.
type breaker struct {
	failures atomic.Int32 // in a row
	open     atomic.Bool

	mu      sync.Mutex
	since   time.Time // the first failure in a row
	until   time.Time // when open: no call before
	delay   time.Duration
	probing bool
}

// verdict is what a call learnt about a server.
type verdict uint8

const (
	inconclusive verdict = iota // the client left, or nothing was sent
	alive
	dead
)

// admission is the right to call. It is to be settled; the first time counts.
type admission struct {
	breaker *breaker // nil: it is settled
	probe   bool
}

// refused says why a breaker admits no call.
type refused struct{ since, next time.Time }

// admit asks for the right to call.
func (b *breaker) admit() (admission, *refused) {
	if !b.open.Load() {
		return admission{breaker: b}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case !b.open.Load():
		return admission{breaker: b}, nil
	case b.probing:
		return admission{}, &refused{since: b.since, next: now.Add(breakerFirst)}
	case now.Before(b.until):
		return admission{}, &refused{since: b.since, next: b.until}
	}
	b.probing = true
	return admission{breaker: b, probe: true}, nil
}

// settle tells the breaker what came of it.
func (a *admission) settle(v verdict) {
	b := a.breaker
	if a.breaker = nil; b == nil {
		return
	}
	if !a.probe && (v == inconclusive || v == alive && b.failures.Load() == 0) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.probe {
		b.probing = false
	}
	switch v {
	case alive:
		b.failures.Store(0)
		b.open.Store(false)
		b.delay = 0
	case dead:
		b.fail(a.probe)
	}
}

// fail notes a failure. Calls that were sent before the breaker opened do not prolong it. The caller holds the lock.
func (b *breaker) fail(probe bool) {
	now := time.Now()
	if b.failures.Add(1) == 1 {
		b.since = now
	}
	switch {
	case b.open.Load() && probe:
		b.delay = min(2*b.delay, breakerLast)
	case !b.open.Load() && b.failures.Load() >= breakerFailures:
		b.delay = breakerFirst
		b.open.Store(true)
	default:
		return
	}
	b.until = now.Add(b.delay)
}
