package uplink

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Servers is what the agent has: its inventory.
type Servers interface {
	tunnel.Handler
	// Reports is for people, States for nodes; both by name.
	Reports() []*enrollv1.ServerReport
	States() []*tunnelv1.ServerState
	// Changed is sent to when they may have changed. Only the uplink receives from it.
	Changed() <-chan struct{}
}

// Config says whom to speak to, and what about. All of it is required but Dir.
type Config struct {
	Identity *identity.Identity
	// ControlPlane is host:port of the control plane's listener for nodes and agents.
	ControlPlane string
	// Dir is where the last orders are kept; empty: they are forgotten with the process.
	Dir     string
	Servers Servers
	// Asked serves what the control plane asks servers through its own tunnel, to find out what they offer. Nil: Servers.
	Asked tunnel.Handler
	// Assigned is told which servers the control plane wants run, each time that it says so, and at first if orders are
	// kept. It is called by one goroutine at a time and must not wait. What it is given is not changed. Once Servers has
	// them, applied is to be called, of several that came one after another the last suffices: the control plane asks
	// nothing of a server before. It does not wait, and may be called more than once.
	Assigned func(servers []*enrollv1.AssignedServer, applied func())
	// DrainTime is how long calls may take when a tunnel is given up, or the agent stops.
	DrainTime time.Duration
	// Version of the build, for people.
	Version string
	Log     *slog.Logger
}

// Uplink is an agent's connections.
type Uplink struct {
	config Config
	shelf  shelf
	crier  *crier
	pilot  *pilot
	news   chan struct{} // the report may be another
	moves  chan struct{} // its tunnels are
	// pings is how often a tunnel measures its round trip; 0: as package tunnel has it.
	pings time.Duration

	control atomic.Pointer[ControlPlane]
	orders  atomic.Pointer[enrollv1.Orders]
	allowed atomic.Pointer[map[string]bool]
}

// New returns an uplink that does nothing until Run, but knows the orders that were kept.
func New(c Config) *Uplink {
	who := c.Identity.Peer()
	u := &Uplink{
		config: c, shelf: shelf{dir: c.Dir, agent: who.Name}, crier: newCrier(c.Log), news: make(chan struct{}, 1), moves: make(chan struct{}, 1),
	}
	u.pilot = &pilot{
		agent: who.Name, region: c.Identity.Region(), drainTime: c.DrainTime, log: c.Log,
		attach: u.attachNode, probe: u.probe, changed: func() { signal(u.moves) },
	}
	u.pilot.init()
	u.control.Store(&ControlPlane{Address: c.ControlPlane, Since: time.Now()})
	u.know(&enrollv1.Orders{})
	orders, err := u.shelf.get()
	if err != nil {
		c.Log.Warn("the orders that were kept cannot be used; the agent waits for the control plane", "error", err)
	}
	if orders != nil {
		u.know(orders)
		c.Assigned(orders.GetServers(), func() {}) // The control plane does not wait for these.
	}
	return u
}

// Run keeps the agent connected until ctx ends; then it drains all tunnels, and returns when they have ended, after
// DrainTime at the latest.
func (u *Uplink) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { u.pilot.run(ctx) })
	u.steer(u.orders.Load())
	u.cry()
	last, stop := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() { <-u.pilot.done; stop() }) // Until then nodes and people hear how it stands.
	all.Go(func() { u.watch(last) })
	all.Go(func() { u.retry(last, "orders", u.meet) })
}

// notify has a report made.
func (u *Uplink) notify() { signal(u.news) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // It is to be made already.
	}
}

// watch tells nodes and people what becomes of the servers.
func (u *Uplink) watch(ctx context.Context) {
	for {
		select {
		case <-u.config.Servers.Changed():
			u.cry()
			u.notify()
		case <-ctx.Done():
			return
		}
	}
}

// cry announces what the orders allow.
func (u *Uplink) cry() {
	u.crier.cry(func() []*tunnelv1.ServerState {
		return slices.DeleteFunc(u.config.Servers.States(), func(s *tunnelv1.ServerState) bool { return !u.allows(s.GetName()) })
	})
}

func (u *Uplink) allows(server string) bool { return (*u.allowed.Load())[server] }

// know makes orders those that hold.
func (u *Uplink) know(orders *enrollv1.Orders) {
	allowed := make(map[string]bool, len(orders.GetAllowed()))
	for _, name := range orders.GetAllowed() {
		allowed[name] = true
	}
	u.orders.Store(orders)
	u.allowed.Store(&allowed)
}

// take takes orders of the control plane. They hold, even if they cannot be kept. When the servers are as they say, it calls
// taken: after nodes and the control plane were told of them, and before the report that tells of them is made.
func (u *Uplink) take(orders *enrollv1.Orders, taken func()) {
	before := u.orders.Load()
	u.know(orders)
	if !proto.Equal(before, orders) {
		if err := u.shelf.put(orders); err != nil {
			u.config.Log.Error("the orders cannot be kept; after a restart the agent would know older ones", "error", err)
		}
	}
	u.steer(orders)
	u.cry()
	u.config.Assigned(orders.GetServers(), func() {
		u.cry()
		taken()
		u.notify()
	})
}

// steer has the pilot go by the nodes of orders.
func (u *Uplink) steer(orders *enrollv1.Orders) {
	u.pilot.tell(func(now time.Time) { u.pilot.nodes(now, orders.GetNodes(), int(cmp.Or(orders.GetTunnels(), 2))) })
}

// retry runs one stream to the control plane after another until ctx ends, with growing pauses of random length.
func (u *Uplink) retry(ctx context.Context, what string, stream func(context.Context) error) {
	failures, said := 0, ""
	for {
		began := time.Now()
		err := stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= steady {
			failures, said = 0, ""
		}
		failures++
		pause := pauseAfter(failures)
		why, level := plain(err), slog.LevelDebug // It was said.
		if said == "" || !identity.SameReason(why, said) {
			level = slog.LevelWarn
		}
		said = why
		u.config.Log.Log(ctx, level, "no stream to the control plane; the last orders hold", "for", what, "pause", pause, "error", why)
		if !sleep(ctx, pause) {
			return
		}
	}
}

// level is that of a failure in the log: the first in a row is for people, the others say the same.
func level(failures int) slog.Level {
	if failures == 1 {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// options are those of every connection.
func (u *Uplink) options(secure *tls.Config) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(secure)),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("warder-agent/" + u.config.Version),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: maxPause}),
	}
}

// sleep waits, or returns false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
