package transport

import (
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// lingerTime is how long an answer that was finished may take to end.
	lingerTime = time.Second
	// sweepTime is how often the pool looks for connections that were idle for too long.
	sweepTime = time.Second
	// endingTries is how many connections whose answers are ending a call looks at before it dials.
	endingTries = 4
)

// pool holds the connections that no call is using. The one used last is used next, so that those that are not needed
// grow old:
//
//	Close  ──▶ idle ────────────────▶ get, if alive; closed after its idle time, or if the pool is full
//	Finish ──▶ ending ──end is there─▶ get, or idle; closed if the end does not come within lingerTime
type pool struct {
	limit    int
	idleTime time.Duration

	mu      sync.Mutex
	idle    []*conn // the last one was used last
	ending  []*conn // the first one was finished first
	timer   *time.Timer
	ticking bool
	// retired says that nobody is expected to call again.
	retired bool
}

// get returns a connection on which a request can be sent, or nil.
func (p *pool) get() *conn {
	for {
		c := p.pop()
		if c == nil {
			return p.getEnding()
		}
		if now := time.Now(); !c.expired(now, p.idleTime) && c.alive(now) {
			return c
		}
		c.discard()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = false
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

// getEnding returns a connection whose answer has just ended.
func (p *pool) getEnding() *conn {
	for range endingTries {
		c := p.popEnding()
		if c == nil {
			return nil
		}
		err := c.readEnd()
		if err == nil && c.alive(time.Now()) {
			return c
		}
		if errors.Is(err, errNotYet) && time.Since(c.since) < lingerTime {
			p.put(c)
			continue
		}
		c.discard()
	}
	return nil
}

func (p *pool) popEnding() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ending) == 0 {
		return nil
	}
	c := p.ending[0]
	p.ending = slices.Delete(p.ending, 0, 1)
	return c
}

// put takes a connection that no call is using any more. One too many is closed.
func (p *pool) put(c *conn) {
	if !p.take(c) {
		c.discard()
	}
}

func (p *pool) take(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired || len(p.idle)+len(p.ending) >= p.limit {
		return false
	}
	if c.body.phase == ended {
		p.idle = append(p.idle, c)
	} else {
		p.ending = append(p.ending, c)
	}
	p.tick()
	return true
}

// tick lets the sweep come. The lock is held.
func (p *pool) tick() {
	if p.ticking {
		return
	}
	p.ticking = true
	every := min(sweepTime, p.idleTime)
	if p.timer == nil {
		p.timer = time.AfterFunc(every, p.sweep)
	} else {
		p.timer.Reset(every)
	}
}

// sweep closes what is too old, and comes again as long as there is something to look at.
func (p *pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	p.ticking = false
	var old, due []*conn
	p.idle, old = split(p.idle, func(c *conn) bool { return c.expired(now, p.idleTime) })
	p.ending, due = split(p.ending, func(c *conn) bool { return now.Sub(c.since) >= lingerTime })
	if len(p.idle)+len(p.ending) > 0 {
		p.tick()
	}
	p.mu.Unlock()
	for _, c := range old {
		c.discard()
	}
	for _, c := range due {
		if c.readEnd() == nil {
			p.put(c)
		} else {
			c.discard()
		}
	}
}

// split takes out of a list what is to go, and clears the places that become free.
func split(list []*conn, out func(*conn) bool) (stay, gone []*conn) {
	stay = list[:0]
	for _, c := range list {
		if out(c) {
			gone = append(gone, c)
		} else {
			stay = append(stay, c)
		}
	}
	clear(list[len(stay):])
	return stay, gone
}

func (p *pool) closeIdle() {
	p.mu.Lock()
	all := append(p.idle, p.ending...)
	p.idle, p.ending, p.retired = nil, nil, true
	if p.timer != nil {
		p.timer.Stop()
		p.ticking = false
	}
	p.mu.Unlock()
	for _, c := range all {
		c.discard()
	}
}

// expired reports whether the connection was idle for so long that the server may be about to close it. A fifth of the
// time that the server gives is kept away from.
func (c *conn) expired(now time.Time, limit time.Duration) bool {
	if c.keep >= 0 {
		limit = min(limit, c.keep-c.keep/5)
	}
	return now.Sub(c.since) >= limit
}

// alive reports whether the connection is open and there is nothing to read on it: neither the server's farewell nor
// bytes that nobody asked for, which the next call would take for its answer.
func (c *conn) alive(now time.Time) bool {
	if now.Sub(c.since) < probeAge {
		return true
	}
	_, err := c.peek.read(c.net, c.probe[:])
	return errors.Is(err, errNotYet)
}
