package tunnel

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/budget"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// minRevision and maxRevision are what this build speaks of the wire.
	minRevision, maxRevision = 1, 1

	leastFrames = 16 << 10
	// maxHead bounds the text of a head, in bytes, and maxFields its header fields.
	maxHead   = 64 << 10
	maxFields = 256
	// maxServers bounds what one end announces.
	maxServers = 1000
	// maxVersion bounds the version that the other end says, in bytes: it is for logs and people.
	maxVersion = 128
	maxCredit  = 1 << 31
)

// HeaderFailure is the header of an answer with status 503 in which an agent says why a server does not start: a line for
// administrators, redacted. Clients are never told it.
const HeaderFailure = "warder-failure"

// Config is what an end of a tunnel does and allows. Each number that is 0 means its default.
type Config struct {
	// Version of the build, for people to read.
	Version string
	// MaxStreams is how many streams the other end may have open here at one time. Default 1,000. One more is refused.
	MaxStreams int
	// StreamCredit and TunnelCredit are how many bytes the other end may send ahead of who reads them here: on each stream, and in all.
	// Defaults 256 KiB and 8 MiB. No stream gets more than half of the tunnel's, which has
	// to be a good deal more than a byte for each stream that may be open.
	StreamCredit, TunnelCredit int
	// MaxFrames is the largest Frames that is taken, in bytes. Default 256 KiB, at least 16 KiB.
	MaxFrames int
	// Handler serves what the other end opens. Nil: it is refused.
	Handler Handler
	// Bodies bounds what handlers hold by Incoming.ReadAll: a part of what the process has for that. Nil: each body has its own bound alone.
	Bodies *budget.Budget
	// Servers is told what the other end serves, each time it says so. It is called by the goroutine that reads, one call at a time, and
	// must not wait. The states are the callee's.
	Servers func([]*tunnelv1.ServerState)
	// Keepalive is how often the other end is pinged, and Silence after how long without a sign of life the tunnel is lost. Defaults 10 s
	// and 25 s.
	Keepalive, Silence time.Duration
	// Close ends the Conn, so that a Send or Recv that waits returns. Run calls it in the end, and returns when both have. Nil: they
	// return when Run's caller has, as in the handler of a gRPC server.
	Close func()
	// Log is told of what handlers did wrong. Default: nobody.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.MaxStreams = cmp.Or(c.MaxStreams, 1000)
	c.TunnelCredit = min(cmp.Or(c.TunnelCredit, 8<<20), maxCredit-1)
	c.StreamCredit = min(cmp.Or(c.StreamCredit, 256<<10), max(1, c.TunnelCredit/2))
	c.MaxFrames = max(cmp.Or(c.MaxFrames, 256<<10), leastFrames)
	if c.Handler == nil {
		c.MaxStreams = 1 // the least that hello may say; what is not served needs no room
	}
	c.Keepalive = cmp.Or(c.Keepalive, 10*time.Second)
	c.Silence = cmp.Or(c.Silence, 25*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Tunnel is one end. Its methods may be called from many goroutines, Run once.
type Tunnel struct {
	config  Config
	carrier carrier
	born    time.Time
	base    context.Context // of handlers; set by Run

	ready    chan struct{} // closed when the other end has said hello
	greeted  chan struct{} // closed when this end has
	done     chan struct{} // closed when the tunnel is lost
	drains   chan struct{} // closed when the other end drains
	handlers sync.WaitGroup

	heard     atomic.Int64 // when something came last, since born
	roundTrip atomic.Int64 // nanoseconds, smoothed
	busy      atomic.Int64 // streams that are not over
	calls     atomic.Int64 // streams of this end whose callers have not closed the answer
	gauge     gauge        // what this end holds of what came

	mu      sync.Mutex
	cause   error // why the tunnel is lost; nil: it is not
	peer    peer
	mine    map[uint64]*stream // by number; opened by this end, and not over
	theirs  map[uint64]*stream // by number; opened by the other end, and not over
	serving int                // handlers that have not returned
	last    uint64             // number of the last stream that this end opened
	newest  uint64             // number of the last stream that the other end opened
	drained bool               // this end drains
	writer  writer
	copied  int // bytes of answers that are kept for the writer
	ping    ping
	scratch frame // of the reader
}

// peer is what the other end said in its Hello, and how it goes on.
type peer struct {
	version      string
	maxFrames    int
	maxStreams   int
	streamCredit int64
	credit       int64 // what may still be sent to it, in all
	window       int64 // what might be sent to it, in all, at the beginning
	reserve      int64 // how much of this each stream may always use
	drains       bool
}

// New returns an end that does nothing until Run.
func New(conn Conn, c Config) *Tunnel {
	t := &Tunnel{
		config:  c.withDefaults(),
		carrier: carrierOf(conn),
		born:    time.Now(),
		ready:   make(chan struct{}),
		greeted: make(chan struct{}),
		done:    make(chan struct{}),
		drains:  make(chan struct{}),
		mine:    make(map[uint64]*stream),
		theirs:  make(map[uint64]*stream),
	}
	t.writer.init()
	t.gauge.room = int64(t.config.TunnelCredit)
	t.gauge.allowed = t.gauge.room
	t.gauge.step = max(1, min(int64(t.config.StreamCredit)/2, t.gauge.room/256))
	return t
}

// Run speaks over the Conn until ctx ends or the tunnel is lost, and returns why: the cause of ctx, or an error with ErrLost in its
// chain. By then all streams have failed and all handlers have returned; see Config.Close for the two goroutines that use the Conn.
func (t *Tunnel) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(ctx)
	t.base = base
	t.heard.Store(int64(time.Since(t.born)))
	var conn sync.WaitGroup
	conn.Go(t.read)
	conn.Go(t.write)
	t.lose(t.watch(ctx))
	cancel()
	if t.config.Close != nil {
		t.config.Close()
		conn.Wait()
	}
	t.handlers.Wait()
	return t.cause
}

// lose ends the tunnel and fails its streams. Only the first cause counts.
func (t *Tunnel) lose(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loseLocked(cause)
}

func (t *Tunnel) loseLocked(cause error) {
	if t.cause != nil {
		return
	}
	t.cause = cause
	t.writer.eachWaiting(func(s *stream) { s.fail(cause) })
	for _, s := range t.mine {
		s.fail(cause)
	}
	for _, s := range t.theirs {
		s.fail(cause)
	}
	t.writer.ready, t.writer.short = queue{}, queue{} // of resets that nobody will get
	close(t.done)
}

// lost puts ErrLost before why.
func lost(err error) error { return fmt.Errorf("%w: %w", ErrLost, err) }

// Ready is closed when both ends have said hello, and so not if the tunnel was lost before.
func (t *Tunnel) Ready() <-chan struct{} { return t.ready }

// PeerVersion is the other end's version, for people to read; empty before Ready. It is up to the other end.
func (t *Tunnel) PeerVersion() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peer.version
}

// Announce tells the other end what this end serves, now and in all. It may be called before Run. It fails with ErrInvalid if there are
// more than 1,000 servers. The states are read before it returns.
func (t *Tunnel) Announce(servers []*tunnelv1.ServerState) error {
	if len(servers) > maxServers {
		return invalid("too many servers")
	}
	message, err := proto.Marshal(&tunnelv1.Servers{Servers: servers})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writer.servers, t.writer.serversDue = message, true
	t.kick()
	return nil
}

// Drain tells the other end to open no more streams. One that it opens all the same, or has just opened, is refused. Streams that are
// open go on, and this end may open more.
func (t *Tunnel) Drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.drained {
		t.drained, t.writer.drainDue = true, true
		t.kick()
	}
}

// Draining reports whether the other end drains, and takes no more streams.
func (t *Tunnel) Draining() bool {
	select {
	case <-t.drains:
		return true
	default:
		return false
	}
}

// PeerDrains is closed when the other end drains.
func (t *Tunnel) PeerDrains() <-chan struct{} { return t.drains }

// Busy is how many streams are open, of both ends.
func (t *Tunnel) Busy() int { return int(t.busy.Load()) }

// RoundTrip is how long the other end takes to answer a ping, smoothed over the last few. 0: not known yet.
func (t *Tunnel) RoundTrip() time.Duration { return time.Duration(t.roundTrip.Load()) }

// Quiet is for how long nothing has come from the other end.
func (t *Tunnel) Quiet() time.Duration {
	return max(0, time.Since(t.born)-time.Duration(t.heard.Load()))
}
