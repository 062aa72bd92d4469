package publisher

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// AckTimeout is how long a node may take to answer an update.
	AckTimeout = 30 * time.Second
	// Heartbeat is how often a node's row says that its stream lives.
	Heartbeat = 15 * time.Second
	// helloTimeout is how long a new stream may stay silent.
	helloTimeout = 10 * time.Second
)

// Reasons for which a stream is closed by this side.
var (
	errShutdown   = fault.New(fault.Unavailable, "the control plane shuts down; connect again")
	errCold       = fault.New(fault.Unavailable, "the control plane has not compiled its configuration yet; connect again")
	errSuperseded = fault.New(fault.Conflict, "another stream of this node took over")
	errSlow       = fault.New(fault.Exhausted, "the node did not answer an update in time; connect again")
	errSilent     = fault.New(fault.Precondition, "the first message of a stream must be hello, and come at once")
	errTwoHellos  = fault.New(fault.Precondition, "hello comes first on a stream, and only then")
	errTooMany    = fault.New(fault.Invalid, "a message names more ended sessions than one may")
	errManyAgents = fault.New(fault.Invalid, "a message names more agents than a node may have tunnels of")
	errUnknown    = fault.New(fault.Invalid, "a message of a kind that this control plane does not know")
)

// Config is what a Publisher is made of. Key is required.
type Config struct {
	// Key signs updates.
	Key ed25519.PrivateKey
	// Replica names this process, for people who look at a node's row.
	Replica string
	// Book keeps what is known of nodes; nil: nothing is kept.
	Book Book
	// Ahead is told of a node that says it holds a later revision of this epoch
	// than there is here; nil: nobody is. It must not block.
	Ahead func(epoch string, revision uint64)
	// Sessions keeps sessions that clients ended; nil: nobody is told of any.
	Sessions Sessions
	// Shares divides the limits of the policy between nodes; nil: each node takes that
	// it is alone.
	Shares Shares
	// Locations knows where nodes and agents are; nil: nobody is told.
	Locations Locations
	// ServerChanged is told of a server that a node says has new lists; nil: nobody
	// is. What it is told is a hint, may be no server's name, and may come often. It
	// must not block.
	ServerChanged func(server string)
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
	Log        *slog.Logger // nil: discarded
}

// Publisher serves warder.sync.v1.SyncService. It is safe for concurrent use.
type Publisher struct {
	syncv1.UnimplementedSyncServiceServer
	config  Config
	metrics *metrics

	mu        sync.Mutex
	history   *history
	changed   chan struct{} // closed, and replaced, by each Publish
	progress  chan struct{} // likewise, by each answer of a node and each leave
	streams   map[string]*conversation
	stopped   bool
	remaining sync.WaitGroup // conversations that have not ended
}

// New returns a publisher that has nothing to publish.
func New(c Config) *Publisher {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Book == nil {
		c.Book = noBook{}
	}
	if c.Ahead == nil {
		c.Ahead = func(string, uint64) {}
	}
	if c.Sessions == nil {
		c.Sessions = noSessions{}
	}
	if c.Shares == nil {
		c.Shares = noShares{}
	}
	if c.Locations == nil {
		c.Locations = nowhere{}
	}
	if c.ServerChanged == nil {
		c.ServerChanged = func(string) {}
	}
	return &Publisher{
		config:   c,
		metrics:  newMetrics(c.Registerer),
		changed:  make(chan struct{}),
		progress: make(chan struct{}),
		streams:  make(map[string]*conversation),
	}
}

// Publish puts a set in force: every connected node gets it, or a later one. A
// set that is in force already changes nothing; one older than that is refused.
// Of the same revision, the last one counts.
func (p *Publisher) Publish(set *snapshot.Set) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if latest := p.history.latest(); latest != nil && markOf(latest) == markOf(set) {
		return nil
	}
	next, err := p.history.with(set)
	if err != nil {
		return err
	}
	p.history = next
	p.metrics.revision.Set(float64(set.Revision()))
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

// Current returns the set in force, or nil before the first.
func (p *Publisher) Current() *snapshot.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history.latest()
}

// Connected returns how many nodes hold a stream to this replica.
func (p *Publisher) Connected() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.streams)
}

// Stop ends every stream, and lets none begin; nodes serve on from what they
// have and connect elsewhere. It returns when all have ended.
func (p *Publisher) Stop() {
	p.mu.Lock()
	p.stopped = true
	for _, c := range p.streams {
		c.end(errShutdown)
	}
	p.mu.Unlock()
	p.remaining.Wait()
}

// state returns what there is to send, and what is closed when that changes.
func (p *Publisher) state() (*history, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history, p.changed
}

// Sync serves one node until either side ends the stream.
func (p *Publisher) Sync(stream syncv1.SyncService_SyncServer) error {
	peer, err := identity.FromContext(stream.Context())
	if err != nil {
		return fault.GRPC(err)
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	c := &conversation{
		publisher: p, node: peer.Name, stream: stream, end: cancel, id: newStreamID(),
		log: p.config.Log.With("node", peer.Name),
	}
	if err := p.enter(c); err != nil {
		return fault.GRPC(err)
	}
	defer p.leave(c)
	err = c.run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	c.log.Info("node disconnected", "reason", err)
	return fault.GRPC(err)
}

// enter makes c the stream of its node. An earlier one is ended: a node that
// connects again has often lost a stream that still looks alive from here.
func (p *Publisher) enter(c *conversation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return errShutdown
	}
	if p.history.latest() == nil {
		return errCold
	}
	if old := p.streams[c.node]; old != nil {
		old.end(errSuperseded)
	}
	p.streams[c.node] = c
	p.remaining.Add(1)
	p.metrics.followers.Set(float64(len(p.streams)))
	return nil
}

// leave forgets c, unless a later stream took its place.
func (p *Publisher) leave(c *conversation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams[c.node] == c {
		delete(p.streams, c.node)
		p.wake()
	}
	p.metrics.followers.Set(float64(len(p.streams)))
	p.remaining.Done()
}
