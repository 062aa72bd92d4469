package process

import (
	"sync"
	"time"
)

const (
	firstDelay = time.Second
	lastDelay  = 30 * time.Second
	// steady is for how long a process has to be up for its end to count as the first.
	steady = 30 * time.Second
)

// Pace says when a program that ended by itself may be started again: after a second, then after twice as long each
// time, up to 30 s, and from the beginning after one that was up for 30 s. The zero value lets start at once. It may be
// used from many goroutines.
type Pace struct {
	mu    sync.Mutex
	delay time.Duration
	until time.Time
}

// Failed notes that a process ended by itself, or could not be started (up is 0), and returns when to try again.
func (p *Pace) Failed(now time.Time, up time.Duration) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up >= steady {
		p.delay = 0
	}
	p.delay = min(max(2*p.delay, firstDelay), lastDelay)
	if until := now.Add(p.delay); until.After(p.until) {
		p.until = until
	}
	return p.until
}

// Wait is how long not to start yet; 0: start.
func (p *Pace) Wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.until.Sub(now), 0)
}
