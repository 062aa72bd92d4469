package notice

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
)

// Upstream hears servers, as upstream.Pool does.
type Upstream interface {
	// Listen passes on what one server says unasked, until ctx ends.
	Listen(ctx context.Context, listen *upstream.Listen, sink upstream.Sink) error
}

// Stream is a client's end. Its owner frames messages, keeps the connection alive and bounds the time of a write.
type Stream interface {
	// Send writes one JSON-RPC message; id and retry are those of the event, empty and 0 for none. It keeps nothing of the
	// message. An error means that the client is gone. It is called by one goroutine, that of Open.
	Send(message []byte, id string, retry time.Duration) error
}

// Config is what a Board needs.
type Config struct {
	Upstream Upstream
	// Current returns what the node knows; never nil while streams are open.
	Current func() *gate.Index
	// Changed is told the slug of a server that announced new lists, at most once per server and moment. Nil if the
	// Upstream says so itself.
	Changed    func(server string)
	Log        *slog.Logger
	Registerer prometheus.Registerer

	// Streams bounds the open streams of the node; one more is refused. Default 10,000.
	Streams int
	// StreamsPerKey bounds those of one API key. Default 64.
	StreamsPerKey int
	// Sessions bounds how many sessions have facts here; the one not used for longest is forgotten. Default 100,000.
	Sessions int
	// Ended bounds the set of ended sessions; beyond, the ones that would expire soonest make room. Default 1,000,000.
	Ended int
}

func (c Config) withDefaults() Config {
	c.Streams = cmp.Or(c.Streams, 10_000)
	c.StreamsPerKey = cmp.Or(c.StreamsPerKey, 64)
	c.Sessions = cmp.Or(c.Sessions, 100_000)
	c.Ended = cmp.Or(c.Ended, 1_000_000)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Subscription is what one client listens to. Nothing in it is changed after Open was called.
type Subscription struct {
	// Caller is whose stream it is; of the table of the current index.
	Caller *credential.Caller
	// Server is the slug of the route /mcp/{server}; empty on the aggregate.
	Server string
	Era    mcp.Era

	// Filter is what a modern client asked for, with URIs as the client writes them.
	Filter mcp.ListenFilter
	// ID is the raw id of a modern client's subscriptions/listen.
	ID []byte

	// Session is the legacy client's.
	Session *handle.Session
	// Client is what the client says of itself, for conditions of the policy.
	Client policy.Client

	// Permit decides and audits what a server asks of the client outside of a call; nil refuses everything.
	Permit func(server *gate.Server, method string, params []byte) *mcp.Error
	// Relay returns a server's request as the client gets it, with an id, raw, that leads the answer back. Nil
	// refuses everything. It owns nothing of the request; the caller owns what it returns.
	Relay func(server *gate.Server, request *upstream.ServerRequest) (message, id []byte, err error)

	// Opened, unless nil, is called by Open as soon as the stream has its place, before anything is sent.
	Opened func()
}

// Board holds the open streams of a node. It is safe for concurrent use.
type Board struct {
	config  Config
	metrics *metrics
	ended   endedSet
	facts   factTable

	// sweeping is held while streams are compared with what the node knows; always taken before mu.
	sweeping sync.Mutex

	mu        sync.Mutex
	draining  bool
	streams   map[*stream]struct{}
	perCaller map[string]int            // by Caller.ID
	sessions  map[[16]byte][]*stream    // of legacy sessions; the last one speaks
	shared    map[string]*sharedHearing // by slug
	patrol    *time.Timer               // runs while streams are open
	sweepDue  bool                      // a sweep is about to begin

	// What the next telling says.
	due       map[*stream]kinds   // list changes
	announced map[string]struct{} // slugs of servers that announced some
	compare   bool                // whether views have to be compared
	telling   *time.Timer         // runs while there is something to tell
}

// New returns a board without streams.
func New(config Config) *Board {
	b := &Board{
		config:    config.withDefaults(),
		streams:   make(map[*stream]struct{}),
		perCaller: make(map[string]int),
		sessions:  make(map[[16]byte][]*stream),
		shared:    make(map[string]*sharedHearing),

		due:       make(map[*stream]kinds),
		announced: make(map[string]struct{}),
	}
	b.metrics = newMetrics(b.config.Registerer, b.open)
	b.ended.init(b.config.Ended)
	b.facts.init(b.config.Sessions)
	return b
}

// open returns the number of open streams.
func (b *Board) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams)
}

// Open serves one stream until it ends: the client goes (ctx, or a failed Send), the node drains, or the right to the
// stream ends. Why it ended was told to the client as far as its era has words for it, and Open returns nil. An error
// means that nothing was sent: its kind says why (Exhausted: too many streams; Unavailable: draining; Unauthenticated: the
// key is gone; NotFound: session ended or server not visible) and its text is safe for the client.
func (b *Board) Open(ctx context.Context, sub *Subscription, out Stream) error {
	s := newStream(b, sub)
	if err := b.admit(s); err != nil {
		return err
	}
	defer b.leave(s)
	if sub.Opened != nil {
		sub.Opened()
	}
	if sub.Era == mcp.Modern {
		s.awaitHearings(ctx)
		if !s.send(out, s.acknowledgement()) {
			return nil
		}
	}
	s.serve(ctx, out)
	return nil
}

// admit takes a place for the stream and begins to hear its servers.
func (b *Board) admit(s *stream) error {
	b.sweeping.Lock()
	defer b.sweeping.Unlock()
	index := b.config.Current()
	if index == nil {
		return fault.New(fault.Unavailable, "the node has no snapshot yet")
	}
	if reason := s.lost(index, b.now()); reason != "" {
		return reason.fault()
	}
	older, err := b.enter(s)
	if err != nil {
		return err
	}
	if s.sub.Session != nil && b.ended.has(s.sub.Session.ID) {
		s.close(closedSession) // between the look above and being filed
	}
	s.told = index.Profile(s.caller).View(s.scope(index))
	s.honour(index)
	if older != nil {
		older.silence()
	}
	s.hear(index)
	return nil
}

// enter files the stream, if there is room. It returns the stream of the same session that is silent from now on.
func (b *Board) enter(s *stream) (older *stream, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.draining:
		return nil, fault.New(fault.Unavailable, "the node is going down")
	case len(b.streams) >= b.config.Streams:
		return nil, fault.New(fault.Exhausted, "this node has as many open streams as it may have")
	case b.perCaller[s.callerID] >= b.config.StreamsPerKey:
		return nil, fault.New(fault.Exhausted, "this key has as many open streams as it may have")
	}
	b.streams[s] = struct{}{}
	b.perCaller[s.callerID]++
	if s.sub.Session != nil {
		same := b.sessions[s.sub.Session.ID]
		if len(same) > 0 {
			older = same[len(same)-1]
		}
		b.sessions[s.sub.Session.ID] = append(same, s)
	}
	if b.patrol == nil {
		b.patrol = time.AfterFunc(patrolInterval, b.lookAround)
	}
	return older, nil
}

// leave gives the stream's place back. The one before it in its session speaks again.
func (b *Board) leave(s *stream) {
	s.close(closedByClient)
	b.sweeping.Lock()
	defer b.sweeping.Unlock()
	s.silence()
	if next := b.remove(s); next != nil && !next.isClosed() {
		next.hear(b.config.Current())
	}
	b.metrics.closed.WithLabelValues(string(s.reason())).Inc()
}

// remove takes the stream out of all tables. It returns the one that speaks for the session now, if that was s until now.
func (b *Board) remove(s *stream) (next *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, s)
	delete(b.due, s)
	if b.perCaller[s.callerID]--; b.perCaller[s.callerID] == 0 {
		delete(b.perCaller, s.callerID)
	}
	if len(b.streams) == 0 && b.patrol != nil {
		b.patrol.Stop()
		b.patrol = nil
	}
	if s.sub.Session == nil {
		return nil
	}
	return b.removeFromSession(s)
}

func (b *Board) removeFromSession(s *stream) (next *stream) {
	id := s.sub.Session.ID
	same := b.sessions[id]
	for i, other := range same {
		if other != s {
			continue
		}
		last := i == len(same)-1
		same = append(same[:i:i], same[i+1:]...)
		if last && len(same) > 0 {
			next = same[len(same)-1]
		}
		break
	}
	if len(same) == 0 {
		delete(b.sessions, id)
	} else {
		b.sessions[id] = same
	}
	return next
}

// speaking returns the stream that speaks for a session, or nil.
func (b *Board) speaking(session [16]byte) *stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	if same := b.sessions[session]; len(same) > 0 {
		return same[len(same)-1]
	}
	return nil
}

// End makes a session one that is not served any more, until it would have expired anyhow. Its stream closes at once.
func (b *Board) End(session [16]byte, expires time.Time) {
	b.ended.add(session, expires, b.now())
	b.facts.forget(session)
	b.mu.Lock()
	streams := append([]*stream(nil), b.sessions[session]...)
	b.mu.Unlock()
	for _, s := range streams {
		s.close(closedSession)
	}
}

// Ended reports whether a session was ended before its time. It is cheap enough for every request.
func (b *Board) Ended(session [16]byte) bool { return b.ended.has(session) }

// Drain ends all streams, with the words of their era for a server that goes down, and refuses new ones. It does not
// wait: each Open returns as soon as its client has the last message.
func (b *Board) Drain() {
	b.mu.Lock()
	b.draining = true
	streams := make([]*stream, 0, len(b.streams))
	for s := range b.streams {
		streams = append(streams, s)
	}
	for _, timer := range []*time.Timer{b.telling, b.patrol} {
		if timer != nil {
			timer.Stop()
		}
	}
	b.telling, b.patrol = nil, nil
	b.mu.Unlock()
	for _, s := range streams {
		s.close(closedDrain)
	}
	b.stopShared()
}
