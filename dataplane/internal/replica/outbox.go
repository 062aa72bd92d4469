package replica

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// maxChanged bounds the hints that wait to be sent: one for each server. A hint more is dropped.
	maxChanged = 256
	// maxEnded bounds the ended sessions that wait to be confirmed. One more stays known to this node alone.
	maxEnded = 1 << 16
	// endedChunk is how many of them one message carries: about 130 KiB.
	endedChunk = 4096
	// repeatEnded is how often what is not confirmed is said again.
	repeatEnded = 30 * time.Second
	// tellDemand is how often the control plane is told what calls ask of limits.
	tellDemand = time.Second
)

// ServerChanged tells the control plane that a server announced new lists. It is a hint: without a stream, and behind too
// many others, it is dropped. It does not block.
func (r *Replica[I]) ServerChanged(server string) { r.outbox.serverChanged(server) }

// EndSession tells the control plane, and through it all nodes, that a client ended a session that would have lived until
// expires. It is kept in memory and said again, also on the next stream, until the control plane has confirmed it. It does
// not block.
func (r *Replica[I]) EndSession(id [16]byte, expires time.Time) { r.outbox.endSession(id, expires) }

// outbox is what the node has to say of its own accord.
type outbox struct {
	log *slog.Logger
	// wake says that something waits to be sent. Capacity 1.
	wake chan struct{}

	mu        sync.Mutex
	connected bool
	changed   map[string]struct{}
	ended     map[[16]byte]*ending
	full      bool // and said so
	attached  bool // which agents are attached is to be said
}

// ending is an ended session that the control plane has not confirmed.
type ending struct {
	expires time.Time
	sent    bool
}

func newOutbox(log *slog.Logger) *outbox {
	return &outbox{log: log, wake: make(chan struct{}, 1), changed: make(map[string]struct{}), ended: make(map[[16]byte]*ending)}
}

// AttachedChanged has the control plane told which agents are attached, now and in all. It does not block.
func (r *Replica[I]) AttachedChanged() { r.outbox.attachedChanged() }

func (o *outbox) attachedChanged() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attached = true
	o.poke()
}

// takeAttached reports whether it is to be said which agents are attached.
func (o *outbox) takeAttached() (due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	due, o.attached = o.attached, false
	return due
}

func (o *outbox) serverChanged(server string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.connected || len(o.changed) >= maxChanged {
		return
	}
	o.changed[server] = struct{}{}
	o.poke()
}

func (o *outbox) endSession(id [16]byte, expires time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ended) >= maxEnded {
		o.forget(time.Now())
	}
	if len(o.ended) >= maxEnded {
		if !o.full {
			o.log.Error("too many ended sessions wait for the control plane; further ones are refused by this node only", "waiting", len(o.ended))
		}
		o.full = true
		return
	}
	o.ended[id] = &ending{expires: expires}
	o.poke()
}

// confirm forgets a session that the control plane has told everybody.
func (o *outbox) confirm(id [16]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ended, id)
	o.full = false
}

// connect begins a stream: hints are past, and what is not confirmed is said again.
func (o *outbox) connect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.connected = true
	o.attached = true
	clear(o.changed)
	o.rewind()
}

func (o *outbox) disconnect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.connected = false
}

// repeat lets everything that is not confirmed be said again.
func (o *outbox) repeat() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rewind()
}

// rewind is repeat for who holds the lock.
func (o *outbox) rewind() {
	o.forget(time.Now())
	for _, e := range o.ended {
		e.sent = false
	}
	o.poke()
}

// forget drops sessions that have expired anyhow. The caller holds the lock.
func (o *outbox) forget(now time.Time) {
	maps.DeleteFunc(o.ended, func(_ [16]byte, e *ending) bool { return !now.Before(e.expires) })
}

// poke wakes the sender. The caller holds the lock.
func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default: // Woken already.
	}
}

// take returns the next message to send, or nil.
func (o *outbox) take() *syncv1.SyncRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	for server := range o.changed {
		delete(o.changed, server)
		return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_ServerChanged{ServerChanged: &syncv1.ServerChanged{Server: server}}}
	}
	var sessions []*syncv1.EndedSession
	for id, e := range o.ended {
		if e.sent {
			continue
		}
		e.sent = true
		sessions = append(sessions, &syncv1.EndedSession{Id: id[:], ExpiresAt: timestamppb.New(e.expires)})
		if len(sessions) == endedChunk {
			break
		}
	}
	if sessions == nil {
		return nil
	}
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_EndedSessions{EndedSessions: &syncv1.EndedSessions{Sessions: sessions}}}
}

// speak sends answers, and what waits in the outbox, until ctx ends, the stream breaks, or drains is closed. It is the only
// one that sends.
func (r *Replica[I]) speak(ctx context.Context, stream stream, answers <-chan *syncv1.SyncRequest, drains <-chan struct{}) error {
	r.outbox.connect()
	defer r.outbox.disconnect()
	ticker := time.NewTicker(repeatEnded)
	defer ticker.Stop()
	demand := time.NewTicker(tellDemand)
	defer demand.Stop()
	for {
		select {
		case answer := <-answers:
			if err := stream.Send(answer); err != nil {
				return err
			}
		case <-r.outbox.wake:
			if err := r.empty(stream, answers); err != nil {
				return err
			}
		case <-ticker.C:
			r.outbox.repeat()
		case <-demand.C:
			if err := r.tell(stream); err != nil {
				return err
			}
		case <-drains:
			return ErrDrains
		case <-ctx.Done():
			return nil
		}
	}
}

// tell says what calls ask of limits, if they ask anything.
func (r *Replica[I]) tell(stream stream) error {
	if r.config.Demand == nil {
		return nil
	}
	demand := r.config.Demand()
	if demand == nil {
		return nil
	}
	return stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Demand{Demand: demand}})
}

// empty sends what waits in the outbox. An answer goes first: the control plane waits for it.
func (r *Replica[I]) empty(stream stream, answers <-chan *syncv1.SyncRequest) error {
	for {
		var next *syncv1.SyncRequest
		select {
		case next = <-answers:
		default:
			next = r.next()
		}
		if next == nil {
			return nil
		}
		if err := stream.Send(next); err != nil {
			return err
		}
	}
}

// next returns what is to be said next, or nil.
func (r *Replica[I]) next() *syncv1.SyncRequest {
	if r.outbox.takeAttached() && r.config.Attached != nil {
		return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Attached{Attached: r.config.Attached()}}
	}
	return r.outbox.take()
}

// hear passes on sessions that ended, here or at another node.
func (r *Replica[I]) hear(ended *syncv1.EndedSessions) {
	for _, session := range ended.GetSessions() {
		if len(session.GetId()) != 16 || session.GetExpiresAt().CheckValid() != nil {
			r.config.Log.Error("the control plane named an ended session that cannot be one; it is ignored")
			continue
		}
		id := [16]byte(session.GetId())
		if r.config.SessionEnded != nil {
			r.config.SessionEnded(id, session.GetExpiresAt().AsTime())
		}
		r.outbox.confirm(id)
	}
}
