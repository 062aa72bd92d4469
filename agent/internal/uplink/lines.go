package uplink

import (
	"cmp"
	"context"
	"time"
)

// Reasons why a tunnel is given up.
const (
	agentStops = "the agent stops"
	nodeDrains = "the node drains"
	nodeMoved  = "the node has another address"
	nodeGone   = "it is no node any more"
	othersSuit = "other nodes are better"
)

// dial begins a tunnel.
func (p *pilot) dial(l *link) {
	ctx, cancel := context.WithCancel(p.ctx)
	li := &line{cancel: cancel}
	l.line = li
	to := target{l.name, l.address}
	p.running.Go(func() {
		defer cancel()
		err := p.attach(ctx, to, func(w way) {
			p.tell(func(now time.Time) { p.began(now, l, li, w) })
			p.running.Go(func() {
				select {
				case <-w.PeerDrains():
					p.tell(func(time.Time) { li.drains = true })
				case <-ctx.Done():
				}
			})
		})
		p.tell(func(now time.Time) { p.ended(now, l, li, err) })
	})
}

// began notes that a tunnel is up.
func (p *pilot) began(now time.Time, l *link, li *line, w way) {
	li.way, li.since = w, now
	l.lost = nil
	p.log.Info("tunnel is up", "node", l.name, "region", l.region)
	if li.retiring {
		li.cancel()
	}
	// What was decided when it was dialled holds: as measured now, the two could look the other way round, and then would take turns.
	if l.up() && li.instead != nil && li.instead.up() && p.up() > p.want {
		p.relieve(now, li.instead)
	}
}

// ended notes that a tunnel is no more: this one, and no other.
func (p *pilot) ended(now time.Time, l *link, li *line, err error) {
	l.trip = cmp.Or(l.calm, l.roundTrip())
	l.line = nil
	l.slow, l.calm = 0, 0
	switch {
	case li.retiring:
		p.log.Info("tunnel has ended", "node", l.name)
	case li.way != nil:
		if now.Sub(li.since) >= steady {
			l.failures = 0
		}
		l.failed(now, err)
		p.log.Warn("tunnel is lost", "node", l.name, "error", err)
	default:
		l.failed(now, err)
		p.log.Log(p.ctx, level(l.failures), "cannot reach node", "node", l.name, "address", l.address, "pause", l.notBefore.Sub(now), "error", plain(err))
	}
	if li.drains {
		l.failedAt = now // It will be back, and may have to begin first.
		l.notBefore = now.Add(pauseAfter(4))
	}
	p.forget()
}

// retire ends a tunnel when its calls have.
func (p *pilot) retire(l *link, why string) {
	li := l.line
	if li.retiring {
		return
	}
	li.retiring, li.reason = true, why
	if li.way == nil {
		li.cancel()
		return
	}
	p.log.Info("tunnel is given up", "node", l.name, "reason", why)
	li.way.Drain()
	ctx, cancel := context.WithTimeout(p.ctx, p.drainTime)
	p.running.Go(func() {
		defer cancel()
		li.way.Idle(ctx)
		li.cancel()
	})
}
