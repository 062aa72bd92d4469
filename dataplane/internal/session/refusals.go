package session

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Recorder takes the events of calls, into what a spool.Queue is.
type Recorder interface {
	// Intent records a call that is about to leave. An error means that it was
	// not recorded, and that the call must not be made. The event is the
	// caller's again afterwards.
	Intent(event *auditv1.Event) (Ticket, error)
	// Sync waits until what was recorded so far is as safe as calls of a category
	// need it to be before they leave for a server. An error means that the call
	// must not be made: the cause of ctx, if that ends first.
	Sync(ctx context.Context, category snapshotv1.Risk) error
	// Refusal records a call that was refused. An error means that it was not
	// recorded.
	Refusal(event *auditv1.Event) error
}

// Ticket takes the one result of a call whose intent was recorded. It may change
// the event, and keeps nothing of it.
type Ticket interface{ Result(event *auditv1.Event) }

// Flood control: so many refusals a second are recorded one by one, and so many
// at once. Those that nobody signed for share one allowance; each key has one for
// each kind of refusal, so that noise of one kind hides none of another.
const (
	anonymousRate  = 10
	anonymousBurst = 20
	keyRate        = 20
	keyBurst       = 200
)

// Refusals records refusals and keeps floods of them from filling the queue,
// in which calls must find room.
//
// Those beyond a rate are only counted, by kind and caller; the next that is
// recorded of the same, or at the latest Run, carries their number. The same
// happens to any that finds the queue full. Nothing else is kept, and of no more
// than maxFloods callers and kinds at a time; beyond that, callers are counted
// together, as strangers are.
type Refusals struct {
	queue   Recorder
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time

	mu        sync.Mutex
	anonymous allowance
	floods    map[flood]*counted
}

// maxFloods bounds what is kept of callers.
const maxFloods = 4096

// flood is what refusals are counted by.
type flood struct{ kind, user, application, keyID, issuer string }

// counted is what is kept of a flood.
type counted struct {
	allowance
	held uint64 // refusals that no event stands for yet
}

// allowance is a bucket of tokens. The zero allowance is full.
type allowance struct {
	spent  float64
	filled time.Time
}

// take takes a token, if one is left.
func (a *allowance) take(now time.Time, rate, burst float64) bool {
	a.spent = max(0, a.spent-rate*max(0, now.Sub(a.filled).Seconds()))
	a.filled = now
	if a.spent > burst-1 {
		return false
	}
	a.spent++
	return true
}

// idle reports whether the allowance is as good as a new one.
func (a *allowance) idle(now time.Time, rate float64) bool {
	return a.spent <= rate*now.Sub(a.filled).Seconds()
}

func newRefusals(config *Config, metrics *metrics) *Refusals {
	return &Refusals{
		queue:   config.Audit,
		metrics: metrics,
		log:     config.Log,
		now:     config.Now,
		floods:  make(map[flood]*counted),
	}
}

// record takes one refusal. Kind is one of the constants of this package or of
// package credential.
func (r *Refusals) record(kind string, event *auditv1.Event) {
	f := flood{kind, event.GetUser(), event.GetApplication(), event.GetKeyId(), event.GetIssuer()}
	suppressed, admitted := r.admit(f)
	if !admitted {
		r.metrics.folded.WithLabelValues(kind).Inc()
		return
	}
	event.Suppressed = suppressed
	r.append(f, event)
}

// append puts an event into the queue, and what it stands for back where there
// is no room.
func (r *Refusals) append(f flood, event *auditv1.Event) {
	if err := r.queue.Refusal(event); err != nil {
		r.hold(f, event.GetSuppressed()+1)
		r.metrics.unrecorded.Inc()
		r.log.Debug("a refusal could not be recorded on its own", "kind", f.kind, "error", err)
	}
}

// admit reports whether a refusal is recorded on its own, and for how many others
// its event stands. One that is not is counted.
func (r *Refusals) admit(f flood) (suppressed uint64, admitted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	as, c := r.of(f)
	if as.keyID != "" || as.issuer != "" {
		admitted = c.take(now, keyRate, keyBurst)
	} else {
		admitted = r.anonymous.take(now, anonymousRate, anonymousBurst)
	}
	switch {
	case !admitted:
		c.held++
	case as == f: // else the event of one caller would stand for those of many
		suppressed, c.held = c.held, 0
	}
	return suppressed, admitted
}

// of returns what is kept of a flood, and as which flood it is counted. Whoever
// calls it holds the lock.
func (r *Refusals) of(f flood) (as flood, c *counted) {
	if r.floods[f] == nil && len(r.floods) >= maxFloods {
		f = flood{kind: f.kind}
	}
	if r.floods[f] == nil {
		r.floods[f] = new(counted)
	}
	return f, r.floods[f]
}

func (r *Refusals) hold(f flood, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c := r.of(f)
	c.held += n
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

// flush records one event for each flood of which refusals are held back, and
// forgets those that are over.
func (r *Refusals) flush() {
	held := r.release()
	total := uint64(0)
	for f, n := range held {
		total += n
		r.append(f, &auditv1.Event{
			Kind:        auditv1.EventKind_EVENT_KIND_REFUSAL,
			CallId:      newCallID(),
			At:          timestamppb.New(r.now()),
			User:        f.user,
			Application: f.application,
			KeyId:       f.keyID,
			Issuer:      f.issuer,
			Decision:    auditv1.Decision_DECISION_DENY,
			Outcome:     auditv1.Outcome_OUTCOME_REFUSED,
			Rule:        f.kind,
			Reason:      "Refusals of this kind came too fast to be recorded one by one.",
			Suppressed:  n - 1,
		})
	}
	if total > 0 {
		r.log.Warn("refusals came too fast, or found the audit queue full, and share events", "refusals", total, "events", len(held))
	}
}

// release returns how many refusals of each flood no event stands for.
func (r *Refusals) release() map[flood]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := make(map[flood]uint64)
	now := r.now()
	for f, c := range r.floods {
		if c.held > 0 {
			held[f], c.held = c.held, 0
		}
		if c.idle(now, keyRate) {
			delete(r.floods, f)
		}
	}
	return held
}

func newCallID() []byte {
	id := make([]byte, 16)
	rand.Read(id) // never fails
	return id
}
