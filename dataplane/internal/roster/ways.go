package roster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// maxWays is how many ways a request is tried, as long as nothing of it was sent: tunnels here, or other nodes.
const maxWays = 2

// refusedTime is for how long a node comes last that said that an agent is not there, though Locations has it there.
const refusedTime = time.Second

// way is one way to an agent.
type way struct {
	tunnel *tunnel.Tunnel // nil: by another node
	node   string
}

// ways are those to one server, the best first.
type ways struct {
	all  [maxWays]way
	many int
}

func (w *ways) add(one way) {
	if w.many < maxWays {
		w.all[w.many] = one
		w.many++
	}
}

// ways finds out how to reach a server. The error is a fault whose text says why there is no way.
func (r *Roster) ways(agent, server string) (found ways, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	known := r.here(agent, server, &found)
	if found.many > 0 {
		return found, nil
	}
	r.elsewhere(agent, &found)
	switch {
	case found.many > 0:
		return found, nil
	case known:
		return found, fault.Newf(fault.Unavailable, "it does not run at agent %q at the moment", agent)
	}
	if _, denied := r.denied[agent]; denied {
		return found, fault.Newf(fault.Unavailable, "agent %q is revoked", agent)
	}
	return found, notConnected(agent)
}

func notConnected(agent string) error {
	return fault.Newf(fault.Unavailable, "agent %q is not connected", agent)
}

// here adds the tunnels of this node, the least busy first, and reports whether the agent is here at all, and stays. The
// caller holds the lock.
func (r *Roster) here(agent, server string, found *ways) (known bool) {
	here := r.agents[agent]
	var latest *attachment
	for _, a := range here {
		if a.takes() {
			latest = a
		}
	}
	if latest == nil {
		return false
	}
	for _, a := range here {
		if !a.serves(server) || a != latest && a.tunnel.Quiet() > time.Since(latest.since) {
			continue
		}
		if found.many == 0 || a.tunnel.Busy() <= found.all[0].tunnel.Busy() {
			found.all[1] = found.all[0]
			found.all[0] = way{tunnel: a.tunnel}
			found.many = min(found.many+1, maxWays)
		} else {
			found.add(way{tunnel: a.tunnel})
		}
	}
	return true
}

// elsewhere adds nodes that have a tunnel of the agent: those first that did not just say otherwise, then those of the own
// region, then the least busy. The caller holds the lock.
func (r *Roster) elsewhere(agent string, found *ways) {
	p := r.places[agent]
	if p == nil || r.config.Relay == nil {
		return
	}
	own, nodes := r.config.Node, r.others(p)
	now := time.Now()
	rank := func(node string) (rank int) {
		if now.Sub(p.refused[node]) < refusedTime {
			rank += 2
		}
		if r.regions[node] != r.regions[own] {
			rank++
		}
		return rank
	}
	slices.SortStableFunc(nodes, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(r.config.Relay.Busy(a), r.config.Relay.Busy(b)))
	})
	for _, node := range nodes {
		found.add(way{node: node})
	}
}

// others are the nodes of a place, but for this one. The caller holds the lock.
func (r *Roster) others(p *place) []string {
	return slices.DeleteFunc(slices.Clone(p.nodes), func(node string) bool { return node == r.config.Node })
}

// do makes a request by the ways to an agent, one after the other, until something of it was sent: those here, and then those
// elsewhere.
func (r *Roster) do(ctx context.Context, agent string, request *tunnel.Request) (*tunnel.Response, error) {
	found, err := r.ways(agent, request.Server)
	if err != nil {
		return nil, &tunnel.Error{Err: err}
	}
	response, err := r.tryAll(ctx, agent, &found, request)
	if err == nil || found.all[0].tunnel == nil || !unsent(ctx, err) {
		return response, err
	}
	var further ways
	r.mu.RLock()
	r.elsewhere(agent, &further)
	r.mu.RUnlock()
	if further.many == 0 {
		return nil, err
	}
	return r.tryAll(ctx, agent, &further, request)
}

// tryAll tries ways, of which there is at least one.
func (r *Roster) tryAll(ctx context.Context, agent string, found *ways, request *tunnel.Request) (response *tunnel.Response, err error) {
	for i := range found.many {
		if response, err = r.try(ctx, agent, found.all[i], request); err == nil || !unsent(ctx, err) {
			break
		}
	}
	return response, err
}

// unsent reports whether a request may be made another way.
func unsent(ctx context.Context, err error) bool {
	failed, ok := errors.AsType[*tunnel.Error](err)
	return ok && !failed.Sent && ctx.Err() == nil
}

func (r *Roster) try(ctx context.Context, agent string, w way, request *tunnel.Request) (*tunnel.Response, error) {
	if w.tunnel != nil {
		return w.tunnel.Do(ctx, request)
	}
	request.Agent = agent
	response, err := r.config.Relay.Do(ctx, w.node, request)
	if errors.Is(err, tunnel.ErrRefused) {
		r.refused(agent, w.node)
	}
	return response, err
}

// refused notes that an agent is not where it was said to be.
func (r *Roster) refused(agent, node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[agent]
	if p == nil || !slices.Contains(p.nodes, node) {
		return
	}
	if p.refused == nil {
		p.refused = make(map[string]time.Time)
	}
	p.refused[node] = time.Now()
}

// Local makes a request of another node: by a tunnel that is here, to a server that the agent was given, and in no other
// way. An error with Sent false means that it may be made elsewhere.
func (r *Roster) Local(ctx context.Context, request *tunnel.Request) (*tunnel.Response, error) {
	var found ways
	r.mu.RLock()
	if _, given := r.assigned[request.Agent][request.Server]; given {
		r.here(request.Agent, request.Server, &found)
	}
	r.mu.RUnlock()
	if found.many == 0 {
		return nil, &tunnel.Error{Err: notConnected(request.Agent)}
	}
	return r.tryAll(ctx, request.Agent, &found, request)
}
