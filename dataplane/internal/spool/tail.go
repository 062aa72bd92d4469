package spool

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// tail is the pusher's end of a ring, or of a run of one that was left behind:
//
//	gone │ sent, not acked │ not sent on this stream │ head
//	     ▲ acked           ▲ sent
//
// Its lock is between the sender and the receiver of one push, and metrics; calls never take it. The chain is computed
// by the sender, under this lock and not under that of the calls.
type tail struct {
	ring  *ring
	epoch uint64 // of the chain
	base  uint64 // what the ring's sequences are more than the chain's
	// Of a run that was left behind: its end, and whether its ring has no further one.
	end  position
	last bool

	mu       sync.Mutex
	retired  bool // everything is acked, and the memory gone
	acked    checkpoint
	sent     checkpoint
	head     position     // as the pusher last saw it
	highest  uint64       // that was ever sent, as far as this process knows; by the ring's count, as all here
	marks    []checkpoint // behind each record between acked and sent
	inFlight []uint64     // the last sequence of each batch between them
}

// rewind makes the next batch start at the first event that is not acked: what was sent on an earlier stream may or may
// not have arrived.
func (t *tail) rewind() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = t.acked
	t.marks, t.inFlight = t.marks[:0], t.inFlight[:0]
}

// short reports whether the next batch may be sent and is known to hold less than it could, and the last sequence that was
// sent.
func (t *tail) short(config *Config) (sent uint64, lacks bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := int(t.head.sequence - t.sent.sequence)
	return t.sent.sequence, !t.retired && len(t.inFlight) < config.Window && known < config.BatchEvents
}

// see tells the tail how far its ring goes now.
func (t *tail) see(head position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head = head
}

// batch returns the records to send next and counts them as sent; nil if there are none or the window is closed.
func (t *tail) batch(config *Config) (records *message, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.retired || len(t.inFlight) >= config.Window || t.sent.sequence >= t.head.sequence {
		return nil, nil
	}
	failed := touching(func() { records, err = t.read(config) })
	return records, errors.Join(err, failed)
}

// read copies the next batch out of the ring, whose memory an ack may free while the batch is still on its way, and chains it.
func (t *tail) read(config *Config) (*message, error) {
	m, at, size := newMessage(t.epoch), t.sent, 0
	for n := 0; n < config.BatchEvents && at.sequence < t.head.sequence; n++ {
		found, ok := t.ring.next(at.position)
		if !ok {
			m.giveBack()
			return nil, fmt.Errorf("record %d of the audit queue cannot be read: %w", at.sequence+1, errDamaged)
		}
		if size += len(found.event); n > 0 && size > config.BatchBytes {
			break
		}
		at = at.follow(found, t.epoch, t.base)
		t.marks = append(t.marks, at)
		m.add(at.sequence-t.base, found.event, at.hash[:])
	}
	t.sent = at
	t.highest = max(t.highest, at.sequence)
	t.inFlight = append(t.inFlight, at.sequence)
	return m, nil
}

// errDamaged says that what was written is not there any more.
var errDamaged = errors.New("its checksum does not fit")

// ack forgets everything up to a sequence of the chain, and returns how many events and bytes that were. An ack that
// covers nothing new is no error; one for what was never sent is.
func (t *tail) ack(sequence uint64) (events int, bytes int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sequence += t.base
	if t.end.sequence > 0 {
		// A disk that lost power may have less than what was acked before.
		sequence = min(sequence, t.end.sequence)
	}
	if sequence > t.highest {
		return 0, 0, fmt.Errorf("ack of sequence %d, but the last one sent is %d", sequence-t.base, t.highest-t.base)
	}
	if t.retired || sequence <= t.acked.sequence {
		return 0, 0, nil
	}
	before := t.acked
	if err := t.settle(sequence); err != nil {
		return 0, 0, err
	}
	t.ring.forget(before.offset, t.acked.offset)
	if t.epoch == t.ring.epoch { // The ledger has not its own of what is behind a hole; and drops it, if that comes again.
		err = t.ring.note(&t.acked)
	}
	return int(t.acked.sequence - before.sequence), t.acked.total - before.total, err
}

// settle moves acked forward, and sent if it was behind that: the ledger may have what only an earlier stream sent.
func (t *tail) settle(sequence uint64) error {
	if n := sequence - t.acked.sequence; n <= uint64(len(t.marks)) {
		t.acked = t.marks[n-1]
		t.marks = append(t.marks[:0], t.marks[n:]...)
	} else {
		at := t.sent
		failed := touching(func() {
			for at.sequence < sequence {
				found, ok := t.ring.next(at.position)
				if !ok {
					return
				}
				at = at.follow(found, t.epoch, t.base)
			}
		})
		if failed != nil || at.sequence != sequence {
			return errors.Join(fmt.Errorf("records up to %d of the audit queue cannot be read: %w", sequence, errDamaged), failed)
		}
		t.acked, t.sent, t.marks = at, at, t.marks[:0]
	}
	n := 0
	for n < len(t.inFlight) && t.inFlight[n] <= t.acked.sequence {
		n++
	}
	t.inFlight = append(t.inFlight[:0], t.inFlight[n:]...)
	return nil
}

// oldest returns when the oldest event up to a head came that is not acked, if there is one.
func (t *tail) oldest(head position) (at time.Time, found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.retired || t.acked.sequence >= head.sequence {
		return at, false
	}
	failed := touching(func() {
		var next record
		next, found = t.ring.next(t.acked.position)
		at = next.at
	})
	return at, found && failed == nil
}

// finished reports whether everything up to a head is acked.
func (t *tail) finished(head position) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.acked.sequence >= head.sequence
}

// retire makes the tail give out nothing any more, so that its ring may go.
func (t *tail) retire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retired = true
}
