package roster

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Relay speaks to other nodes, as relay.Relay does.
type Relay interface {
	// Do is tunnel.Tunnel.Do at the node with this name, one hop away. An error with Sent false may be because the node
	// could not be reached.
	Do(ctx context.Context, node string, r *tunnel.Request) (*tunnel.Response, error)
	// Busy is how many requests are open at the node.
	Busy(node string) int
}

// Config is what a Roster is made of. The zero value of each field after Node means its default.
type Config struct {
	// Node is this node's own name.
	Node string
	// Relay leads to other nodes. Nil: they are not reached.
	Relay Relay
	// Changed is called by Run when what Attached and Away return may have changed.
	Changed func()
	// Version is told to agents, for people to read.
	Version string
	Log     *slog.Logger
	// Registerer gets the metrics. Nil: nobody does.
	Registerer prometheus.Registerer
}

// Roster knows agents. It is safe for concurrent use.
type Roster struct {
	config Config
	news   *news

	mu       sync.RWMutex
	agents   map[string][]*attachment // with tunnels here, the latest last
	open     map[string]int           // streams, those without a hello included
	assigned map[string]map[string]struct{}
	denied   identity.Denials // agents
	barred   identity.Denials // nodes
	places   map[string]*place
	located  time.Time         // when they were told
	regions  map[string]string // of nodes
	draining bool
	moved    map[string]struct{} // agents that were elsewhere, too, while this node drains
}

// place is where an agent is, besides here.
type place struct {
	nodes   []string
	ready   map[string]struct{}
	refused map[string]time.Time // by node: when it said that the agent is not there
}

// New returns a roster without agents.
func New(config Config) *Roster {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	r := &Roster{config: config, news: newNews(), agents: make(map[string][]*attachment), open: make(map[string]int)}
	if config.Registerer != nil {
		config.Registerer.MustRegister(collector{r})
	}
	return r
}

// Retain takes over which servers there are, and which agents and nodes are denied. Tunnels of denied agents end, and until
// Locate says otherwise, they are nowhere, and denied nodes have none. Who joined anew since is not meant.
func (r *Roster) Retain(servers []*snapshotv1.Server, agents, nodes identity.Denials) {
	assigned := make(map[string]map[string]struct{})
	for _, server := range servers {
		agent := server.GetAgent()
		if agent == "" {
			continue
		}
		if assigned[agent] == nil {
			assigned[agent] = make(map[string]struct{})
		}
		assigned[agent][server.GetName()] = struct{}{}
	}
	r.mu.Lock()
	for _, agent := range agents.Newer(r.denied) {
		// Of an agent that was revoked a while before Locations came, they tell where it is since it joined anew: a node
		// that starts may hear them first.
		if before := agents[agent].Before; before.IsZero() || !r.located.After(before) {
			delete(r.places, agent)
		}
	}
	for _, node := range nodes.Newer(r.barred) {
		for _, p := range r.places {
			p.nodes = slices.DeleteFunc(slices.Clone(p.nodes), func(one string) bool { return one == node })
		}
	}
	r.assigned, r.denied, r.barred = assigned, agents, nodes
	var ended []*attachment
	for agent := range agents {
		ended = append(ended, r.end(agent)...)
	}
	r.mu.Unlock()
	for _, a := range ended {
		r.config.Log.Warn("the tunnel of a denied agent ends", "agent", a.agent)
		a.end(errDenied)
	}
	r.news.note(own)
}

// end takes out the tunnels of an agent by certificates that are void, and returns them. The caller holds the lock.
func (r *Roster) end(agent string) (ended []*attachment) {
	var stay []*attachment
	for _, a := range r.agents[agent] {
		if _, void := r.denied.Cover(agent, a.issued); void {
			ended = append(ended, a)
		} else {
			stay = append(stay, a)
		}
	}
	if r.agents[agent] = stay; len(stay) == 0 {
		delete(r.agents, agent)
	}
	return ended
}

// Locate takes over where agents are.
func (r *Roster) Locate(locations *syncv1.Locations) {
	places := make(map[string]*place, len(locations.GetAgents()))
	for _, agent := range locations.GetAgents() {
		p := &place{nodes: slices.Clone(agent.GetNodes()), ready: make(map[string]struct{}, len(agent.GetReady()))}
		for _, server := range agent.GetReady() {
			p.ready[server] = struct{}{}
		}
		places[agent.GetName()] = p
	}
	regions := make(map[string]string, len(locations.GetNodes()))
	for _, node := range locations.GetNodes() {
		regions[node.GetName()] = node.GetRegion()
	}
	r.mu.Lock()
	r.places, r.regions, r.located = places, regions, time.Now()
	r.noteMoved()
	r.mu.Unlock()
	r.news.note(own)
}

// Attached says which agents are here, for the control plane. A node that drains says it no more of those that are elsewhere,
// too: then others relay to it only what they can get nowhere else.
func (r *Roster) Attached() *syncv1.Attached {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := new(syncv1.Attached)
	for agent, here := range r.agents {
		if !r.stays(agent) {
			continue
		}
		one := &syncv1.AttachedAgent{Name: agent}
		for server := range r.assigned[agent] {
			if slices.ContainsFunc(here, func(a *attachment) bool { return a.serves(server) }) {
				one.Ready = append(one.Ready, server)
			}
		}
		slices.Sort(one.Ready)
		all.Agents = append(all.Agents, one)
	}
	slices.SortFunc(all.Agents, func(a, b *syncv1.AttachedAgent) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}

// Away returns the slugs of those servers that agents have and that are ready nowhere, as far as this node knows.
func (r *Roster) Away(servers []*snapshotv1.Server) map[string]struct{} {
	r.mu.RLock()
	defer r.mu.RUnlock()
	away := make(map[string]struct{})
	for _, server := range servers {
		if agent := server.GetAgent(); agent != "" && !r.ready(agent, server.GetName()) {
			away[server.GetName()] = struct{}{}
		}
	}
	return away
}

// Heard reports whether an agent is here and has said of each of its servers whether it can be called.
func (r *Roster) Heard(agent string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	here := r.agents[agent]
	for server := range r.assigned[agent] {
		said := func(a *attachment) bool { _, said := a.ready[server]; return said }
		if !slices.ContainsFunc(here, said) {
			return false
		}
	}
	return slices.ContainsFunc(here, (*attachment).takes)
}

// ready reports whether a server can be called anywhere. An agent that is here knows best. The caller holds the lock.
func (r *Roster) ready(agent, server string) bool {
	if here := r.agents[agent]; slices.ContainsFunc(here, (*attachment).takes) {
		return slices.ContainsFunc(here, func(a *attachment) bool { return a.serves(server) })
	}
	p := r.places[agent]
	if p == nil {
		return false
	}
	_, ready := p.ready[server]
	return ready && slices.ContainsFunc(p.nodes, func(node string) bool { return node != r.config.Node })
}

// stays reports whether an agent has a tunnel here that it does not give up, and needs it. The caller holds the lock.
func (r *Roster) stays(agent string) bool {
	_, moved := r.moved[agent]
	return !moved && slices.ContainsFunc(r.agents[agent], func(a *attachment) bool { return !a.tunnel.Draining() })
}

// noteMoved notes which agents are elsewhere, too, if this node drains. They are not taken back: of two nodes that drain each
// would rely on the other, and then again not. The caller holds the lock.
func (r *Roster) noteMoved() {
	if !r.draining {
		return
	}
	for agent := range r.agents {
		if p := r.places[agent]; p != nil && len(r.others(p)) > 0 {
			r.moved[agent] = struct{}{}
		}
	}
}

// Moved reports whether no agent needs this node any more, which drains: each is elsewhere, gives up its tunnels here, or has
// none.
func (r *Roster) Moved() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for agent := range r.agents {
		if r.stays(agent) {
			return false
		}
	}
	return true
}

// Drain tells agents to look for another node. Calls go on until their tunnels end.
func (r *Roster) Drain() {
	r.mu.Lock()
	if !r.draining {
		r.draining, r.moved = true, make(map[string]struct{})
		r.noteMoved()
	}
	var all []*attachment
	for _, here := range r.agents {
		all = append(all, here...)
	}
	r.mu.Unlock()
	for _, a := range all {
		a.tunnel.Drain()
	}
	r.news.note(own)
}
