package uplink

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// maxWhy bounds a reason in a View, in bytes.
const maxWhy = 300

// View is how an agent is connected at one moment. It is the receiver's own: nothing changes it later.
//
// Every Why in it is one line of printable text of bounded length, though it may repeat what the other end said. It is for the
// people of the agent's own machine.
type View struct {
	ControlPlane ControlPlane
	// Tunnels is how many nodes there should be tunnels to, if there are as many nodes.
	Tunnels int
	// Links are the nodes of the orders, and those that were nodes and still have a tunnel, by name.
	Links []Link
}

// ControlPlane is the stream to the control plane.
type ControlPlane struct {
	Address string
	// Connected says that orders come, and reports are heard. Without it the last orders hold.
	Connected bool
	// Since is when Connected became what it is; at first, when the agent began.
	Since time.Time
	// Why says what the last attempt to connect ended with. It is empty while Connected, and before an attempt has failed.
	Why string
}

// Link is a node, and the tunnel to it if there is one.
type Link struct {
	Node, Region, Address string
	State                 State
	// Since is when State became what it is.
	Since time.Time
	// Why says, of a link that is Lost or being dialled, what the tunnel before ended with, and of one that drains, why it does.
	Why string
	// RoundTrip is as measured last, by the tunnel or without one. 0: it never was.
	RoundTrip time.Duration
	// Calls is how many calls run through the tunnel, and Streams how many exchanges are open in it: those, and sessions that listen.
	Calls, Streams int
}

// State is what becomes of a link.
type State int

// The states of a link.
const (
	Idle     State = iota // it has no tunnel, and needs none: other nodes are better, or it drains
	Dialling              // a tunnel is being made
	Ready                 // calls can come through its tunnel
	Draining              // its tunnel ends when the calls that run there have
	Lost                  // its tunnel ended by itself, or could not be made
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"idle", "dialling", "ready", "draining", "lost"}[s]
}

// View returns how the agent is connected now. It may be called at any time and from many goroutines, also before and after Run. It
// does not wait for the network, and costs so little that a terminal may ask several times a second.
func (u *Uplink) View() View {
	view := View{ControlPlane: *u.control.Load()}
	view.Links, view.Tunnels = u.pilot.view()
	return view
}

// tunnels are the links that have a tunnel, as reports have them.
func (v View) tunnels() (reports []*enrollv1.TunnelReport) {
	for _, l := range v.Links {
		if l.State == Ready || l.State == Draining {
			reports = append(reports, &enrollv1.TunnelReport{
				Node: l.Node, RoundTrip: durationpb.New(l.RoundTrip), Streams: uint32(l.Streams), Draining: l.State == Draining,
			})
		}
	}
	return reports
}

// contact notes whether the control plane is there, and if not why. One goroutine calls it.
func (u *Uplink) contact(connected bool, why error) {
	next := *u.control.Load()
	if next.Connected != connected {
		next.Connected, next.Since = connected, time.Now()
	}
	next.Why = plain(why)
	u.control.Store(&next)
}

// view is the pilot's part of a View.
func (p *pilot) view() (links []Link, want int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		links = append(links, l.view())
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Node, b.Node) })
	return links, p.want
}

func (l *link) view() Link {
	v := Link{
		Node: l.name, Region: l.region, Address: l.address, State: l.state(), Since: l.shownAt, Why: l.why(), RoundTrip: l.roundTrip(),
	}
	if l.line != nil && l.line.way != nil {
		v.Streams, v.Calls = l.line.way.Streams(), l.line.way.Calls()
	}
	return v
}

func (l *link) state() State {
	switch {
	case l.line == nil && l.lost != nil:
		return Lost
	case l.line == nil:
		return Idle
	case l.line.way == nil:
		return Dialling
	case l.line.retiring || l.line.drains || l.draining:
		return Draining
	}
	return Ready
}

func (l *link) why() string {
	switch {
	case l.line != nil && l.line.retiring:
		return l.line.reason
	case l.lost != nil:
		return plain(l.lost)
	case l.draining || l.line != nil && l.line.drains:
		return nodeDrains
	}
	return ""
}

// plain is an error for people: what the other end answered where it did, in one line, and nothing that moves a terminal's cursor.
func plain(err error) string {
	if err == nil {
		return ""
	}
	text := identity.Reason(err)
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text[:min(len(text), maxWhy)])
	return strings.TrimSpace(text)
}
