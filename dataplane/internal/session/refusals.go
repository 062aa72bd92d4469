package session

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// Recorder takes the events of calls, as spool.Queue does.
type Recorder interface {
	// Intent records a call that is about to leave. An error means that it was
	// not recorded, and that the call must not be made. The event is the
	// caller's again afterwards.
	Intent(event *auditv1.Event) (Ticket, error)
	// Refusal records a call that was refused. An error means that it was not
	// recorded.
	Refusal(event *auditv1.Event) error
}

// Ticket takes the one result of a call whose intent was recorded.
type Ticket interface{ Result(event *auditv1.Event) }

// Flood control of refusals that nobody signed for: so many a second are
// recorded one by one, and so many at once.
const (
	anonymousRate  = 10
	anonymousBurst = 20
)

// Refusals records refusals and keeps floods of them from filling the queue,
// in which calls must find room.
//
// A refusal of a caller who showed a valid key is always recorded on its own.
// Of the others, those beyond a rate are only counted, by kind; the next that is
// recorded of the kind, or at the latest Run, carries their number. The same
// happens to any that finds the queue full. Nothing else is kept, so its memory
// is bounded by the number of kinds.
type Refusals struct {
	queue   Recorder
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time

	mu     sync.Mutex
	tokens float64
	filled time.Time
	held   map[string]uint64 // by kind: refusals that no event stands for yet
}

func newRefusals(config *Config, metrics *metrics) *Refusals {
	return &Refusals{
		queue:   config.Audit,
		metrics: metrics,
		log:     config.Log,
		now:     config.Now,
		tokens:  anonymousBurst,
		filled:  config.Now(),
		held:    make(map[string]uint64),
	}
}

// record takes one refusal. Kind is one of the constants of this package or of
// package credential.
func (r *Refusals) record(kind string, event *auditv1.Event) {
	if event.GetKeyId() == "" && !r.admit() {
		r.hold(kind, 1)
		r.metrics.folded.WithLabelValues(kind).Inc()
		return
	}
	event.Suppressed = r.release(kind)
	r.append(kind, event)
}

// append puts an event into the queue, and what it stands for back where there
// is no room.
func (r *Refusals) append(kind string, event *auditv1.Event) {
	err := r.queue.Refusal(event)
	if err == nil {
		return
	}
	r.hold(kind, event.GetSuppressed()+1)
	r.metrics.unrecorded.Inc()
	r.log.Warn("a refusal could not be recorded on its own", "kind", kind, "error", err)
}

// admit takes a token from the bucket, which fills at anonymousRate.
func (r *Refusals) admit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.tokens = min(anonymousBurst, r.tokens+anonymousRate*max(0, now.Sub(r.filled).Seconds()))
	r.filled = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

func (r *Refusals) hold(kind string, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[kind] += n
}

func (r *Refusals) release(kind string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.held[kind]
	delete(r.held, kind)
	return n
}

// flushInterval is how long a refusal may wait for an event to stand for it.
const flushInterval = 5 * time.Second

// Run records from time to time what is still counted only, until ctx ends, and
// once more then.
func (r *Refusals) Run(ctx context.Context) {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.flush()
		case <-ctx.Done():
			r.flush()
			return
		}
	}
}

// flush records one event for each kind of which refusals are held back.
func (r *Refusals) flush() {
	r.mu.Lock()
	held := r.held
	r.held = make(map[string]uint64)
	r.mu.Unlock()
	for kind, n := range held {
		r.append(kind, &auditv1.Event{
			Kind:       auditv1.EventKind_EVENT_KIND_REFUSAL,
			CallId:     newCallID(),
			At:         timestamppb.New(r.now()),
			Decision:   auditv1.Decision_DECISION_DENY,
			Outcome:    auditv1.Outcome_OUTCOME_REFUSED,
			Rule:       kind,
			Reason:     "Refusals of this kind came too fast to be recorded one by one.",
			Suppressed: n - 1,
		})
	}
}

func newCallID() []byte {
	id := make([]byte, 16)
	rand.Read(id) // never fails
	return id
}
