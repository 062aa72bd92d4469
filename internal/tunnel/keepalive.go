package tunnel

import (
	"context"
	"time"
)

// ping is the one that is under way, if any. It is guarded by the lock of the tunnel.
type ping struct {
	due    bool // is to be sent
	out    bool // was sent, and is not answered
	number uint64
	since  time.Duration // since the tunnel was born: due, and then sent
}

// watch returns why the tunnel ends. A tunnel lives as long as something comes, and pings are answered: an end that only talks may be
// one that no longer hears.
func (t *Tunnel) watch(ctx context.Context) error {
	next := time.Since(t.born) + t.config.Keepalive
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.done:
			return t.cause
		case <-timer.C:
		}
		now := time.Since(t.born)
		silent := t.silentAt()
		if now >= silent {
			return lost(ErrSilent)
		}
		if now >= next {
			t.sendPing()
			next = now + t.config.Keepalive
		}
		timer.Reset(min(silent, next) - now)
	}
}

// silentAt is when the tunnel is lost unless something comes.
func (t *Tunnel) silentAt() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	alive := time.Duration(t.heard.Load())
	if t.ping.due || t.ping.out {
		alive = min(alive, t.ping.since)
	}
	return alive + t.config.Silence
}

// sendPing has a ping sent, unless one is under way.
func (t *Tunnel) sendPing() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ping.due || t.ping.out {
		return
	}
	t.ping.due, t.ping.since = true, time.Since(t.born)
	t.ping.number++
	t.kick()
}

// sent notes that the ping is about to be sent.
func (p *ping) sent(now time.Duration) {
	p.due, p.out, p.since = false, true, now
}

// takePong notes the answer to the ping.
func (t *Tunnel) takePong(number uint64) error {
	if !t.ping.out || number != t.ping.number {
		return broken("a pong answers a ping")
	}
	t.ping.out = false
	took := int64(max(1, time.Since(t.born)-t.ping.since))
	if before := t.roundTrip.Load(); before != 0 {
		took = before + (took-before)/4
	}
	t.roundTrip.Store(took)
	return nil
}
