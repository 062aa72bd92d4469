package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/dataplane/internal/drift"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/limit"
	"github.com/warder-gateway/warder/dataplane/internal/listener"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/replica"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/spool"
	"github.com/warder-gateway/warder/dataplane/internal/token"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Plane is a node. It is safe for concurrent use.
type Plane struct {
	config   Config
	identity *identity.Identity
	log      *slog.Logger
	replica  *replica.Replica[gate.Index]
	pool     *upstream.Pool
	tokens   *token.Keeper
	board    *notice.Board
	drift    *drift.Watch
	queue    *spool.Queue
	limits   *limit.Buckets
	session  *session.Session
	listener *listener.Listener
	link     *grpc.ClientConn
	tunnels  *tunnels // nil: the node has no part in them
	draining atomic.Bool
	applying sync.Mutex
	division division
	flushing chan struct{} // closed when the end waits for the audit
}

// Open makes a node of what its directory holds. It serves from then on if there
// is a snapshot in it; to get one, and to hand over audit events, Run must run.
// Close is not needed if Run has been called.
func Open(ctx context.Context, config Config) (*Plane, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	p := &Plane{config: config.withDefaults(), limits: limit.New(), flushing: make(chan struct{})}
	p.log = p.config.Log
	who, expired := p.config.obtain(ctx)
	if who == nil {
		return nil, expired
	}
	p.identity = who
	if p.config.TunnelListen != "" {
		var err error
		if p.tunnels, err = newTunnels(p); err != nil {
			return nil, err
		}
	}
	if err := p.assemble(expired); err != nil {
		return nil, errors.Join(err, p.tunnels.abandon())
	}
	return p, nil
}

// assemble makes the parts of a node, each of those that it needs. Expired is why the
// node's identity is not good now, if so.
func (p *Plane) assemble(expired error) error {
	p.pool = upstream.New(upstream.Config{
		Version: p.config.Version, Log: p.log, Registerer: p.config.Registerer, Changed: p.serverChanged, Agents: p.tunnels.carriers(),
		Keepers: p.tunnels.keepers(),
	})
	p.tokens = token.NewKeeper(token.Config{Log: p.log, Registerer: p.config.Registerer})
	p.board = notice.New(notice.Config{Upstream: p.pool, Current: p.current, Log: p.log, Registerer: p.config.Registerer})
	p.drift = drift.New(drift.Config{Upstream: p.pool, Current: p.current, Log: p.log})
	err := p.openReplica()
	if err != nil {
		return err
	}
	if expired != nil {
		// A node serves by its last snapshot while the control plane is away, however long.
		if p.replica.Current() == nil {
			return expired
		}
		p.log.Error("the node serves by its last snapshot until it can connect to the control plane", "error", expired)
	}
	if p.link, err = dial(&p.config, p.identity); err != nil {
		return err
	}
	if p.queue, err = p.openQueue(); err != nil {
		return err
	}
	p.session = session.New(session.Config{
		Upstream:   p.pool,
		Board:      p.board,
		Audit:      p.recording(newRecorder(p.queue, p.config.AuditSync, p.config.Registerer)),
		Limits:     p.limits,
		Drift:      p.drift,
		Peers:      p.tunnels.peers(),
		Current:    p.current,
		Version:    p.config.Version,
		Log:        p.log,
		Registerer: p.config.Registerer,
		Ended:      p.replica.EndSession,
	})
	if p.tunnels != nil {
		p.tunnels.errands.Attend(p.session, p.pool)
	}
	p.listener = listener.New(listener.Config{
		Current:     p.replica.Current,
		Session:     p.session,
		Refusals:    p.session.Refusals(),
		Hosts:       p.config.hosts(),
		Origins:     p.config.AllowedOrigins,
		PublicURLs:  p.config.publicURLs(),
		Loopback:    p.config.loopback(),
		Log:         p.log,
		Registerer:  p.config.Registerer,
		MaxBody:     p.config.MaxBody,
		MaxRequests: p.config.MaxRequests, MaxPerKey: p.config.MaxRequestsPerKey,
	})
	p.register(p.config.Registerer)
	return nil
}

// openReplica reads the last good snapshot from disk. One that cannot be used is
// no reason not to start: the control plane sends another.
func (p *Plane) openReplica() error {
	if err := os.MkdirAll(p.config.DataDir, 0o700); err != nil {
		return fault.Wrap(fault.Precondition, "the data directory "+p.config.DataDir+" cannot be made", err)
	}
	keyring, err := seal.LoadOrCreate(filepath.Join(p.config.DataDir, "node.key"))
	if err != nil {
		return fmt.Errorf("open node key: %w", err)
	}
	config := replica.Config[gate.Index]{
		Dir:     p.config.DataDir,
		Seal:    keyring,
		Build:   p.build,
		Amend:   amend,
		Deny:    (*gate.Index).Deny,
		Applied: p.applied,
		Version: p.config.Version,
		Address: p.config.Listen,
		Log:     p.log,

		SessionEnded: p.sessionEnded,
		Demand:       p.limits.Demand,
		Shares:       p.divided,
	}
	if t := p.tunnels; t != nil {
		config.TunnelAddress, config.Attached, config.Dress = t.address, t.roster.Attached, t.dress
		config.Locations, config.Recalled = t.locate, t.recall
	}
	p.replica = replica.New(config)
	if err := p.loadDivision(); err != nil {
		p.log.Warn("the number of nodes is not known; until the control plane says it, this node has the whole of each limit", "error", err)
	}
	if err := p.replica.Load(); err != nil {
		p.log.Warn("the snapshot on disk is not used; calls are served as soon as the control plane has sent one", "error", err)
	}
	return nil
}

// current returns what the node knows. The replica is made after those who ask.
func (p *Plane) current() *gate.Index { return p.replica.Current() }

// sessionEnded lets go of a session that its client ended at another node.
func (p *Plane) sessionEnded(id [16]byte, expires time.Time) { p.session.Ended(id, expires) }

// applied ends what is denied now, lets go of servers that are gone, and tells
// clients what they see now.
func (p *Plane) applied(*gate.Index) {
	// Denials that come ahead of an update are applied beside it.
	p.applying.Lock()
	defer p.applying.Unlock()
	index := p.current()
	if p.session != nil { // It is made after the snapshot on disk was read.
		p.session.Revoke(index)
	}
	p.tunnels.retain(index)
	p.board.Changed()
	p.pool.Retain(index.Servers())
	p.drift.Retain(index.Servers())
	p.tokens.Retain(index.Credentials().Issuers())
}

// serverChanged holds the calls of a server that has new lists until this node has
// seen them, and passes it on, so that the catalogue asks for them.
func (p *Plane) serverChanged(server string) {
	p.drift.Suspect(server)
	p.replica.ServerChanged(server)
}

// build makes an index of a snapshot and says what it had to leave out.
func (p *Plane) build(set *snapshot.Set, breathe func()) (*gate.Index, error) {
	start := time.Now()
	index, err := p.current().Next(set, breathe)
	if err != nil {
		return nil, err
	}
	index.Credentials().Verify(p.tokens)
	p.tokens.Add(index.Credentials().Issuers())
	for i, item := range index.Unusable() {
		if i == maxLogged {
			p.log.Warn("further items are set aside", "revision", index.Revision(), "count", len(index.Unusable())-i)
			break
		}
		p.log.Warn("item is set aside", "revision", index.Revision(), "item", item.Key, "reason", item.Why)
	}
	p.log.Info("snapshot is ready", "revision", index.Revision(), "servers", len(index.Servers()), "tools", index.Tools(),
		"keys", index.Credentials().Len(), "took", time.Since(start))
	return index, nil
}

// amend makes the index of a snapshot in which only denials are new, and keys gone.
func amend(former *gate.Index, set *snapshot.Set, delta *syncv1.Delta) (*gate.Index, error) {
	index, ok, err := former.Amend(set, delta.GetUpserts(), delta.GetRemovals())
	if err != nil || !ok {
		return nil, err
	}
	return index, nil
}

// maxLogged bounds the lines that one bad snapshot writes to the log.
const maxLogged = 20

// Handler serves /mcp and /mcp/{server}.
func (p *Plane) Handler() http.Handler { return p.listener }

// Metadata serves what listener.MetadataPath leads to: which issuers' tokens the
// endpoints take.
func (p *Plane) Metadata() http.Handler { return p.listener.Metadata() }

// MetadataPath is where Metadata belongs, with all below it.
const MetadataPath = listener.MetadataPath + "/"

// Socket prepares a server that has a node's Handler, and the socket that it is to
// serve from, to send a large answer in one piece, to notice at little cost that a
// client has gone, and to hold little for one that says nothing. It returns the socket to
// serve from. The server must have neither ConnContext nor ConnState. Without all this,
// and over TLS, the handler works as well.
func Socket(server *http.Server, plain net.Listener) net.Listener {
	return listener.Socket(server, plain)
}

// Ready returns nil if the node serves calls, else why it does not.
func (p *Plane) Ready() error {
	switch {
	case p.draining.Load():
		return fault.New(fault.Unavailable, "the node is going down")
	case p.replica.Current() == nil:
		return fault.New(fault.Unavailable, "the node has no snapshot yet")
	}
	return p.queue.Err()
}

// Heard reports whether clients are shown the servers of an agent as they are: it is
// attached to this node and has said of each whether it can be called. For whoever starts
// both, and serves Handler once they have met.
func (p *Plane) Heard(agent string) bool { return p.tunnels != nil && p.tunnels.heard(agent) }

// Run follows the control plane and hands audit events over to it until ctx
// ends; then it waits for running calls (DrainTime) and for the last events to
// be taken, as long as the control plane takes some (FlushTime). Whoever serves Handler stops doing so before. What
// was not taken stays on the disk for the next start; an error means that audit events were lost, and says how many.
func (p *Plane) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer p.link.Close()
	recording, stopRecording := context.WithCancel(background)
	defer stopRecording()
	var links, records sync.WaitGroup
	links.Go(func() { p.follow(background) })
	links.Go(func() { p.push(background) })
	links.Go(func() { p.identity.Run(background) })
	links.Go(func() { p.tunnels.run(background) })
	records.Go(func() { p.session.Refusals().Run(recording) })

	<-ctx.Done()
	p.Drain()
	p.tunnels.leave()
	if !p.drain(p.config.DrainTime) {
		// Their intents must not stay without results.
		p.session.Abandon()
		p.drain(abandonTime)
	}
	p.session.Close()
	stopRecording()
	records.Wait()
	err := p.flush(background)
	closing, cancel := context.WithTimeout(background, p.config.FlushTime)
	defer cancel()
	p.pool.Close(closing)
	p.tokens.Close()
	stop()
	links.Wait()
	p.division.writers.Wait()
	return errors.Join(err, p.queue.Close())
}

// Close ends a plane that does not Run.
func (p *Plane) Close() error { return errors.Join(p.queue.Close(), p.link.Close()) }

// maxFlush bounds the whole of the end of the audit, however steadily the control
// plane takes it. A full queue is taken in a few seconds.
const maxFlush = time.Minute

// flush waits until the control plane has the last events. A stream that waits to
// be opened again is opened at once: there is no later.
func (p *Plane) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxFlush, errors.New("it took too long"))
	defer cancel()
	close(p.flushing)
	p.link.ResetConnectBackoff()
	return p.queue.Flush(ctx, p.config.FlushTime)
}

// Drain says that the node is going down: it is not ready any more, its agents look
// for another, and its notification streams end, with what their era has to say of it. Whoever serves
// Handler calls it before he waits for requests to end, since streams end by
// nothing else.
func (p *Plane) Drain() {
	p.draining.Store(true)
	p.tunnels.drain()
	p.board.Drain()
}

// drain waits until no request is being served, of clients or of other nodes, and
// reports whether that came in time.
func (p *Plane) drain(within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for p.listener.Inflight()+p.tunnels.serving() > 0 {
		if !lifetime.Sleep(ctx, drainPoll) {
			p.log.Warn("calls still run and are given up", "calls", p.listener.Inflight(), "of_other_nodes", p.tunnels.serving(), "after", within)
			return false
		}
	}
	return true
}

// abandonTime is how long calls that were given up may take to end.
const abandonTime = 2 * time.Second

// drainPoll is how often a node that is going down looks whether calls still
// run.
const drainPoll = 20 * time.Millisecond

func (p *Plane) follow(ctx context.Context) {
	client := syncv1.NewSyncServiceClient(p.link)
	p.retry(ctx, "snapshots", func(ctx context.Context) error {
		err := p.replica.Follow(ctx, client)
		if errors.Is(err, replica.ErrDrains) {
			err = p.replica.Follow(ctx, client)
		}
		p.tunnels.unheard()
		return err
	})
}

func (p *Plane) push(ctx context.Context) {
	client := auditv1.NewAuditServiceClient(p.link)
	p.retry(ctx, "audit", func(ctx context.Context) error { return p.queue.Push(ctx, client) })
}
