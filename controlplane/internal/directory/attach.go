package directory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// takeTime bounds how long an agent may take to have a server ready.
	takeTime = 15 * time.Second
	// tunnelCredit bounds what one agent may send ahead of who reads it, in bytes:
	// there are many agents, and few are asked at a time.
	tunnelCredit = 2 << 20
)

// link is the tunnel of an agent to this replica.
type link struct {
	tunnel *tunnel.Tunnel
	end    context.CancelCauseFunc
	// The directory's lock guards these.
	ready   map[string]bool
	foreign map[string]bool // what was announced and logged that is not the agent's
}

// Attach serves the tunnel of one agent until either side ends it.
func (d *Directory) Attach(stream tunnelv1.TunnelService_AttachServer) error {
	peer, err := identity.FromContext(stream.Context())
	if err != nil {
		return fault.GRPC(err)
	}
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	l := &link{end: end}
	l.tunnel = tunnel.New(stream, tunnel.Config{
		Version: d.config.Version, TunnelCredit: tunnelCredit, Log: d.config.Log.With("agent", peer.Name),
		Servers: func(states []*tunnelv1.ServerState) { d.announced(peer.Name, l, states) },
	})
	if err := d.tie(peer.Name, l); err != nil {
		return fault.GRPC(err)
	}
	defer d.untie(peer.Name, l)
	err = l.tunnel.Run(ctx)
	if errors.Is(err, tunnel.ErrLost) {
		err = fault.Wrap(fault.Unavailable, "the tunnel is lost", err)
	}
	return fault.GRPC(err)
}

// tie makes l the tunnel of an agent. An earlier one is ended.
func (d *Directory) tie(name string, l *link) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return errShutdown
	}
	a := d.of(name)
	if a.link != nil {
		a.link.end(errSuperseded)
	}
	a.link = l
	d.moved(name, a)
	return nil
}

// untie forgets l, unless a later tunnel took its place.
func (d *Directory) untie(name string, l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.agents[name]; a != nil && a.link == l {
		a.link = nil
		d.moved(name, a)
	}
}

// announced takes what an agent says it serves.
func (d *Directory) announced(name string, l *link, states []*tunnelv1.ServerState) {
	ready := make(map[string]bool, len(states))
	for _, s := range states {
		if s.GetReady() {
			ready[s.GetName()] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l.ready = ready
	if a := d.agents[name]; a != nil && a.link == l {
		if foreign := a.stray(); len(foreign) > 0 {
			d.config.Log.Warn("an agent announces servers that it was not given; they are ignored", "agent", name, "servers", foreign)
		}
		d.moved(name, a)
	}
}

// stray returns servers that the agent announces without having them, each once. While
// it has not taken the last orders, none: it may have had them by those before.
func (a *agent) stray() (names []string) {
	f := a.follower
	if f == nil || f.number == 0 || f.taken != f.number {
		return nil
	}
	for name := range a.link.ready {
		if _, given := f.ordered[name]; !given && !a.link.foreign[name] && len(a.link.foreign) < maxReported {
			if a.link.foreign == nil {
				a.link.foreign = make(map[string]bool)
			}
			a.link.foreign[name] = true
			names = append(names, clean(name))
		}
	}
	slices.Sort(names)
	return names
}

// Here lists the agents that can be reached from this replica.
func (d *Directory) Here() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := []string{}
	for name, a := range d.agents {
		if a.follower != nil && a.link != nil {
			names = append(names, name)
		}
	}
	return names
}

// Reach implements catalog.Tunnels.
func (d *Directory) Reach(ctx context.Context, agent, server string) (http.RoundTripper, error) {
	position, err := d.config.Store.GetRevision(ctx)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(takeTime)
	defer patience.Stop()
	for {
		t, changed, err := d.reach(agent, server, uint64(position.Revision))
		if err != nil {
			return nil, err
		}
		if t != nil {
			return tunnel.RoundTripper(t, server), nil
		}
		select {
		case <-changed:
		case <-patience.C:
			return nil, d.tardy(agent, server)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for server %s of agent %s: %w", server, agent, context.Cause(ctx))
		}
	}
}

// reach returns the tunnel of an agent that has taken its orders of a revision and has
// the server ready; nil: not yet, and what is closed when that may be otherwise.
func (d *Directory) reach(agent, server string, revision uint64) (*tunnel.Tunnel, <-chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.agents[agent]
	if a == nil || a.follower == nil || a.link == nil {
		return nil, nil, catalog.Away(agent, server)
	}
	f := a.follower
	if f.number == 0 || f.sent < revision || f.taken != f.number {
		return nil, a.changed, nil
	}
	if a.link.ready[server] {
		return a.link.tunnel, nil, nil
	}
	if s := f.reportOf(server); f.reported == f.number && s.GetPhase() == enrollv1.ServerPhase_SERVER_PHASE_REFUSED {
		return nil, nil, fault.Newf(fault.Precondition, "server %q: its agent %q does not run it: %s", server, agent, s.GetLastError())
	} else if f.reported == f.number && s.GetPhase() == enrollv1.ServerPhase_SERVER_PHASE_WAITING && s.GetLastError() != "" {
		return nil, nil, fault.Newf(fault.Unavailable, "server %q does not start at its agent %q, which tries it again by itself: %s", server, agent, s.GetLastError())
	}
	return nil, a.changed, nil
}

// tardy says why a server was not ready in time.
func (d *Directory) tardy(agent, server string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	why := "it has not taken its orders yet"
	if a := d.agents[agent]; a != nil && a.follower != nil && a.follower.taken == a.follower.number {
		why = unready(a.follower.reportOf(server))
	}
	return fault.Newf(fault.Unavailable, "server %q: its agent %q did not have it ready within %s: %s", server, agent, takeTime, why)
}

// unready says why a server is not ready, by what its agent reports of it; nil: nothing.
func unready(s *enrollv1.ServerReport) string {
	switch {
	case s == nil:
		return "it has no such server; a server without a command or a URL is one that the agent's own file declares"
	case s.GetLastError() != "":
		return s.GetLastError()
	case s.GetLastLine() != "":
		return "it is still starting; its last line: " + s.GetLastLine()
	}
	return "it does not say why"
}

// reportOf returns what the agent reports of a server, or nil.
func (f *follower) reportOf(server string) *enrollv1.ServerReport {
	for _, s := range f.report.GetServers() {
		if s.GetName() == server {
			return s
		}
	}
	return nil
}
