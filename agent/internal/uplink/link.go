package uplink

import (
	"context"
	"math/rand/v2"
	"time"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	firstPause = 250 * time.Millisecond
	// maxPause is short: that is how long a node that has come back may be without a tunnel.
	maxPause = 5 * time.Second
	// steady is how long a tunnel must have lasted to count as a success.
	steady = 30 * time.Second
	// probation is how long a node that failed is no reason to give up another.
	probation = 2 * time.Minute
	// grudge is how long a node that was given up for being slow counts as slow at least.
	grudge = 10 * time.Minute
	// grace is how long a tunnel goes on whose node is none of the orders any more: the control plane may have just begun,
	// and not know all nodes yet.
	grace = 15 * time.Second
)

// way is a tunnel as the pilot sees it.
type way interface {
	RoundTrip() time.Duration
	// Streams is how many exchanges are open, and Calls how many of them are calls.
	Streams() int
	Calls() int
	// Announce is tunnel.Tunnel.Announce.
	Announce([]*tunnelv1.ServerState) error
	// Drain tells the node to call through another tunnel.
	Drain()
	PeerDrains() <-chan struct{}
	// Idle returns when no call runs, or ctx ends.
	Idle(ctx context.Context)
}

// link is a node, and the tunnel to it if there is one. The pilot's loop owns it.
type link struct {
	name, region, address string

	listed   bool      // the orders have it
	goneAt   time.Time // when they had not any more
	draining bool      // the orders say so

	probing bool          // is being measured
	trip    time.Duration // as measured without a tunnel; 0: never
	slow    int           // how often in a row its tunnel was far; 2: that often, or more often
	stumble time.Duration // what was measured the first time
	calm    time.Duration // what its tunnel is believed to take; 0: what is measured
	blamed  time.Duration // it counts as no nearer until then
	until   time.Time

	failures  int
	failedAt  time.Time
	notBefore time.Time

	line *line
	lost error // what the last tunnel ended with, if that was a failure; nil: there is one, or was none

	shown   State // as of the last step
	shownAt time.Time
}

// line is one tunnel from its dialling to its end.
type line struct {
	cancel   context.CancelFunc
	way      way // nil: dialling
	since    time.Time
	drains   bool   // the node said so
	retiring bool   // it is being given up
	reason   string // why
	instead  *link  // the tunnel to this one is given up when this is up; nil: none is
}

func (l *link) abroad(region string) bool { return l.region != region }

// live reports whether the node has a tunnel that is to last, or gets one.
func (l *link) live() bool { return l.line != nil && !l.line.retiring && l.welcome() }

// up reports whether calls can come through it.
func (l *link) up() bool { return l.live() && l.line.way != nil }

// welcome reports whether the node is one to have a tunnel to.
func (l *link) welcome() bool {
	return l.listed && !l.draining && (l.line == nil || !l.line.drains)
}

// free reports whether a tunnel may be dialled.
func (l *link) free(now time.Time) bool {
	return l.line == nil && l.welcome() && !now.Before(l.notBefore)
}

// roundTrip is what was measured last, or 0.
func (l *link) roundTrip() time.Duration {
	if l.line != nil && l.line.way != nil {
		if trip := l.line.way.RoundTrip(); trip != 0 {
			return trip
		}
	}
	return l.trip
}

// measured is the round trip to reckon with, or unmeasured.
func (l *link) measured(now time.Time) time.Duration {
	trip := l.roundTrip()
	if trip == 0 {
		return unmeasured
	}
	if now.Before(l.until) {
		trip = max(trip, l.blamed)
	}
	return trip
}

// believed is the round trip to choose by.
func (l *link) believed(now time.Time) time.Duration {
	if l.up() && l.calm != 0 {
		return l.calm
	}
	return l.measured(now)
}

// judge looks at a tunnel again, given the nearest node of its region. A single stumble means nothing; two in a row are believed.
func (l *link) judge(now time.Time, nearest time.Duration) {
	trip := l.measured(now)
	switch {
	case trip == unmeasured:
		return
	case isNear(trip, nearest, true):
		l.slow = 0
		l.calm = smooth(l.calm, trip)
	case l.slow == 0:
		l.slow, l.stumble = 1, trip
	case l.slow == 1:
		l.slow, l.calm = 2, min(trip, l.stumble)
	default:
		l.calm = smooth(l.calm, trip)
	}
}

// smooth is what is believed after one more measurement. It goes slowly, for nodes that are at the edge of being near not to be taken and
// given up in turns.
func smooth(believed, measured time.Duration) time.Duration {
	if believed == 0 {
		return measured
	}
	return believed + (measured-believed)/4
}

// failed notes that a tunnel could not be had, or was lost, and how long to leave the node alone.
func (l *link) failed(now time.Time, why error) {
	l.failures++
	l.failedAt, l.lost = now, why
	l.notBefore = now.Add(pauseAfter(l.failures))
}

// pauseAfter is of random length, so that agents do not come back all at once.
func pauseAfter(failures int) time.Duration {
	pause := min(maxPause, firstPause<<min(failures-1, 10))
	return pause/2 + rand.N(pause/2)
}

// trusted reports whether the node may take the place of another.
func (l *link) trusted(now time.Time) bool {
	return l.failedAt.IsZero() || now.Sub(l.failedAt) >= probation
}
