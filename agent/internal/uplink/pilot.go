package uplink

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// period is the pilot's every.
	period = 30 * time.Second
	// maxNodes and maxTunnels bound what orders can ask for. What is beyond is left out; of nodes that is said in the log.
	maxNodes   = 1000
	maxTunnels = 8
)

// pilot keeps tunnels to the right nodes. Only the goroutine of run changes its state, one event at a time; others send it events.
type pilot struct {
	agent, region string
	drainTime     time.Duration
	log           *slog.Logger
	// attach dials a tunnel, says when it is up, and returns why it ended.
	attach func(ctx context.Context, l target, up func(way)) error
	// probe measures the round trip to a node without a tunnel.
	probe func(ctx context.Context, l target) (time.Duration, error)
	// every is how often the choice is looked at again, on average: agents do so at different times, so that a node that joins is not
	// overrun by all of them.
	every time.Duration
	// changed is called when tunnels are others than before, or begin to drain. It must not wait.
	changed func()

	events  chan func(now time.Time) // not buffered: who has an event waits for its turn
	done    chan struct{}
	running sync.WaitGroup

	ctx context.Context // of dials and tunnels

	mu       sync.Mutex // held for each step of the loop; view takes it to read
	links    map[string]*link
	want     int
	next     time.Time // when to look again
	stopping bool
}

// target is whom to dial.
type target struct{ name, address string }

func (p *pilot) init() {
	p.events, p.done = make(chan func(time.Time)), make(chan struct{})
	p.links = make(map[string]*link)
	p.want, p.every = 1, period
}

// tell has the loop do something. It waits for it to begin; after the end it does nothing.
func (p *pilot) tell(event func(now time.Time)) {
	select {
	case p.events <- event:
	case <-p.done:
	}
}

// run works until ctx ends, then drains all tunnels, and returns when none is left.
func (p *pilot) run(ctx context.Context) {
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer p.running.Wait()
	defer cancel()
	defer close(p.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for {
		event := func(time.Time) {}
		select {
		case <-stop:
			stop, event = nil, p.stop
		case event = <-p.events:
		case <-timer.C:
		}
		next, over := p.step(event)
		if over {
			return
		}
		timer.Reset(time.Until(next))
	}
}

// step takes one event, and does what follows from it. It returns when to look again, or that the end has come.
func (p *pilot) step(event func(now time.Time)) (next time.Time, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	event(now)
	next = p.settle(now)
	p.show(now)
	return next, p.stopping && !p.busy()
}

// show notes the states of links that are others than before, and has what reports tell of them reported.
func (p *pilot) show(now time.Time) {
	reported := func(s State) bool { return s == Ready || s == Draining }
	news := false
	for _, l := range p.links {
		if state := l.state(); state != l.shown {
			news = news || reported(state) || reported(l.shown)
			l.shown, l.shownAt = state, now
		}
	}
	if news {
		p.changed()
	}
}

// stop begins the end: no tunnel is dialled any more, and those there are are drained.
func (p *pilot) stop(time.Time) {
	p.stopping = true
	for _, l := range p.links {
		if l.line != nil {
			p.retire(l, agentStops)
		}
	}
}

func (p *pilot) busy() bool {
	for _, l := range p.links {
		if l.line != nil {
			return true
		}
	}
	return false
}

// settle brings what is in line with what should be, and returns when to look again.
func (p *pilot) settle(now time.Time) time.Time {
	if p.stopping {
		return now.Add(p.every)
	}
	if !now.Before(p.next) {
		p.next = now.Add(p.every*2/3 + rand.N(p.every*2/3))
		p.improve(now)
		p.measure(true)
	}
	p.fill(now)
	p.trim(now)
	return p.wake(now)
}

// wake is when something is due.
func (p *pilot) wake(now time.Time) time.Time {
	at := p.next
	for _, l := range p.links {
		if l.line == nil && l.welcome() && l.notBefore.After(now) && l.notBefore.Before(at) {
			at = l.notBefore
		}
		if end := l.goneAt.Add(grace); !l.listed && end.After(now) && end.Before(at) {
			at = end
		}
	}
	return at
}

// nodes takes the nodes of orders.
func (p *pilot) nodes(now time.Time, nodes []*enrollv1.NodeAddress, want int) {
	p.want = max(1, min(want, maxTunnels))
	if len(nodes) == 0 {
		return // See the package comment.
	}
	if len(nodes) > maxNodes {
		p.log.Error("there are more nodes than an agent can know; the last ones are left out", "nodes", len(nodes), "limit", maxNodes)
		nodes = nodes[:maxNodes]
	}
	listed := map[string]bool{}
	for _, n := range nodes {
		if n.GetName() == "" || n.GetAddress() == "" {
			p.log.Error("a node has no name or no address, and is left out", "node", n.GetName(), "address", n.GetAddress())
			continue
		}
		listed[n.GetName()] = true
		p.node(now, n)
	}
	for name, l := range p.links {
		if !listed[name] && l.listed {
			l.listed, l.goneAt = false, now
		}
	}
	p.forget()
	p.measure(false)
}

// node takes one node of the orders.
func (p *pilot) node(now time.Time, n *enrollv1.NodeAddress) {
	l := p.links[n.GetName()]
	if l == nil {
		l = &link{name: n.GetName(), address: n.GetAddress(), shownAt: now}
		p.links[l.name] = l
	}
	if l.address != n.GetAddress() {
		l.address = n.GetAddress()
		l.trip, l.failures, l.notBefore, l.lost = 0, 0, time.Time{}, nil
		if l.line != nil {
			p.retire(l, nodeMoved)
		}
	}
	if l.draining && !n.GetDraining() {
		l.failures, l.notBefore = 0, now // It is back.
	}
	l.region, l.draining, l.listed = n.GetRegion(), n.GetDraining(), true
}

// forget drops nodes that are none any more.
func (p *pilot) forget() {
	for name, l := range p.links {
		if !l.listed && l.line == nil && !l.probing {
			delete(p.links, name)
		}
	}
}
