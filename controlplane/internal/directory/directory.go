package directory

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/feed"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/pace"
	"github.com/warder-gateway/warder/internal/seal"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Reasons for which a stream is closed by this side.
var (
	errShutdown   = fault.New(fault.Unavailable, "the control plane shuts down; connect again")
	errSuperseded = fault.New(fault.Conflict, "another stream of this agent took over")
)

// Config is what a Directory is made of. Store, Keys and Feed are required.
type Config struct {
	Store *store.Store
	// Keys open the environment of servers.
	Keys *seal.Vault
	// Feed knows the revision of configuration.
	Feed *feed.Feed
	// Replica names this process in rows.
	Replica string
	// Version of the build, for people to read.
	Version string
	// Ready is told of a server that its agent has taken and that can be called now, so
	// that it is discovered. It must not block. Nil: nobody is told.
	Ready func(server string)
	Log   *slog.Logger // nil: discarded
}

// Directory knows the agents. It serves AgentService and TunnelService, and is safe for
// concurrent use. It hears of changes while Run runs.
type Directory struct {
	enrollv1.UnimplementedAgentServiceServer
	tunnelv1.UnimplementedTunnelServiceServer
	config Config
	places *feed.Feed // of locations
	// gathering is the pace at which places are read; followPlaces alone has it.
	gathering pace.Pace

	began    time.Time
	complete bool // of settled; reading guards it

	reading sync.Mutex          // one reader of the world at a time
	strays  map[[3]string]bool  // node, agent, server: logged; reading guards it
	claims  map[[2]string]claim // node, agent: what the node alone says; reading guards it
	world   world

	mu      sync.Mutex
	agents  map[string]*agent
	deaf    time.Time // until when no report can have been kept: it began, or the database was away
	stopped bool
}

// New returns a directory of no agents.
func New(c Config) *Directory {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Ready == nil {
		c.Ready = func(string) {}
	}
	d := &Directory{config: c, began: time.Now(), agents: make(map[string]*agent)}
	d.deaf = d.began
	d.gathering = pace.Pace{First: gather, Longest: longestGather, Quiet: gatherQuiet}
	d.world.init()
	d.places = feed.New(feed.Config{Store: c.Store, Channel: channel, Position: d.position, Reconcile: reconcile, Log: c.Log})
	return d
}

// Run follows the rows until ctx ends.
func (d *Directory) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { d.places.Run(ctx) })
	running.Go(func() { d.awaitSettled(ctx) })
	running.Go(func() { d.places.Follow(ctx, 0, d.followPlaces) })
	running.Go(func() { d.config.Feed.Follow(ctx, 0, d.followServers) })
	running.Wait()
}

// Stop ends the streams of agents, and lets none begin. Agents go elsewhere.
func (d *Directory) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	for _, a := range d.agents {
		if a.follower != nil {
			a.follower.end(errShutdown)
		}
		if a.link != nil {
			a.link.end(errShutdown)
		}
	}
}

// agent is what there is here of one. The directory's lock guards it.
type agent struct {
	follower *follower // nil: it follows no orders here
	link     *link     // nil: it has no tunnel here
	// offered are servers of which Ready was told, by what was ordered of them then.
	offered map[string]string
	changed chan struct{} // closed, and replaced, when anything of it changes
}

// of returns an agent, which is made if it is not there. The caller holds mu.
func (d *Directory) of(name string) *agent {
	a := d.agents[name]
	if a == nil {
		a = &agent{offered: make(map[string]string), changed: make(chan struct{})}
		d.agents[name] = a
	}
	return a
}

// moved tells who waits for an agent, and offers what is ready now; an agent without
// streams is forgotten. The caller holds mu.
func (d *Directory) moved(name string, a *agent) {
	close(a.changed)
	a.changed = make(chan struct{})
	if a.follower == nil && a.link == nil {
		delete(d.agents, name)
		return
	}
	for _, server := range a.news() {
		d.config.Ready(server)
	}
}

// news returns the servers that became ready, or are others than they were when they
// did.
func (a *agent) news() (servers []string) {
	f := a.follower
	if f == nil || a.link == nil || f.number == 0 || f.taken != f.number {
		return nil
	}
	for server := range a.offered {
		if !a.link.ready[server] || f.ordered[server] == "" {
			delete(a.offered, server)
		}
	}
	for server, order := range f.ordered {
		if a.link.ready[server] && a.offered[server] != order {
			a.offered[server] = order
			servers = append(servers, server)
		}
	}
	return servers
}

// followServers hands each agent that follows here its servers as they are now.
func (d *Directory) followServers(ctx context.Context) (uint64, error) {
	revision := d.config.Feed.Revision()
	d.mu.Lock()
	names := make([]string, 0, len(d.agents))
	for name, a := range d.agents {
		if a.follower != nil {
			names = append(names, name)
		}
	}
	d.mu.Unlock()
	if err := d.deal(ctx, revision, names); err != nil {
		return 0, err
	}
	return revision, d.look(ctx)
}

// deal reads what agents are told of their servers, and hands it to those that follow
// here. What is read is of the revision or later.
func (d *Directory) deal(ctx context.Context, revision uint64, names []string) error {
	if len(names) == 0 {
		return nil
	}
	rows, err := d.config.Store.ListOrders(ctx, names)
	if err != nil {
		return err
	}
	hands := make(map[string][]db.ListOrdersRow, len(names))
	for _, row := range rows {
		hands[row.Agent] = append(hands[row.Agent], row)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		if a := d.agents[name]; a != nil && a.follower != nil && a.follower.revision <= revision {
			a.follower.rows, a.follower.revision, a.follower.dealt = hands[name], revision, true
			a.follower.poke()
		}
	}
	return nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
