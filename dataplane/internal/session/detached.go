package session

import (
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// late is a call whose stream ended before its result, and may be resumed: its
// result is still to be recorded.
type late struct {
	ticket   Ticket
	callID   [16]byte
	trace    string
	received time.Time
	now      func() time.Time
	timer    *time.Timer

	// When the stream ended for the last time, and why. Nobody knows of the call
	// what came later.
	left time.Time
	why  string
}

// Why a stream ends before its result.
const (
	serverClosed = "the server closed its stream"
	clientLeft   = "the client went away while it read the rest of the stream"
)

// result records how the call ended in the end.
func (l *late) result(answer *upstream.Answer) { l.record(answer, l.now()) }

// record is result of a call that took until some time ago.
func (l *late) record(answer *upstream.Answer, until time.Time) {
	l.ticket.Result(&auditv1.Event{
		Kind:          auditv1.EventKind_EVENT_KIND_RESULT,
		CallId:        l.callID[:],
		At:            timestamppb.New(l.now()),
		Outcome:       answer.Outcome,
		Error:         answer.Error,
		Latency:       durationpb.New(max(0, until.Sub(l.received))),
		ServerLatency: durationpb.New(max(0, answer.ServerLatency)),
		ResponseBytes: uint64(len(answer.Body)),
		TraceId:       l.trace,
	})
}

// giveUp records that nobody asked for the rest here. The call took until its
// stream ended: the time that was waited for a client is none of its own.
func (l *late) giveUp(text string) {
	l.record(&upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_CANCELLED, Error: l.why + text}, l.left)
}

// detached are the calls that wait to be resumed, by call id. Each waits for a
// time; beyond a limit none does, and each is recorded at once as given up.
type detached struct {
	limit int

	mu    sync.Mutex
	calls map[[16]byte]*late
}

// keep waits for the client to come for the rest of a call whose stream has just
// ended, and says why it did.
func (d *detached) keep(call *late, why string, within time.Duration) {
	call.left, call.why = call.now(), why
	if !d.add(call, within) {
		call.giveUp("; whether the client resumed it is not known")
	}
}

func (d *detached) add(call *late, within time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.calls) >= d.limit {
		return false
	}
	if d.calls == nil {
		d.calls = make(map[[16]byte]*late)
	}
	d.calls[call.callID] = call
	call.timer = time.AfterFunc(within, func() {
		if expired := d.take(call.callID); expired != nil {
			expired.giveUp(", and the client did not resume it at this node")
		}
	})
	return true
}

// take hands a call to who records its result; nil if it is not here (any more).
func (d *detached) take(callID [16]byte) *late {
	d.mu.Lock()
	defer d.mu.Unlock()
	call := d.calls[callID]
	if call == nil {
		return nil
	}
	delete(d.calls, callID)
	call.timer.Stop()
	return call
}

// close gives all of them up: the node is going down.
func (d *detached) close() {
	d.mu.Lock()
	calls := d.calls
	d.calls, d.limit = nil, 0
	d.mu.Unlock()
	for _, call := range calls {
		call.timer.Stop()
		call.giveUp(", and this node ended before the client resumed it")
	}
}
