package session

import (
	"sync"
	"time"
)

// What clients and servers can make a node do again and again, for little work of
// their own, has a pace: so many a second, and so many at once. It is kept for each
// who does it, so that nobody pays for another.
const (
	// Of what one server may ask of one key's clients: each question is recorded, and
	// whoever fills the audit queue stops everybody's calls.
	askRate  = 10
	askBurst = 100
	// Of the sessions that one key may have opened at the servers: one initialize is
	// several requests to each of them.
	openRate  = 10
	openBurst = 100
	// Of what one key may have all servers of a session told: one notification is a
	// request to each of them.
	tellRate  = 20
	tellBurst = 200
	// Of the sessions that one key may end before their time: every node keeps each
	// until it would have expired, and the list of all keys is bounded
	// (notice.Config, package ended of the control plane). In the seven days that a
	// session has, one key comes to about 50,000 at a node, of the million that there
	// is room for, so that it drives no other's out: an ended session that is
	// forgotten early would be served again.
	endRate  = 5.0 / 60
	endBurst = 1000
)

// paced is who has a pace.
type paced struct{ caller, server string }

// maxPaced bounds those who are known; others share one pace.
const maxPaced = 4096

// paces are the allowances of many. The zero paces admits nothing.
type paces struct {
	rate, burst float64

	mu  sync.Mutex
	all map[paced]*allowance
}

// take reports whether who may do it once more.
func (p *paces) take(who paced, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(who, now).take(now, p.rate, p.burst)
}

// of returns the allowance of who. The caller holds the lock.
func (p *paces) of(who paced, now time.Time) *allowance {
	if p.all[who] == nil && len(p.all) >= maxPaced {
		p.forget(now)
	}
	if p.all[who] == nil && len(p.all) >= maxPaced {
		who = paced{}
	}
	if p.all == nil {
		p.all = make(map[paced]*allowance)
	}
	if p.all[who] == nil {
		p.all[who] = new(allowance)
	}
	return p.all[who]
}

// forget drops those whose allowance is as good as a new one.
func (p *paces) forget(now time.Time) {
	for who, a := range p.all {
		if a.idle(now, p.rate) {
			delete(p.all, who)
		}
	}
}
