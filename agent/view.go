package agent

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/warder-gateway/warder/agent/internal/calls"
	"github.com/warder-gateway/warder/agent/internal/inventory"
	"github.com/warder-gateway/warder/agent/internal/terminal"
	"github.com/warder-gateway/warder/agent/internal/uplink"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// Screen is a terminal on which Run can show what the agent does.
type Screen = terminal.Screen

// FindScreen returns the screen before which a process was started, by its streams and its environment; nil if there is none.
func FindScreen(stdin io.Reader, stdout, stderr io.Writer) *Screen {
	in, _ := stdin.(*os.File)
	out, _ := stdout.(*os.File)
	err, _ := stderr.(*os.File)
	if in == nil || out == nil || err == nil {
		return nil
	}
	return terminal.Find(in, out, err, os.Getenv)
}

// view is what is shown of a running agent. A nil view shows nothing, and nothing is noted for it.
type view struct {
	screen  *Screen
	journal *terminal.Journal
	calls   *calls.Log
	began   time.Time
}

// open returns the view that the settings ask for, and has it read what is logged from now on.
func (c *Config) open() *view {
	if c.Screen == nil || c.NoView {
		return nil
	}
	journal := terminal.NewJournal(c.Log.Handler())
	c.Log = slog.New(journal.Handler())
	return &view{c.Screen, journal, calls.NewLog(), time.Now()}
}

// watched is an inventory whose calls are noted.
type watched struct {
	*inventory.Inventory
	noting tunnel.Handler // before the inventory
}

// Serve implements tunnel.Handler.
func (w watched) Serve(ctx context.Context, r *tunnel.Incoming, a tunnel.Answer) {
	w.noting.Serve(ctx, r, a)
}

// watch returns the servers as the uplink is to call them.
func (v *view) watch(servers *inventory.Inventory) uplink.Servers {
	if v == nil {
		return servers
	}
	return watched{servers, v.calls.Watch(servers)}
}

// show shows the agent until ctx ends, and calls stop when the user wants that. An agent whose view fails goes on without it.
func (v *view) show(ctx context.Context, stop func(), c *Config, who *identity.Identity, servers *inventory.Inventory, link *uplink.Uplink, file func() string) {
	if v == nil {
		return
	}
	asked, err := v.screen.Show(ctx, terminal.Source{
		Facts: terminal.Facts{
			Agent: who.Peer().Name, Region: who.Region(), ControlPlane: c.ControlPlane, Version: c.Version, Started: v.began,
		},
		Uplink: func() terminal.Uplink { return shown(link) }, File: file, Servers: servers.Reports, Calls: v.calls, Journal: v.journal,
	})
	if err != nil {
		c.Log.Warn("the view ended; the agent goes on without it", "error", err)
	}
	if asked {
		stop()
	}
}

// shown is how the agent is connected, as it is shown.
func shown(link *uplink.Uplink) terminal.Uplink {
	from := link.View()
	to := terminal.Uplink{
		Connected: from.ControlPlane.Connected, Since: from.ControlPlane.Since, Why: from.ControlPlane.Why,
		Nodes: make([]terminal.Node, len(from.Links)),
	}
	for i, l := range from.Links {
		to.Nodes[i] = terminal.Node{
			Name: l.Node, Region: l.Region, Address: l.Address, State: l.State.String(), Since: l.Since,
			Up: l.State == uplink.Ready || l.State == uplink.Draining, RoundTrip: l.RoundTrip, Calls: l.Calls, Why: l.Why,
		}
	}
	return to
}
