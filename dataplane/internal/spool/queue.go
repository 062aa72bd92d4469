package spool

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
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

const (
	// MaxEvent bounds one encoded event, in bytes, so that a batch always holds at least one. A larger one is cut.
	MaxEvent = 64 << 10

	// resultRoom is what a result may have on top of its intent, in bytes: outcome, latencies, and a text of ours.
	resultRoom = 512
)

// Config bounds a Queue. The zero value of each field means its default.
type Config struct {
	// Events is how many events are held at most, room reserved for results included. Default 65,536.
	Events int
	// Bytes is how many bytes of encoded events are held at most, reserved room included. Default 64 MiB.
	Bytes int64
	// BatchEvents and BatchBytes bound one batch. Defaults 500 and 1 MiB.
	BatchEvents int
	BatchBytes  int
	// Window is how many batches may be sent and not yet acked. Default 8.
	Window int
	// Linger is how long the pusher waits for company before it sends less than a full batch. Default 25 ms.
	Linger time.Duration
	// Log gets losses. Default: nowhere.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Events = cmp.Or(c.Events, 65_536)
	c.Bytes = cmp.Or(c.Bytes, 64<<20)
	c.BatchEvents = cmp.Or(c.BatchEvents, 500)
	c.BatchBytes = cmp.Or(c.BatchBytes, 1<<20)
	c.Window = cmp.Or(c.Window, 8)
	c.Linger = cmp.Or(c.Linger, 25*time.Millisecond)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Queue is a bounded queue of audit events in memory. All methods may be used from many goroutines at once; of Push, one
// runs at a time.
type Queue struct {
	config Config
	epoch  uint64
	start  time.Time
	// wake tells the pusher that something was appended or acked. One token is enough: there is one pusher, and it
	// looks at everything when it wakes.
	wake chan struct{}
	// full tells a pusher that waits for company that there is enough for a batch.
	full chan struct{}

	// mu is the lock that calls take. Nothing under it encodes, hashes, waits or does I/O.
	mu       sync.Mutex
	fresh    backlog
	arena    arena    // of what is in fresh, and after that in the tail
	tickets  []Ticket // not given out yet
	events   int      // held: accepted and not acked, plus reserved
	bytes    int64    // likewise
	reserved int      // results that are still to come
	refused  uint64
	acked    time.Time     // when the last ack came
	empty    chan struct{} // closed as soon as nothing is held; nil unless Flush waits

	pushing sync.Mutex
	tail    tail
}

// New returns an empty queue with a new epoch.
func New(config Config) *Queue {
	epoch := newEpoch()
	return &Queue{
		config: config.withDefaults(),
		epoch:  epoch,
		start:  time.Now(),
		wake:   make(chan struct{}, 1),
		full:   make(chan struct{}, 1),
		tail:   tail{epoch: epoch},
	}
}

// newEpoch returns a random number other than 0, so that no sequence of an earlier queue is ever meant.
func newEpoch() uint64 {
	for {
		var raw [8]byte
		rand.Read(raw[:]) // never fails
		if epoch := binary.LittleEndian.Uint64(raw[:]); epoch != 0 {
			return epoch
		}
	}
}

// Epoch identifies this queue: sequences count within it.
func (q *Queue) Epoch() uint64 { return q.epoch }

// Ticket is the right to record the result of one call. The room for it is taken until Result is called, so every ticket
// must be used.
type Ticket struct {
	queue *Queue
	room  int64
	used  atomic.Bool
}

// Intent accepts the event of a call that is about to leave, and reserves room for its result. An error
// (ErrFull, or an event that cannot be encoded) means that nothing was recorded, and the call must be denied.
func (q *Queue) Intent(event *auditv1.Event) (*Ticket, error) {
	s := borrowScratch()
	encoded, err := encode(s.bytes, event)
	if err != nil {
		return nil, err
	}
	defer s.giveBack(encoded)
	room := int64(len(encoded)) + resultRoom
	return q.accept(encoded, 1, room, q.config.Events, q.config.Bytes)
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
	_, err = q.accept(encoded, 0, 0, q.config.Events-q.config.Events/4, q.config.Bytes-q.config.Bytes/4)
	return err
}

// Result accepts the result of the call, in the room that Intent reserved. It may shorten the event's text, and keeps
// nothing of the event. It never fails: an event that cannot be encoded, or that outgrew its room, is recorded without the
// members that its intent has already. It is called once; a second call is a bug, is logged and changes nothing.
func (t *Ticket) Result(event *auditv1.Event) {
	if t.used.Swap(true) {
		t.queue.config.Log.Error("audit: a second result for one call is ignored", "call", event.GetCallId())
		return
	}
	s := borrowScratch()
	encoded := fit(s.bytes, event, t.room)
	t.queue.settle(encoded, t.room)
	s.giveBack(encoded)
}

// accept appends a copy of an encoded event, and reserves room for further events, for which it returns a ticket, unless
// the queue then held more than so many events or bytes.
func (q *Queue) accept(encoded []byte, reserve int, room int64, events int, bytes int64) (ticket *Ticket, err error) {
	at := time.Since(q.start)
	size := int64(len(encoded))

	q.mu.Lock()
	if q.events+1+reserve > events || q.bytes+size+room > bytes {
		q.refused++
		q.mu.Unlock()
		return nil, ErrFull
	}
	q.events += 1 + reserve
	q.reserved += reserve
	q.bytes += size + room
	if reserve > 0 {
		ticket = q.ticket(room)
	}
	enough := q.append(encoded, at)
	q.mu.Unlock()

	q.nudge(enough)
	return ticket, nil
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

// append keeps a copy of an encoded event for the pusher, and reports whether there is just now enough for a batch. The
// caller holds mu.
func (q *Queue) append(encoded []byte, at time.Duration) (enough bool) {
	q.fresh.append(entry{q.arena.keep(encoded), at})
	return q.fresh.len() == q.config.BatchEvents
}

// settle appends a result in the room that was reserved for it.
func (q *Queue) settle(encoded []byte, room int64) {
	at := time.Since(q.start)

	q.mu.Lock()
	q.reserved--
	q.bytes += int64(len(encoded)) - room
	enough := q.append(encoded, at)
	q.mu.Unlock()

	q.nudge(enough)
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

// take hands everything fresh to the pusher.
func (q *Queue) take() backlog {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.fresh
	q.fresh = backlog{}
	return taken
}

// waiting returns how many events the pusher could take.
func (q *Queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fresh.len()
}

// release gives back the room of acked events.
func (q *Queue) release(events int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events -= events
	q.bytes -= bytes
	q.acked = time.Now()
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
	// Bytes counts both: encoded events and reserved room.
	Bytes int64
	// Oldest is the age of the oldest event that is not acked; 0 if there is none.
	Oldest time.Duration
	// Refused counts the events that found the queue full, since the start.
	Refused uint64
}

// Depth returns what the queue holds, for metrics and health.
func (q *Queue) Depth() Depth {
	now := time.Since(q.start)
	oldest, found := q.tail.oldest()

	q.mu.Lock()
	defer q.mu.Unlock()
	if !found {
		oldest, found = q.fresh.oldest()
	}
	d := Depth{Events: q.events - q.reserved, Reserved: q.reserved, Bytes: q.bytes, Refused: q.refused}
	if found {
		d.Oldest = max(now-oldest, 0)
	}
	return d
}
