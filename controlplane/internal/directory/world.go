package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// channel is where a new place of a node or an agent is notified.
	channel = "warder_locations"
	// reconcile is how often places are read although nothing woke: a replica that died
	// takes none of its nodes back.
	reconcile = 15 * time.Second
	// gather is how long changes of places are collected, so that many of them are one
	// message to each node: a server that crashes is one of each node that its agent has a
	// tunnel to. While they come without end it doubles up to longestGather, and gatherQuiet
	// without any ends that. What a node waits before it says that an agent has lost a
	// server comes on top, and all together is to be less than a second (longestPause in
	// the roster of the data plane).
	gather        = 25 * time.Millisecond
	longestGather = 400 * time.Millisecond
	gatherQuiet   = time.Second
	// settle bounds how long a control plane that starts waits for the nodes that were there
	// within known to be back before it tells anybody where nodes and agents are. Until then
	// the last word that they have is better than what is known here.
	settle = 5 * time.Second
	known  = 24 * time.Hour
)

// world is where nodes and agents are, as all replicas know it.
type world struct {
	mu        sync.Mutex
	nodes     []*enrollv1.NodeAddress
	locations *syncv1.Locations
	version   uint64        // of locations; 0: not known yet
	moved     chan struct{} // closed, and replaced, when version moves
}

func (w *world) init() { w.moved = make(chan struct{}) }

// now returns the world, and what is closed when it is another.
func (w *world) now() (nodes []*enrollv1.NodeAddress, locations *syncv1.Locations, version uint64, moved <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes, w.locations, w.version, w.moved
}

// set replaces the world, and reports whether it is another now.
func (w *world) set(nodes []*enrollv1.NodeAddress, locations *syncv1.Locations) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.version > 0 && proto.Equal(w.locations, locations) && proto.Equal(&enrollv1.Orders{Nodes: w.nodes}, &enrollv1.Orders{Nodes: nodes}) {
		return false
	}
	w.nodes, w.locations = nodes, locations
	w.version++
	close(w.moved)
	w.moved = make(chan struct{})
	return true
}

// Locations blocks until they are others than those of a version, and returns them with
// their own. It fails only when ctx ends. Nobody changes what it returns.
func (d *Directory) Locations(ctx context.Context, seen uint64) (*syncv1.Locations, uint64, error) {
	for {
		_, locations, version, moved := d.world.now()
		if version > seen {
			return locations, version, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, seen, context.Cause(ctx)
		}
	}
}

// position returns how far locations have come. It is asked all the time, so it is the first
// to know that the database is away.
func (d *Directory) position(ctx context.Context) (uint64, error) {
	position, err := d.config.Store.GetLocationPosition(ctx)
	if err != nil {
		d.mu.Lock()
		d.deaf = time.Now()
		d.mu.Unlock()
	}
	return uint64(position), err
}

// followPlaces reads the world when it has changed, and lets what changes next gather.
func (d *Directory) followPlaces(ctx context.Context) (uint64, error) {
	reached := d.places.Revision()
	if err := d.look(ctx); err != nil {
		return 0, err
	}
	d.letGather(ctx)
	return reached, nil
}

// letGather waits for as long as changes are collected after those that were just read.
func (d *Directory) letGather(ctx context.Context) {
	d.gathering.Done(time.Now())
	pause(ctx, time.Until(d.gathering.Next()))
}

// look reads the world.
func (d *Directory) look(ctx context.Context) error {
	d.reading.Lock()
	defer d.reading.Unlock()
	rows, err := d.config.Store.ListTunnelNodes(ctx)
	if err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	attachments, err := d.config.Store.ListAttachments(ctx)
	if err != nil {
		return fmt.Errorf("read attachments: %w", err)
	}
	if ok, err := d.settled(ctx); !ok || err != nil {
		return err
	}
	var nodes []*enrollv1.NodeAddress
	locations := new(syncv1.Locations)
	for _, n := range rows {
		nodes = append(nodes, &enrollv1.NodeAddress{Name: n.Name, Region: n.Region, Address: n.TunnelAddress, Draining: n.Draining})
		locations.Nodes = append(locations.Nodes, &syncv1.NodeLocation{Name: n.Name, Region: n.Region, TunnelAddress: n.TunnelAddress})
	}
	counted := d.counted(attachments)
	locations.Agents = agentLocations(counted)
	d.logStrays(attachments)
	d.logClaims(attachments, counted)
	if d.world.set(nodes, locations) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, a := range d.agents {
			if a.follower != nil {
				a.follower.poke()
			}
		}
	}
	return nil
}

// settled reports whether it is time to say where nodes and agents are: the nodes that were
// there lately are back, or settle is over. The caller holds reading.
func (d *Directory) settled(ctx context.Context) (bool, error) {
	if d.complete || time.Since(d.began) >= settle {
		d.complete = true
		return true, nil
	}
	rows, err := d.config.Store.ListNodes(ctx)
	if err != nil {
		return false, fmt.Errorf("read nodes: %w", err)
	}
	d.complete = !slices.ContainsFunc(rows, func(n db.ListNodesRow) bool {
		return !n.Connected && n.TunnelAddress != "" && n.RevokedAt == nil && time.Since(n.SeenAt) < known
	})
	return d.complete, nil
}

// awaitSettled reads the world when settle is over, if nothing did before.
func (d *Directory) awaitSettled(ctx context.Context) {
	pause(ctx, settle)
	if err := d.look(ctx); err != nil && ctx.Err() == nil {
		d.config.Log.Warn("cannot read where nodes and agents are; it is read again", "error", err)
	}
}

// logStrays tells of servers that nodes name and that are not those of the agent, each
// once while it lasts. One that was just removed is among them for a moment. The caller
// holds reading.
func (d *Directory) logStrays(rows []db.ListAttachmentsRow) {
	strays := make(map[[3]string]bool)
	for _, row := range rows {
		for _, server := range row.Strays {
			stray := [3]string{row.Node, row.Agent, server}
			if strays[stray] = true; !d.strays[stray] {
				d.config.Log.Info("a node names a server that is not the agent's; it is ignored", "node", row.Node, "agent", row.Agent, "server", server)
			}
		}
	}
	d.strays = strays
}

// agentLocations joins the rows of each agent, which come one after the other.
func agentLocations(rows []db.ListAttachmentsRow) (agents []*syncv1.AgentLocation) {
	ready := map[string]bool{}
	for _, row := range rows {
		if len(agents) == 0 || agents[len(agents)-1].GetName() != row.Agent {
			agents = append(agents, &syncv1.AgentLocation{Name: row.Agent})
			clear(ready)
		}
		last := agents[len(agents)-1]
		last.Nodes = append(last.Nodes, row.Node)
		for _, server := range row.Ready {
			if !ready[server] {
				ready[server] = true
				last.Ready = append(last.Ready, server)
			}
		}
	}
	return agents
}

// ConnectNode keeps that a node has a stream.
func (d *Directory) ConnectNode(ctx context.Context, p db.ConnectNodeParams) error {
	return d.move(ctx, func(tx *store.Tx) error { return tx.ConnectNode(ctx, p) })
}

// UpdateNode keeps how far a node is.
func (d *Directory) UpdateNode(ctx context.Context, p db.UpdateNodeParams) (int64, error) {
	return d.config.Store.UpdateNode(ctx, p)
}

// DisconnectNode keeps that a stream of a node ended. What is known of its agents stays, and counts
// again when the node is back: where a control plane stops in order, all of its nodes go to
// another one within a second, and must not be told of each other meanwhile that nobody has
// any agent. A node that comes says at once which agents it has.
func (d *Directory) DisconnectNode(ctx context.Context, p db.DisconnectNodeParams) error {
	return d.move(ctx, func(tx *store.Tx) error { return tx.DisconnectNode(ctx, p) })
}

// AttachAgents keeps which agents have a tunnel to a node, all of them, as one of its
// streams says. If that is not the latest, nothing happens.
func (d *Directory) AttachAgents(ctx context.Context, node, stream string, attached *syncv1.Attached) error {
	p := db.AttachParams{Node: node, Agents: []string{}, Ready: []string{}}
	known := map[string]bool{}
	for _, a := range attached.GetAgents() {
		if known[a.GetName()] || (identity.Peer{Kind: identity.Agent, Name: a.GetName()}).Check() != nil {
			continue
		}
		known[a.GetName()] = true
		var ready []string
		for _, server := range a.GetReady() {
			if mcp.ValidSlug(server) {
				ready = append(ready, server)
			}
		}
		p.Agents, p.Ready = append(p.Agents, a.GetName()), append(p.Ready, strings.Join(ready, " "))
	}
	return d.move(ctx, func(tx *store.Tx) error {
		held, err := tx.HoldNode(ctx, db.HoldNodeParams{Name: node, ConnectedTo: stream})
		if err != nil || held == 0 {
			return err
		}
		if _, err := tx.Detach(ctx, db.DetachParams{Node: node, Remaining: p.Agents}); err != nil {
			return err
		}
		_, err = tx.Attach(ctx, p)
		return err
	})
}

// move writes what moves nodes or agents, and wakes the replicas.
func (d *Directory) move(ctx context.Context, fn func(*store.Tx) error) error {
	return d.config.Store.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.MoveLocations(ctx); err != nil {
			return err
		}
		return fn(tx)
	})
}
