package roster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// maxTunnels is how many tunnels an agent may have here; for one more the oldest ends.
	maxTunnels = 4
	// maxOpen is how many streams it may have, those included that have not said hello; one more is refused.
	maxOpen = 8
)

// Why tunnels end.
var (
	errDenied   = errors.New("the agent is revoked")
	errReplaced = errors.New("the agent has opened too many other tunnels since")
)

// attachment is one tunnel of an agent. What may change is guarded by the lock of the roster.
type attachment struct {
	agent  string
	tunnel *tunnel.Tunnel
	issued time.Time // its certificate
	end    context.CancelCauseFunc
	since  time.Time       // when it announced its servers first
	ready  map[string]bool // by server; nil: nothing was announced yet
}

// takes reports whether it is known what the agent serves through this tunnel, which it does not give up.
func (a *attachment) takes() bool { return a.ready != nil && !a.tunnel.Draining() }

// serves reports whether a server can be called through it.
func (a *attachment) serves(server string) bool { return a.ready[server] && !a.tunnel.Draining() }

// Attach implements the TunnelService: it holds the tunnel of an agent until that ends. The peer is in the
// context, as identity.Admission puts it there.
func (r *Roster) Attach(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	peer, err := identity.FromContext(stream.Context())
	switch {
	case err != nil:
		return fault.GRPC(err)
	case peer.Kind != identity.Agent:
		return status.Error(codes.PermissionDenied, "only agents attach here")
	}
	name, issued := peer.Name, identity.Issued(stream.Context())
	if err := r.admit(name, issued); err != nil {
		return err
	}
	defer r.left(name)
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	a := &attachment{agent: name, issued: issued, end: end}
	a.tunnel = tunnel.New(stream, tunnel.Config{
		Version: r.config.Version, Log: r.config.Log,
		Servers: func(states []*tunnelv1.ServerState) { r.announced(a, states) },
	})
	entered := make(chan struct{})
	go func() {
		defer close(entered)
		select {
		case <-a.tunnel.Ready():
			r.enter(a)
		case <-ctx.Done():
			return
		}
		select {
		case <-a.tunnel.PeerDrains():
			r.news.note(name)
		case <-ctx.Done():
		}
	}()
	err = a.tunnel.Run(ctx)
	end(err)
	<-entered
	r.leave(a)
	r.config.Log.Info("a tunnel of an agent ended", "agent", name, "reason", err)
	return ended(err)
}

// ended is what an agent is told of the end of its tunnel.
func ended(err error) error {
	switch {
	case errors.Is(err, errDenied):
		return status.Error(codes.PermissionDenied, errDenied.Error())
	case errors.Is(err, errReplaced):
		return status.Error(codes.ResourceExhausted, errReplaced.Error())
	case errors.Is(err, tunnel.ErrRule), errors.Is(err, tunnel.ErrRevision):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return status.Error(codes.Unavailable, "the tunnel ended")
}

// admit counts a stream of an agent, if there may be one.
func (r *Roster) admit(agent string, issued time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reason, void := r.denied.Cover(agent, issued); void {
		r.config.Log.Warn("a denied agent wants to attach", "agent", agent, "reason", reason)
		return ended(errDenied)
	}
	if r.draining {
		return status.Error(codes.Unavailable, "the node is going down")
	}
	if r.open[agent] >= maxOpen {
		return status.Error(codes.ResourceExhausted, "the agent has too many tunnels to this node")
	}
	r.open[agent]++
	return nil
}

func (r *Roster) left(agent string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[agent]--; r.open[agent] <= 0 {
		delete(r.open, agent)
	}
}

// enter takes a tunnel into account: both ends have said hello.
func (r *Roster) enter(a *attachment) {
	r.mu.Lock()
	if _, void := r.denied.Cover(a.agent, a.issued); void {
		r.mu.Unlock()
		a.end(errDenied)
		return
	}
	here := append(slices.Clone(r.agents[a.agent]), a)
	var oldest *attachment
	if len(here) > maxTunnels {
		oldest, here = here[0], here[1:]
	}
	r.agents[a.agent] = here
	draining := r.draining
	r.mu.Unlock()
	if oldest != nil {
		oldest.end(errReplaced)
	}
	if draining {
		a.tunnel.Drain()
	}
	r.config.Log.Info("an agent attached", "agent", a.agent, "version", a.tunnel.PeerVersion())
	r.news.note(a.agent)
}

// leave takes out a tunnel, and no other.
func (r *Roster) leave(a *attachment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	here := slices.DeleteFunc(slices.Clone(r.agents[a.agent]), func(other *attachment) bool { return other == a })
	if len(here) == 0 {
		delete(r.agents, a.agent)
	} else {
		r.agents[a.agent] = here
	}
	r.news.note(a.agent)
}

// announced notes what an agent says that it serves. What it was not given is not asked for, whatever it says.
func (r *Roster) announced(a *attachment, states []*tunnelv1.ServerState) {
	ready := make(map[string]bool, len(states))
	for _, state := range states {
		ready[state.GetName()] = state.GetReady()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.ready == nil {
		a.since = time.Now()
	} else if maps.Equal(a.ready, ready) {
		return
	}
	a.ready = ready
	r.news.note(a.agent)
}
