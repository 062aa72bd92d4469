package tunnel

import (
	"fmt"
	"runtime"
	"time"

	"google.golang.org/protobuf/proto"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// maxBatch bounds what is sent in one Frames, whatever the other end takes: what becomes ready meanwhile waits for so long. It is a
	// size of gRPC's buffers; for the next one, of 1 MiB, it clears so much memory that a call of 16 KiB costs a third more.
	maxBatch = 32 << 10
	// turn is how much one stream sends of its body before it is the next one's turn.
	turn = 16 << 10
)

// writer is what waits to be sent. It is guarded by the lock of the tunnel.
type writer struct {
	wake   chan struct{} // told that there is something
	kicked bool          // wake was told
	ready  queue         // streams with something to send
	short  queue         // streams that wait for credit of the tunnel, or for that which others leave them

	pong       uint64
	pongDue    bool
	drainDue   bool
	servers    []byte
	serversDue bool
}

func (w *writer) init() {
	w.wake = make(chan struct{}, 1)
}

// queue is a list of streams, each of which is in one queue at most.
type queue struct{ first, last *stream }

func (q *queue) push(s *stream) {
	s.queue, s.next, s.previous = q, nil, q.last
	if q.last == nil {
		q.first = s
	} else {
		q.last.next = s
	}
	q.last = s
}

func (q *queue) remove(s *stream) {
	if s.previous == nil {
		q.first = s.next
	} else {
		s.previous.next = s.next
	}
	if s.next == nil {
		q.last = s.previous
	} else {
		s.next.previous = s.previous
	}
	s.queue, s.next, s.previous = nil, nil, nil
}

func (w *writer) remove(s *stream) {
	if s.queue != nil {
		s.queue.remove(s)
	}
}

// eachWaiting calls f with each stream that was not opened yet.
func (w *writer) eachWaiting(f func(*stream)) {
	for s := w.ready.first; s != nil; {
		next := s.next
		if s.own && s.number == 0 {
			f(s)
		}
		s = next
	}
}

// restart lets the streams try again that wait for credit of the tunnel.
func (w *writer) restart() {
	for s := w.short.first; s != nil; s = w.short.first {
		w.short.remove(s)
		w.ready.push(s)
	}
}

// push has the writer see to a stream.
func (t *Tunnel) push(s *stream) {
	if t.cause != nil || s.queue == &t.writer.ready {
		return
	}
	t.writer.remove(s)
	t.writer.ready.push(s)
	t.kick()
}

// kick wakes the writer.
func (t *Tunnel) kick() {
	if !t.writer.kicked {
		t.writer.kicked = true
		t.writer.wake <- struct{}{}
	}
}

// write sends what is ready until the tunnel is lost.
func (t *Tunnel) write() {
	if err := t.carrier.send(t.hello()); err != nil {
		t.lose(lost(fmt.Errorf("send frames: %w", err)))
		return
	}
	close(t.greeted)
	select {
	case <-t.ready:
	case <-t.done:
		return
	}
	batch := make([]byte, 0, maxBatch)
	for {
		select {
		case <-t.writer.wake:
		case <-t.done:
			return
		}
		// Others who are about to call come first: what they have to send goes along.
		runtime.Gosched()
		for {
			batch = t.fill(batch[:0])
			if len(batch) == 0 {
				break
			}
			if err := t.carrier.send(batch); err != nil {
				t.lose(lost(fmt.Errorf("send frames: %w", err)))
				return
			}
		}
	}
}

// hello is the first Frames.
func (t *Tunnel) hello() []byte {
	message, err := proto.Marshal(&tunnelv1.Hello{
		MinRevision: minRevision, MaxRevision: maxRevision, Version: t.config.Version,
		MaxFrames: uint32(t.config.MaxFrames), MaxStreams: uint32(t.config.MaxStreams),
		StreamCredit: uint32(t.config.StreamCredit), TunnelCredit: uint32(t.config.TunnelCredit),
	})
	if err != nil {
		panic(err) // only for a version that is not UTF-8
	}
	return append(appendFront(nil, 0, kindHello, len(message)), message...)
}

// fill appends what is to be sent next: what is about the tunnel, and then each stream in its turn.
func (t *Tunnel) fill(b []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writer.kicked = false
	select {
	case <-t.writer.wake:
	default:
	}
	if t.cause != nil || !t.fits() {
		return b
	}
	limit := min(maxBatch, t.peer.maxFrames)
	b = t.fillTunnel(b)
	for s := t.writer.ready.first; s != nil; s = t.writer.ready.first {
		var full bool
		if b, full = s.fill(b, limit); full {
			break
		}
	}
	return b
}

// fits reports whether what this end serves can be told the other. If not, the tunnel is of no use.
func (t *Tunnel) fits() bool {
	if !t.writer.serversDue || len(t.writer.servers)+4*frameOverhead <= t.peer.maxFrames {
		return true
	}
	t.loseLocked(lost(invalid("the other end takes no Frames as large as what is announced")))
	return false
}

// fillTunnel appends what is about the tunnel itself.
func (t *Tunnel) fillTunnel(b []byte) []byte {
	w := &t.writer
	if w.pongDue {
		w.pongDue = false
		b = appendNumber(b, 0, kindPong, w.pong)
	}
	if t.ping.due {
		t.ping.sent(time.Since(t.born))
		b = appendNumber(b, 0, kindPing, t.ping.number)
	}
	if t.gauge.due() {
		owed := t.gauge.read.Load() - t.gauge.given.Load()
		t.gauge.given.Add(owed)
		t.gauge.allowed += owed
		b = appendNumber(b, 0, kindCredit, uint64(owed))
	}
	if w.drainDue {
		w.drainDue = false
		b = appendFront(b, 0, kindDrain, 0)
	}
	if w.serversDue {
		w.serversDue = false
		b = append(appendFront(b, 0, kindServers, len(w.servers)), w.servers...)
	}
	return b
}

// fill appends what the stream has to send in its turn. If there is no room for any of it the batch is full, and the stream stays first.
// Else it goes to the end of its queue, or out of it if there is nothing more that it can send.
func (s *stream) fill(b []byte, limit int) (_ []byte, full bool) {
	w := &s.t.writer
	room := limit - len(b) - s.out.head.len() - 2*frameOverhead
	if s.out.reset {
		room -= maxReason
	}
	if room < 0 && len(b) > 0 {
		return b, true
	}
	w.remove(s)
	if s.in.grant > 0 {
		b = appendNumber(b, s.wireNumber(), kindCredit, uint64(s.in.grant))
		s.in.grant = 0
	}
	if s.out.reset {
		s.out.reset = false
		s.leave()
		return appendReset(b, s.wireNumber(), s.out.code, s.out.reason), false
	}
	if !s.out.due() {
		return b, false
	}
	b, sent := s.fillPiece(b, max(0, room))
	switch {
	case s.over || !s.out.due() || s.out.credit == 0:
	case s.share() == 0:
		w.short.push(s)
	default:
		w.ready.push(s)
		return b, sent == 0 // for want of room
	}
	return b, false
}

// fillPiece appends the head, if that is due, and as much of the body as a turn, the room and the credit allow.
func (s *stream) fillPiece(b []byte, room int) (_ []byte, sent int) {
	out, t := &s.out, s.t
	n := min(out.copy.len()+len(out.lent), turn, room, int(s.share()))
	first := min(n, out.copy.len())
	second := n - first
	end := out.end && n == out.copy.len()+len(out.lent)
	if n == 0 && !end && out.kind == 0 {
		return b, 0
	}
	k, head := kindData, []byte(nil)
	if out.kind != 0 {
		k, head = out.kind, out.head.bytes
	}
	if k == kindOpen {
		t.last++
		s.number = t.last
		t.mine[s.number] = s
	}
	var a []byte
	if first > 0 {
		a = out.copy.bytes[:first]
	}
	b = appendPiece(b, s.wireNumber(), k, head, a, out.lent[:second], end)
	s.sent(first, second, end)
	return b, n
}

// sent notes that the head, and these bytes of the body, are on their way.
func (s *stream) sent(first, second int, end bool) {
	out := &s.out
	n := int64(first + second)
	out.credit -= n
	out.unread += n
	s.t.peer.credit -= n
	out.head.free()
	out.kind, out.head = 0, nil
	if first > 0 {
		s.consume(first)
	}
	if out.lent = out.lent[second:]; len(out.lent) == 0 {
		out.lent = nil
		tell(out.room)
	}
	if end {
		out.ended = true
		if !s.own {
			s.leave()
		}
	}
}

// consume takes bytes from the front of the copy.
func (s *stream) consume(n int) {
	out := &s.out
	rest := copy(out.copy.bytes, out.copy.bytes[n:])
	out.copy.bytes = out.copy.bytes[:rest]
	s.t.copied -= n
	if rest == 0 {
		out.copy.free()
		out.copy = nil
	}
}
