package tunnel

import "sync/atomic"

// gauge is what this end holds of what the other sent: on streams, and in bodies that are being read.
//
// Credit is given back for what was read, some at a time. An end is pressed when it holds more than a quarter of what it has room for.
// Then what was read is given back at once: the sender may be down to what is reserved for each stream (see share), and needs to know
// which ones are read.
type gauge struct {
	room     int64        // set once
	step     int64        // how much credit of a stream is given at a time; set once
	received atomic.Int64 // bytes that came, in all
	read     atomic.Int64 // bytes of these that are no longer held
	given    atomic.Int64 // bytes of these for which credit was given
	allowed  int64        // what the other end may still send; guarded by the lock of the tunnel
}

func (g *gauge) pressed() bool { return g.received.Load()-g.read.Load() > g.room/4 }

// due reports whether credit is to be given.
func (g *gauge) due() bool {
	owed := g.read.Load() - g.given.Load()
	return owed > 0 && (owed >= g.room/8 || g.pressed())
}

// let notes that n bytes are no longer held. The caller does not hold the lock.
func (t *Tunnel) let(n int) {
	if n == 0 {
		return
	}
	t.gauge.read.Add(int64(n))
	if t.gauge.due() {
		t.mu.Lock()
		t.kick()
		t.mu.Unlock()
	}
}

// letLocked is let for one who holds the lock.
func (t *Tunnel) letLocked(n int) {
	if n == 0 {
		return
	}
	t.gauge.read.Add(int64(n))
	if t.gauge.due() {
		t.kick()
	}
}

// receive notes that n bytes came for a stream, or for one that is over. Whoever becomes pressed gives back all it owes to streams that
// wait for it: they might not read again before.
func (t *Tunnel) receive(n int) error {
	if int64(n) > t.gauge.allowed {
		return broken("no more is sent than the tunnel has credit for")
	}
	t.gauge.allowed -= int64(n)
	before := t.gauge.pressed()
	t.gauge.received.Add(int64(n))
	if !before && t.gauge.pressed() {
		for _, s := range t.mine {
			s.settle()
		}
		for _, s := range t.theirs {
			s.settle()
		}
		t.kick()
	}
	return nil
}

// discard takes n bytes that nobody waits for.
func (t *Tunnel) discard(n int) error {
	if err := t.receive(n); err != nil {
		return err
	}
	t.letLocked(n)
	return nil
}

// settle gives credit for what was read of a stream, if it is time.
func (s *stream) settle() {
	in := &s.in
	if in.owed == 0 || in.end || s.err != nil {
		return
	}
	if in.owed >= s.t.gauge.step || in.buf.len() == 0 && s.t.gauge.pressed() {
		in.grant += in.owed
		in.allowed += in.owed
		in.owed = 0
		s.t.push(s)
	}
}

// share is how much a stream may send now. Half of the tunnel's credit is reserved: an even part of it for each stream that there can be.
// Of what is left of the other half no stream has more than a sixteenth. So a stream that stalls leaves most of it to others, and however
// many stall, each that does not can send its reserve, again and again as that is read.
func (s *stream) share() int64 {
	p := &s.t.peer
	want := min(int64(s.out.copy.len()+len(s.out.lent)), s.out.credit)
	free := (p.credit-p.window/2)/16 - s.out.unread
	reserved := min(p.credit, p.reserve-s.out.unread)
	share := max(0, min(want, max(free, reserved)))
	if share < want && share < p.reserve/2 {
		return 0 // not worth a frame: there will be more
	}
	return share
}

// takeCredit notes what the other end gave.
func (t *Tunnel) takeCredit(s *stream, n uint64) error {
	if n == 0 || n > maxCredit {
		return errCredit
	}
	if s == nil {
		if t.peer.credit += int64(n); t.peer.credit > maxCredit {
			return errCredit
		}
		t.writer.restart()
		t.kick()
		return nil
	}
	if s.out.credit += int64(n); s.out.credit > maxCredit {
		return errCredit
	}
	s.out.unread = max(0, s.out.unread-int64(n))
	if s.out.due() {
		t.push(s)
	}
	return nil
}

var errCredit = broken("credit is from 1 to 2 GiB")
