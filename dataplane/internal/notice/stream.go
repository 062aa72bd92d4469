package notice

import (
	"context"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// hearingPatience is how long the acknowledgement of a modern client's stream waits for its servers to be heard. With them
// it says that nothing is missed from there on; a slow server does not hold it up for longer.
const hearingPatience = 250 * time.Millisecond

// reason is why a stream ended; it is a label of a metric.
type reason string

const (
	closedByClient  reason = "client"    // it hung up, or could not be written to
	closedDrain     reason = "drain"     // the node goes down
	closedRevoked   reason = "revoked"   // the key or token is no longer good, or somebody else's now, or its user or application is denied
	closedExpired   reason = "expired"   // the key or token has expired
	closedSession   reason = "session"   // the session was ended or has expired
	closedInvisible reason = "invisible" // the server of the route is gone, or hidden from the caller
	closedSlow      reason = "slow"      // the queue was full
)

// text says to a client why its stream ended.
func (r reason) text() string {
	switch r {
	case closedRevoked:
		return "The credential of this stream is no longer valid"
	case closedExpired:
		return "The credential of this stream has expired"
	case closedSession:
		return "The session has ended"
	case closedInvisible:
		return "Unknown server"
	case closedSlow:
		return "Messages came faster than they were taken; listen again"
	}
	return "The stream has ended"
}

// fault is why a stream is not opened.
func (r reason) fault() error {
	switch r {
	case closedRevoked, closedExpired:
		return fault.New(fault.Unauthenticated, r.text())
	}
	return fault.New(fault.NotFound, r.text())
}

// code is that of the JSON-RPC error that ends a modern client's stream: the one that the client's next request would get.
func (r reason) code() int {
	switch r {
	case closedRevoked, closedExpired:
		return mcp.CodeUnauthenticated
	case closedInvisible:
		return mcp.CodeInvalidParams
	}
	return mcp.CodeUnavailable
}

// stream is an open subscription. Open's goroutine writes; everybody else puts messages into the queue, or closes.
//
// Fields below sweeping are guarded by Board.sweeping.
type stream struct {
	board    *Board
	sub      *Subscription
	callerID string
	queue    queue

	once    sync.Once
	closing chan struct{} // closed once why is set
	why     reason

	// sweeping
	caller    *credential.Caller // of the index that was looked at last
	told      gate.View          // the lists as the client was told of them
	lists     kinds              // of which changes are told
	resources []resource         // a modern client's, as honoured
	hearings  map[string]*hearing
	shared    map[string]*sharedHearing
}

// resource is one that is listened to.
type resource struct {
	server string // slug
	uri    string // as the server knows it
	client string // as the client wrote it
}

func newStream(b *Board, sub *Subscription) *stream {
	return &stream{
		board:    b,
		sub:      sub,
		callerID: sub.Caller.ID,
		queue:    queue{wake: make(chan struct{}, 1)},
		closing:  make(chan struct{}),
	}
}

// close ends the stream; the first reason counts.
func (s *stream) close(why reason) {
	s.once.Do(func() {
		s.why = why
		close(s.closing)
	})
}

func (s *stream) isClosed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// reason is why the stream was closed; it is only to be asked of one that was.
func (s *stream) reason() reason {
	<-s.closing
	return s.why
}

// send writes one message, unless the stream was closed. It reports whether the stream goes on.
func (s *stream) send(out Stream, message []byte) bool {
	if s.isClosed() {
		s.farewell(out)
		return false
	}
	if err := out.Send(message, "", 0); err != nil {
		s.close(closedByClient)
		return false
	}
	return true
}

// serve writes what comes until the stream ends.
func (s *stream) serve(ctx context.Context, out Stream) {
	timer := time.NewTimer(time.Until(s.expiry()))
	defer timer.Stop()
	for {
		for message := range s.queue.take(s.listChanged) {
			if !s.send(out, message) {
				return
			}
			s.board.metrics.messages.Inc()
		}
		select {
		case <-ctx.Done():
			s.close(closedByClient)
			return
		case <-s.closing:
			s.farewell(out)
			return
		case <-s.queue.wake:
		case <-timer.C:
			s.board.recheck(s)
			timer.Reset(max(time.Until(s.expiry()), time.Second))
		}
	}
}

// farewell writes the last message, if the client's era has one for why the stream ends.
func (s *stream) farewell(out Stream) {
	why := s.reason()
	if s.sub.Era != mcp.Modern || why == closedByClient {
		return
	}
	last := s.gracefulResult()
	if why != closedDrain {
		last = mcp.WriteError(nil, s.sub.ID, why.code(), why.text(), nil)
	}
	// A client that cannot be written to has gone.
	_ = out.Send(last, "", 0)
}

// never is an expiry for those that do not expire.
const never = 365 * 24 * time.Hour

// expiry returns when the right to the stream has to be looked at, whatever else happens.
func (s *stream) expiry() time.Time {
	s.board.sweeping.Lock()
	defer s.board.sweeping.Unlock()
	at := time.Now().Add(never)
	if caller := s.caller; caller != nil && !caller.Expires.IsZero() && caller.Expires.Before(at) {
		at = caller.Expires
	}
	if session := s.sub.Session; session != nil && session.Expires.Before(at) {
		at = session.Expires
	}
	return at
}

// lost returns why the caller has no right to the stream any more, or "". The caller holds sweeping.
func (s *stream) lost(index *gate.Index, now time.Time) reason {
	caller, why := s.right(index, now)
	if why == "" {
		s.caller = caller
	}
	return why
}

// right returns the caller as an index has him, and why the caller has no right to the stream by it, or "". It needs no lock:
// it goes by the index and by what never changes of the stream.
func (s *stream) right(index *gate.Index, now time.Time) (*credential.Caller, reason) {
	caller := index.Credentials().Renew(s.sub.Caller, now)
	switch {
	case caller == nil && s.sub.Caller.Token() && s.sub.Caller.Expired(now):
		return nil, closedExpired
	case caller == nil || !sameOwner(caller, s.sub.Caller):
		return nil, closedRevoked
	case caller.Expired(now):
		return nil, closedExpired
	}
	if session := s.sub.Session; session != nil && (!now.Before(session.Expires) || s.board.ended.has(session.ID)) {
		return nil, closedSession
	}
	if index.Profile(caller).Refused() {
		return nil, closedRevoked
	}
	if s.sub.Server == "" {
		return caller, ""
	}
	if server, ok := index.Server(s.sub.Server); !ok || !index.Profile(caller).Sees(server) {
		return nil, closedInvisible
	}
	return caller, ""
}

func sameOwner(a, b *credential.Caller) bool {
	return a.Principal.User == b.Principal.User && a.Principal.Application == b.Principal.Application
}

// scope returns the server of the route; nil on the aggregate.
func (s *stream) scope(index *gate.Index) *gate.Server {
	if s.sub.Server == "" {
		return nil
	}
	server, _ := index.Server(s.sub.Server)
	return server
}
