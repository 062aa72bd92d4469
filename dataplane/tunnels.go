package dataplane

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/dataplane/internal/errand"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/relay"
	"github.com/warder-gateway/warder/dataplane/internal/roster"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/doorman"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// tunnels are a node's part in tunnels: its listener for agents and other nodes, and what comes over it. A nil one is that of
// a node that has no part in them.
type tunnels struct {
	plane   *Plane
	log     *slog.Logger
	address string // by which others reach the socket
	socket  net.Listener
	server  *grpc.Server
	roster  *roster.Roster
	relay   *relay.Relay
	errands *errand.Errands

	// located is closed once it is known where agents are, or that the last word from before the start must do.
	located     chan struct{}
	locatedOnce sync.Once
	recalled    bool // There is a last word. It is set before the node runs.

	mu   sync.Mutex
	away map[string]struct{} // servers, as what serves was last dressed
	told *syncv1.Attached    // that was last said to the control plane
}

const (
	// tunnelFrames bounds what is received at once, in bytes; an end of a tunnel takes less.
	tunnelFrames = 512 << 10
	// tunnelsPerConnection bounds the streams of one connection: one is enough, and another while it is replaced.
	tunnelsPerConnection = 4
	// moveTime is how long agents get to go to other nodes, and partTime how long those get to let go of this one.
	moveTime = 2 * time.Second
	partTime = 500 * time.Millisecond
	// bearings is how long a node that starts waits to hear where agents are before it
	// takes calls. Connections wait in the backlog of its socket meanwhile.
	bearings = 3 * time.Second
	// handshakeTime is how long a connection may take to say who it is.
	handshakeTime = 10 * time.Second
)

// newTunnels binds the listener. It serves when run is called.
func newTunnels(p *Plane) (*tunnels, error) {
	socket, err := bind("--tunnel-listen", p.config.TunnelListen)
	if err != nil {
		return nil, err
	}
	t := &tunnels{
		plane: p, log: p.log, socket: socket, located: make(chan struct{}),
		address: cmp.Or(p.config.TunnelAddress, socket.Addr().String()),
	}
	t.relay = relay.New(relay.Config{
		Local: t.local, Errand: t.errand, Version: p.config.Version, Log: p.log, Registerer: p.config.Registerer,
		Client: func(node string) *tls.Config { return p.identity.Client(identity.Node, node) },
	})
	t.roster = roster.New(roster.Config{
		Node: p.identity.Peer().Name, Relay: t.relay, Changed: t.changed,
		Version: p.config.Version, Log: p.log, Registerer: p.config.Registerer,
	})
	t.errands = errand.New(errand.Config{Node: p.identity.Peer().Name, Relay: t.relay, Server: t.item})
	admission := &identity.Admission{Log: p.log, Methods: map[string][]identity.Kind{
		tunnelv1.TunnelService_Attach_FullMethodName: {identity.Agent},
		tunnelv1.RelayService_Relay_FullMethodName:   {identity.Node},
	}}
	t.server = grpc.NewServer(append(admission.Interceptors(),
		grpc.Creds(doorman.New("node", p.identity.Server(identity.Agent, identity.Node), p.config.Registerer)),
		grpc.MaxRecvMsgSize(tunnelFrames), grpc.MaxConcurrentStreams(tunnelsPerConnection), grpc.ConnectionTimeout(handshakeTime),
	)...)
	tunnelv1.RegisterTunnelServiceServer(t.server, attaching{Roster: t.roster})
	tunnelv1.RegisterRelayServiceServer(t.server, relaying{relay: t.relay})
	return t, nil
}

// attaching and relaying are the services of the listener.
type (
	attaching struct {
		tunnelv1.UnsafeTunnelServiceServer
		*roster.Roster
	}
	relaying struct {
		tunnelv1.UnsafeRelayServiceServer
		relay *relay.Relay
	}
)

// Relay implements the RelayService.
func (r relaying) Relay(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	return r.relay.Serve(stream)
}

// abandon lets go of what was bound, where the node does not come to be.
func (t *tunnels) abandon() error {
	if t == nil {
		return nil
	}
	return t.socket.Close()
}

// run serves until ctx ends.
func (t *tunnels) run(ctx context.Context) {
	if t == nil {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { t.roster.Run(ctx) })
	parts.Go(func() {
		if err := t.server.Serve(t.socket); err != nil {
			t.log.Error("agents and other nodes are not served any more", "error", err)
		}
	})
	<-ctx.Done()
	parting, cancel := context.WithTimeout(context.Background(), partTime)
	defer cancel()
	t.relay.Drain(parting) // So that nothing is on its way here when the lines end.
	t.relay.Close()
	t.server.Stop()
	parts.Wait()
}

// The end of a node's part in tunnels:
//
//	drain: agents and the control plane are told ─▶ leave: agents have moved, and calls of other nodes are refused
//	  ─▶ serving is 0: theirs have ended ─▶ run: other nodes let go, and all ends

// drain tells agents and the control plane that the node is going down.
func (t *tunnels) drain() {
	if t != nil {
		t.roster.Drain()
		t.plane.replica.Drain()
	}
}

// leave refuses calls of other nodes as soon as their agents can be reached elsewhere, for which there is a bounded time.
func (t *tunnels) leave() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), moveTime)
	defer cancel()
	own := t.plane.identity.Peer().Name
	for waiting := true; waiting && !t.roster.Moved() && len(t.relay.Nodes(own)) > 0; {
		waiting = lifetime.Sleep(ctx, drainPoll)
	}
	t.relay.Leave()
}

// serving is how many calls of other nodes are being served.
func (t *tunnels) serving() int64 {
	if t == nil {
		return 0
	}
	return int64(t.relay.Serving())
}

// carriers is what upstream needs to reach servers of agents.
func (t *tunnels) carriers() func(*snapshotv1.Server) upstream.Carrier {
	if t == nil {
		return nil
	}
	return func(server *snapshotv1.Server) upstream.Carrier { return t.roster.Carrier(server) }
}

// keepers lets nodes agree on sessions.
func (t *tunnels) keepers() upstream.Keepers {
	if t == nil {
		return nil
	}
	return t.errands
}

// local serves another node. The relay is made before the roster.
func (t *tunnels) local(ctx context.Context, request *tunnel.Request) (*tunnel.Response, error) {
	return t.roster.Local(ctx, request)
}

// errand serves another node. The relay is made before the errands.
func (t *tunnels) errand(ctx context.Context, node, kind string, body []byte, w tunnel.Answer) {
	t.errands.Serve(ctx, node, kind, body, w)
}

// item returns a server as it is known now.
func (t *tunnels) item(slug string) *snapshotv1.Server {
	index := t.plane.current()
	if index == nil {
		return nil
	}
	server, ok := index.Server(slug)
	if !ok {
		return nil
	}
	return server.Item
}

// peers is what a session needs to reach other nodes.
func (t *tunnels) peers() session.Peers {
	if t == nil {
		return nil
	}
	return t.errands
}

// locate takes over where agents and nodes are.
func (t *tunnels) locate(locations *syncv1.Locations) {
	t.relay.Locate(locations.GetNodes())
	t.roster.Locate(locations)
	t.bearingsTaken()
}

// recall takes over where agents and nodes were when this node was last told. What is not so any more, others refuse.
func (t *tunnels) recall(locations *syncv1.Locations) {
	t.relay.Locate(locations.GetNodes())
	t.roster.Locate(locations)
	t.recalled = true
}

// unheard is told that there is no control plane at the moment. A node with a last word goes by that.
func (t *tunnels) unheard() {
	if t != nil && t.recalled {
		t.bearingsTaken()
	}
}

func (t *tunnels) bearingsTaken() { t.locatedOnce.Do(func() { close(t.located) }) }

// awaitLocated waits until it is known where agents are, but no longer than bearings: a
// control plane may be away. A node that began before would say of servers that all others
// serve that they are not there. One that has a last word begins as soon as it finds that
// nobody answers: until then it waits, too, for agents may have moved while it was down.
func (t *tunnels) awaitLocated(ctx context.Context) {
	if t == nil {
		return
	}
	select {
	case <-t.located:
	case <-time.After(bearings):
	case <-ctx.Done():
	}
}

// heard reports whether what serves lists servers by what this agent says of them.
func (t *tunnels) heard(agent string) bool {
	index := t.plane.current()
	return index != nil && t.roster.Heard(agent) && maps.Equal(index.Away(), t.roster.Away(index.Servers()))
}

// retain takes over what a snapshot says of agents and nodes.
func (t *tunnels) retain(index *gate.Index) {
	if t != nil {
		t.roster.Retain(index.Servers(), index.DeniedAgents(), index.DeniedNodes())
		t.relay.Retain(index.DeniedNodes())
	}
}

// dress leaves out of an index's lists what can be called nowhere.
func (t *tunnels) dress(index *gate.Index) *gate.Index {
	away := t.roster.Away(index.Servers())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = away
	return index.Without(away)
}

// changed is told when agents, or their servers, have come or gone.
func (t *tunnels) changed() {
	attached := t.roster.Attached()
	t.mu.Lock()
	news := t.told == nil || !proto.Equal(t.told, attached)
	t.told = attached
	shown := t.away
	t.mu.Unlock()
	if news {
		t.plane.replica.AttachedChanged()
	}
	if index := t.plane.current(); index != nil && !maps.Equal(shown, t.roster.Away(index.Servers())) {
		t.plane.replica.Redress()
	}
}
