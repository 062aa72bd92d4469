package spool

import (
	"cmp"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// ErrFull says that the queue has no room. The call must be denied: a call without a record must not happen
// (security.md P-01, P-04).
var ErrFull = fault.New(fault.Exhausted, "the audit queue of this node is full; calls are refused until the control plane has taken the backlog")

// errTooLarge says that one event exceeds MaxEvent even when it is cut, which none does that this program makes.
var errTooLarge = fault.New(fault.Internal, "the audit event of this call is too large")

// errClosed says that the process ends.
var errClosed = fault.New(fault.Unavailable, "the audit queue of this node is closed: the node goes down")

const (
	// MaxEvent bounds one encoded event, in bytes, so that a batch always holds at least one. A larger one is cut.
	MaxEvent = 64 << 10

	// resultRoom is what a result may have on top of its intent, in bytes: outcome, latencies, and a text of ours.
	resultRoom = 512
)

// Config bounds a Queue. The zero value of each field means its default.
type Config struct {
	// Dir is where the queue lies. Empty: in memory, and it ends with the process.
	Dir string
	// Bytes is how much is held at most: encoded events, what the ring has for each beside it, and room reserved for results.
	// Default 64 MiB, which is enough for 60,000 calls and more.
	Bytes int64
	// BatchEvents and BatchBytes bound one batch. Defaults 500 and 1 MiB.
	BatchEvents int
	BatchBytes  int
	// Window is how many batches may be sent and not yet acked. Default 8.
	Window int
	// Linger is how long the pusher waits for company before it sends less than a full batch. Default 100 ms: a batch keeps one
	// processor busy for half a millisecond, which the calls that meet it notice, so they are to be few.
	Linger time.Duration
	// SyncTime is how long Sync waits at most. Default 10 s.
	SyncTime time.Duration
	// Disk makes each call of the disk for Sync, which it is given: for tests, whose disks fail or hang. Default: it does just that.
	Disk func(sync func() error) error
	// Log gets losses. Default: nowhere.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Bytes = cmp.Or(c.Bytes, 64<<20)
	c.BatchEvents = cmp.Or(c.BatchEvents, 500)
	c.BatchBytes = cmp.Or(c.BatchBytes, 1<<20)
	c.Window = cmp.Or(c.Window, 8)
	c.Linger = cmp.Or(c.Linger, 100*time.Millisecond)
	c.SyncTime = cmp.Or(c.SyncTime, 10*time.Second)
	if c.Disk == nil {
		c.Disk = func(sync func() error) error { return sync() }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Queue is a bounded queue of audit events. All methods may be used from many goroutines at once; of Push, one runs at a
// time.
type Queue struct {
	config    Config
	directory *directory // nil: in memory
	// wake tells the pusher that something was appended or acked. One token is enough: there is one pusher, and it
	// looks at everything when it wakes.
	wake chan struct{}
	// full tells a pusher that waits for company that there is enough for a batch.
	full chan struct{}

	// mu is the lock that calls take. Nothing under it encodes, hashes, waits or does I/O.
	mu       sync.Mutex
	ring     *ring
	company  int      // how many events more the pusher waits for; 0: it does not
	tickets  []Ticket // not given out yet
	events   int      // held: accepted and not acked, plus reserved
	bytes    int64    // likewise
	reserved int      // results that are still to come
	refused  uint64
	acked    time.Time     // when the last ack came
	empty    chan struct{} // closed as soon as nothing is held; nil unless Flush waits
	broken   error         // why nothing is accepted any more
	doubted  error         // why nothing is but results

	commits commits

	pushing sync.Mutex
	tails   []*tail // what earlier processes left, oldest first, and at the end that of this one
	front   atomic.Int32
}

// Epoch identifies what this process records: sequences count within it.
func (q *Queue) Epoch() uint64 { return q.ring.epoch }

// Err says why the queue accepts no call any more, or none that has to Sync for as long as the disk does not answer; nil: it does.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return cmp.Or(q.broken, q.doubted, q.slow())
}

// Ticket is the right to record the result of one call. The room for it is taken until Result is called, so every ticket
// must be used.
type Ticket struct {
	queue *Queue
	room  int64
	used  atomic.Bool
}

// Intent accepts the event of a call that is about to leave, and reserves room for its result. An error
// (ErrFull, an event that cannot be encoded, or a disk that fails) means that nothing was recorded, and the call must be
// denied.
func (q *Queue) Intent(event *auditv1.Event) (*Ticket, error) {
	s := borrowScratch()
	encoded, err := encode(s.bytes, event)
	if err != nil {
		return nil, err
	}
	defer s.giveBack(encoded)
	return q.accept(encoded, int64(len(encoded))+resultRoom, q.config.Bytes)
}

// Refusal accepts the event of a call that was refused. An error means that nothing was recorded. The last quarter of
// the queue is for calls that were let through: those who are refused cannot fill it and so have everybody refused.
func (q *Queue) Refusal(event *auditv1.Event) error {
	s := borrowScratch()
	encoded, err := encode(s.bytes, event)
	if err != nil {
		return err
	}
	defer s.giveBack(encoded)
	_, err = q.accept(encoded, 0, q.config.Bytes-q.config.Bytes/4)
	return err
}

// Result accepts the result of the call, in the room that Intent reserved. It may shorten the event's text, and keeps
// nothing of the event. It never fails: an event that cannot be encoded, or that outgrew its room, is recorded without the
// members that its intent has already. Only a disk that fails loses it, which is logged; the ledger then says "unknown" of
// the call. It is called once; a second call is a bug, is logged and changes nothing.
func (t *Ticket) Result(event *auditv1.Event) {
	if t.used.Swap(true) {
		t.queue.config.Log.Error("audit: a second result for one call is ignored", "call", event.GetCallId())
		return
	}
	s := borrowScratch()
	encoded := fit(s.bytes, event, t.room)
	if err := t.queue.settle(encoded, t.room); err != nil {
		t.queue.config.Log.Error("audit: the result of a call is lost", "call", event.GetCallId(), "error", err)
	}
	s.giveBack(encoded)
}

// accept appends an encoded event. Unless room is 0, it reserves that for an event to come, for which it returns a ticket.
// It does neither if the queue then held more than so many bytes.
func (q *Queue) accept(encoded []byte, room, bytes int64) (*Ticket, error) {
	at, sum := time.Now(), checksum(encoded)
	ticket, enough, err := q.take(encoded, sum, at, room, bytes)
	if err == nil {
		q.nudge(enough)
	}
	return ticket, err
}

// take is the part of accept that holds mu. It also reports whether the pusher waits for no more.
func (q *Queue) take(encoded []byte, sum uint32, at time.Time, room, bytes int64) (ticket *Ticket, enough bool, err error) {
	need := recordLen(int64(len(encoded)))
	if room > 0 {
		need += recordLen(room)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.broken != nil: // append says so
	case q.doubted != nil:
		return nil, false, q.doubted
	case q.bytes+need > bytes:
		q.refused++
		return nil, false, ErrFull
	}
	if err := q.append(encoded, sum, at); err != nil {
		return nil, false, err
	}
	q.events++
	q.bytes += need
	if room > 0 {
		q.events++
		q.reserved++
		ticket = q.ticket(room)
	}
	return ticket, q.joined(), nil
}

// ticketBlock is how many tickets are made at once. None is ever used again, so that a second result for one call is
// noticed however late it comes.
const ticketBlock = 64

// ticket returns a new one. The caller holds mu.
func (q *Queue) ticket(room int64) *Ticket {
	if len(q.tickets) == 0 {
		q.tickets = make([]Ticket, ticketBlock)
	}
	t := &q.tickets[0]
	q.tickets = q.tickets[1:]
	t.queue, t.room = q, room
	return t
}

// append writes an encoded event. A disk that fails breaks the queue: nobody knows what it has. The caller holds mu.
func (q *Queue) append(encoded []byte, sum uint32, at time.Time) error {
	if q.broken == nil {
		if err := q.ring.append(encoded, sum, at); err != nil {
			q.broken = broken("written", err)
		}
	}
	return q.broken
}

// fail breaks the queue, unless it is.
func (q *Queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken == nil {
		q.broken = err
	}
}

// broken is the error of a queue whose disk failed.
func broken(how string, err error) error {
	return fault.Wrap(fault.Unavailable,
		"the audit queue of this node cannot be "+how+"; calls are refused until the node is started again with a sound disk", err)
}

// joined counts an event that was appended, and reports whether it is the last of those that the pusher waits for. The
// caller holds mu.
func (q *Queue) joined() (enough bool) {
	if q.company == 0 {
		return false
	}
	q.company--
	return q.company == 0
}

// settle appends a result in the room that was reserved for it.
func (q *Queue) settle(encoded []byte, room int64) error {
	at, sum := time.Now(), checksum(encoded)
	enough, err := q.redeem(encoded, sum, at, room)
	q.nudge(enough)
	return err
}

// redeem is the part of settle that holds mu. It also reports whether the pusher waits for no more.
func (q *Queue) redeem(encoded []byte, sum uint32, at time.Time, room int64) (enough bool, err error) {
	size := recordLen(int64(len(encoded)))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved--
	q.bytes += size - recordLen(room)
	if err := q.append(encoded, sum, at); err != nil {
		q.drop(1, size)
		return false, err
	}
	return q.joined(), nil
}

// nudge wakes the pusher; if there is enough for a batch, also one that waits for company. A token that is still there
// will do.
func (q *Queue) nudge(enough bool) {
	select {
	case q.wake <- struct{}{}:
	default:
	}
	if enough {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
}

// release gives back the room of acked events.
func (q *Queue) release(events int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if events > 0 { // Else it only says how far the ledger had come.
		q.acked = time.Now()
	}
	q.drop(events, bytes)
}

// drop counts events out. The caller holds mu.
func (q *Queue) drop(events int, bytes int64) {
	q.events -= events
	q.bytes -= bytes
	if q.events == 0 && q.empty != nil {
		close(q.empty)
		q.empty = nil
	}
}

// Depth is what a Queue holds at one moment.
type Depth struct {
	// Events is how many are accepted and not acked; Reserved, how many results are still to come.
	Events   int
	Reserved int
	// Bytes counts both, with what the ring has beside each event.
	Bytes int64
	// Oldest is the age of the oldest event that is not acked; 0 if there is none.
	Oldest time.Duration
	// Refused counts the events that found the queue full, since the start.
	Refused uint64
}

// Depth returns what the queue holds, for metrics and health.
func (q *Queue) Depth() Depth {
	t := q.current()
	oldest, found := t.oldest(q.head(t))

	q.mu.Lock()
	defer q.mu.Unlock()
	d := Depth{Events: q.events - q.reserved, Reserved: q.reserved, Bytes: q.bytes, Refused: q.refused}
	if found {
		d.Oldest = max(time.Since(oldest), 0)
	}
	return d
}
