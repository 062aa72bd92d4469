package spool

import (
	"fmt"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/audit"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// tail is the pusher's end of a queue:
//
//	taken (no sequence yet) ──batch──▶ unacked: [ sent │ to be sent again ] ──ack──▶ gone
//
// Its lock is between the sender and the receiver of one push, and metrics; calls never take it. The chain is computed
// by the sender, under this lock and not under that of the calls.
type tail struct {
	epoch uint64 // immutable

	mu    sync.Mutex
	taken backlog

	unacked  []numbered // sequences acked+1 to sequence
	acked    uint64     // the last sequence that the control plane committed
	sent     uint64     // the last sequence sent on this stream; at least acked
	sequence uint64     // the last sequence given
	hash     []byte     // of the record with that sequence; nil before the first
	inFlight []uint64   // the last sequence of each batch sent on this stream and not acked
}

// numbered is an event with its place in the chain.
type numbered struct {
	record *auditv1.Record
	at     time.Duration
}

// rewind makes the next batch start at the first event that is not acked: what was sent on an earlier stream may or may
// not have arrived.
func (t *tail) rewind() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = t.acked
	t.inFlight = t.inFlight[:0]
}

// mayFill reports whether the next batch must come from fresh events, and may be sent now.
func (t *tail) mayFill(window int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.inFlight) < window && t.sent == t.sequence && t.taken.len() == 0
}

// fill takes everything fresh from the queue.
func (t *tail) fill(q *Queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken.len() == 0 {
		t.taken = q.take()
	}
}

// batch returns the records to send next and counts them as sent; nil if there are none or the window is closed.
func (t *tail) batch(config *Config) []*auditv1.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.inFlight) >= config.Window {
		return nil
	}
	records := t.again(config)
	if records == nil {
		records = t.fresh(config)
	}
	if records == nil {
		return nil
	}
	t.sent = records[len(records)-1].Sequence
	t.inFlight = append(t.inFlight, t.sent)
	return records
}

// again returns what was sent on an earlier stream and is not acked.
func (t *tail) again(config *Config) []*auditv1.Record {
	var records []*auditv1.Record
	size := 0
	for _, n := range t.unacked[t.sent-t.acked:] {
		size += len(n.record.Event)
		if len(records) == config.BatchEvents || (len(records) > 0 && size > config.BatchBytes) {
			break
		}
		records = append(records, n.record)
	}
	return records
}

// fresh numbers and chains what was taken.
func (t *tail) fresh(config *Config) []*auditv1.Record {
	n := min(t.taken.len(), config.BatchEvents)
	if n == 0 {
		return nil
	}
	// One allocation for all records of the batch, and one for their hashes, rather than one each.
	block, hashes := make([]auditv1.Record, n), make([]byte, 0, n*audit.HashSize)
	records := make([]*auditv1.Record, 0, n)
	for size := 0; len(records) < n; t.taken.pop() {
		e := t.taken.front()
		size += len(e.event)
		if len(records) > 0 && size > config.BatchBytes {
			break
		}
		record := &block[len(records)]
		hashes = t.number(record, e, hashes)
		records = append(records, record)
	}
	return records
}

// number gives an event the next sequence and the next link of the chain, which it appends to hashes.
func (t *tail) number(record *auditv1.Record, e entry, hashes []byte) []byte {
	t.sequence++
	record.Sequence = t.sequence
	record.Event = e.event
	at := len(hashes)
	hashes = audit.AppendChain(hashes, t.hash, t.epoch, t.sequence, e.event)
	record.Hash = hashes[at:len(hashes):len(hashes)]
	t.hash = record.Hash
	t.unacked = append(t.unacked, numbered{record, e.at})
	return hashes
}

// ack forgets everything up to sequence, and returns how many events and bytes that were. An ack that covers nothing new
// is no error; one for what was never sent is.
func (t *tail) ack(sequence uint64) (events int, bytes int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sequence > t.sequence {
		return 0, 0, fmt.Errorf("ack of sequence %d, but the last one sent is %d", sequence, t.sequence)
	}
	if sequence <= t.acked {
		return 0, 0, nil
	}
	events = int(sequence - t.acked)
	for i := range t.unacked[:events] {
		bytes += int64(len(t.unacked[i].record.Event))
		t.unacked[i] = numbered{}
	}
	t.unacked = t.unacked[events:]
	t.acked = sequence
	t.sent = max(t.sent, sequence)
	t.settleWindow()
	return events, bytes, nil
}

// settleWindow drops the batches that are acked whole.
func (t *tail) settleWindow() {
	n := 0
	for n < len(t.inFlight) && t.inFlight[n] <= t.acked {
		n++
	}
	t.inFlight = append(t.inFlight[:0], t.inFlight[n:]...)
}

// oldest returns when the oldest event that is not acked came, if the pusher holds one.
func (t *tail) oldest() (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.unacked) > 0 {
		return t.unacked[0].at, true
	}
	return t.taken.oldest()
}
