package uplink

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// period is how often the choice is looked at again, on average.
	period = 30 * time.Second
	// maxProbes bounds the nodes that are measured at a time without a tunnel to them.
	maxProbes = 16
	// maxNodes and maxTunnels bound what orders can ask for.
	maxNodes   = 1000
	maxTunnels = 8
)

// pilot keeps tunnels to the right nodes. One goroutine, that of run, has all of its state; others send it what to do.
type pilot struct {
	agent, region string
	drainTime     time.Duration
	log           *slog.Logger
	// attach dials a tunnel, says when it is up, and returns why it ended.
	attach func(ctx context.Context, l target, up func(way)) error
	// probe measures the round trip to a node without a tunnel.
	probe func(ctx context.Context, l target) (time.Duration, error)
	// changed is called when tunnels are others than before. It must not wait.
	changed func()

	events  chan func(now time.Time)
	done    chan struct{}
	running sync.WaitGroup

	ctx      context.Context // of dials and tunnels
	links    map[string]*link
	want     int
	next     time.Time // when to look again
	stopping bool

	mu    sync.Mutex
	lines map[*line]string // those that are up, and their nodes
}

// target is whom to dial.
type target struct{ name, address string }

func (p *pilot) init() {
	p.events, p.done = make(chan func(time.Time)), make(chan struct{})
	p.links, p.lines = make(map[string]*link), make(map[*line]string)
	p.want = 1
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
		select {
		case <-stop:
			stop = nil
			p.stop()
		case event := <-p.events:
			event(time.Now())
		case <-timer.C:
		}
		if p.stopping && !p.busy() {
			return
		}
		timer.Reset(time.Until(p.settle(time.Now())))
	}
}

// stop begins the end: no tunnel is dialled any more, and those there are are drained.
func (p *pilot) stop() {
	p.stopping = true
	for _, l := range p.links {
		if l.line != nil {
			p.retire(l, "the agent stops")
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
		return now.Add(period)
	}
	if !now.Before(p.next) {
		p.next = now.Add(period*2/3 + rand.N(period*2/3))
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
	listed := map[string]bool{}
	for _, n := range nodes[:min(len(nodes), maxNodes)] {
		if n.GetName() == "" || n.GetAddress() == "" {
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
		l = &link{name: n.GetName(), address: n.GetAddress()}
		p.links[l.name] = l
	}
	if l.address != n.GetAddress() {
		l.address = n.GetAddress()
		l.trip, l.failures, l.notBefore = 0, 0, time.Time{}
		if l.line != nil {
			p.retire(l, "the node has another address")
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

// candidates returns the nodes for which keep holds, the one to have first.
func (p *pilot) candidates(now time.Time, keep func(*link) bool) []*link {
	var links []*link
	for _, l := range p.links {
		if keep(l) {
			links = append(links, l)
		}
	}
	return chosen(p.agent, p.region, links, now)
}

// fill dials the best nodes until there are tunnels enough.
func (p *pilot) fill(now time.Time) {
	live, waiting := 0, false
	for _, l := range p.links {
		if l.live() {
			live++
		}
		waiting = waiting || l.probing && l.trip == 0 && l.failures == 0
	}
	if live == 0 && waiting {
		return // It will be known in a moment which are near. A probe is bounded.
	}
	if live >= p.want {
		return
	}
	for _, l := range p.candidates(now, func(l *link) bool { return l.live() || l.free(now) }) {
		if live == p.want {
			return
		}
		if l.line == nil {
			live++
			p.dial(l)
		}
	}
}

// improve dials one node that is better than one that has a tunnel; trim gives up the worse one when it is up.
func (p *pilot) improve(now time.Time) {
	up := 0
	for _, l := range p.links {
		if l.live() && !l.up() {
			return // One at a time.
		}
		if l.up() {
			up++
		}
	}
	p.judge(now, p.ranking(now))
	order := p.ranking(now)
	if up < p.want {
		return
	}
	for _, l := range order[:min(p.want, len(order))] {
		if l.line == nil {
			p.log.Info("a better node is dialled", "node", l.name, "round_trip", l.measured(now))
			p.dial(l)
			return
		}
	}
}

// ranking has the nodes that have a tunnel, and those that may take the place of one. What is near is told by all of them: trim has to
// see it as improve does, or the one would undo what the other did.
func (p *pilot) ranking(now time.Time) []*link {
	return p.candidates(now, func(l *link) bool { return l.live() || l.free(now) && l.trusted(now) && l.trip != 0 })
}

// judge looks at all tunnels again.
func (p *pilot) judge(now time.Time, order []*link) {
	for _, l := range order {
		nearest := unmeasured
		for _, other := range order {
			if other.abroad(p.region) == l.abroad(p.region) {
				nearest = min(nearest, other.measured(now))
			}
		}
		if l.up() {
			l.judge(now, nearest)
		}
	}
}

// trim gives up tunnels that are not to be.
func (p *pilot) trim(now time.Time) {
	up := 0
	for _, l := range p.links {
		if l.up() {
			up++
		}
	}
	for _, l := range p.links {
		switch {
		case l.line == nil || l.line.retiring || l.welcome():
		case !l.listed:
			if now.Sub(l.goneAt) >= grace {
				p.retire(l, "it is no node any more")
			}
		case up > 0 && up >= min(p.want, up+p.prospects(now)):
			p.retire(l, "the node drains")
		}
	}
	if up <= p.want {
		return
	}
	order := slices.DeleteFunc(p.ranking(now), func(l *link) bool { return !l.up() })
	for _, l := range order[p.want:] {
		if l.slow >= 2 {
			l.blamed, l.until = l.measured(now), now.Add(grudge)
		}
		p.retire(l, "others are better")
	}
}

// prospects is how many tunnels more there could be soon.
func (p *pilot) prospects(now time.Time) int {
	n := 0
	for _, l := range p.links {
		if l.live() && !l.up() || l.free(now) {
			n++
		}
	}
	return n
}

// dial begins a tunnel.
func (p *pilot) dial(l *link) {
	ctx, cancel := context.WithCancel(p.ctx)
	li := &line{cancel: cancel}
	l.line = li
	to := target{l.name, l.address}
	p.running.Go(func() {
		defer cancel()
		err := p.attach(ctx, to, func(w way) {
			p.tell(func(now time.Time) { p.began(now, l, li, w) })
			p.running.Go(func() {
				select {
				case <-w.PeerDrains():
					p.tell(func(time.Time) { li.drains = true })
				case <-ctx.Done():
				}
			})
		})
		p.tell(func(now time.Time) { p.ended(now, l, li, err) })
	})
}

func (p *pilot) began(now time.Time, l *link, li *line, w way) {
	li.way, li.since = w, now
	p.mu.Lock()
	p.lines[li] = l.name
	p.mu.Unlock()
	p.log.Info("tunnel is up", "node", l.name, "region", l.region)
	p.changed()
	if li.retiring {
		li.cancel()
	}
}

// ended notes that a tunnel is no more: this one, and no other.
func (p *pilot) ended(now time.Time, l *link, li *line, err error) {
	p.mu.Lock()
	delete(p.lines, li)
	p.mu.Unlock()
	l.line = nil
	l.slow, l.calm = 0, 0
	switch {
	case li.retiring:
		p.log.Info("tunnel has ended", "node", l.name)
	case li.way != nil:
		if now.Sub(li.since) >= steady {
			l.failures = 0
		}
		l.failed(now)
		p.log.Warn("tunnel is lost", "node", l.name, "error", err)
	default:
		l.failed(now)
		p.log.Log(p.ctx, level(l.failures), "cannot reach node", "node", l.name, "address", l.address, "pause", l.notBefore.Sub(now), "error", err)
	}
	if li.drains {
		l.failedAt = now // It will be back, and may have to begin first.
		l.notBefore = now.Add(pauseAfter(4))
	}
	p.changed()
	p.forget()
}

// retire ends a tunnel when its calls have.
func (p *pilot) retire(l *link, why string) {
	li := l.line
	if li.retiring {
		return
	}
	li.retiring = true
	if li.way == nil {
		li.cancel()
		return
	}
	p.log.Info("tunnel is given up", "node", l.name, "reason", why)
	li.way.Drain()
	ctx, cancel := context.WithTimeout(p.ctx, p.drainTime)
	p.running.Go(func() {
		defer cancel()
		li.way.Idle(ctx)
		li.cancel()
	})
	p.changed()
}

// measure has nodes measured that have no tunnel: those of which nothing is known, and then, if again is set, others.
func (p *pilot) measure(again bool) {
	room := maxProbes
	var known []*link
	for _, l := range p.links {
		if l.probing {
			room--
		}
	}
	for _, l := range p.links { // In an order that is another each time.
		switch {
		case l.probing || l.line != nil || !l.welcome():
		case l.trip != 0:
			known = append(known, l)
		case room > 0 && (again || l.failedAt.IsZero()):
			room--
			p.ask(l)
		}
	}
	if again {
		for _, l := range known[:min(len(known), max(0, room))] {
			p.ask(l)
		}
	}
}

// ask measures one node.
func (p *pilot) ask(l *link) {
	l.probing = true
	to := target{l.name, l.address}
	p.running.Go(func() {
		trip, err := p.probe(p.ctx, to)
		p.tell(func(now time.Time) {
			l.probing = false
			switch {
			case l.address != to.address:
			case err != nil:
				l.trip, l.failedAt = 0, now
				p.log.Debug("cannot measure node", "node", l.name, "error", err)
			case l.trip == 0:
				l.trip = trip
			default:
				l.trip += (trip - l.trip) / 2
			}
			p.forget()
		})
	})
}

// reports says which tunnels are up. Anybody may call it.
func (p *pilot) reports() []*enrollv1.TunnelReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	reports := make([]*enrollv1.TunnelReport, 0, len(p.lines))
	for li, node := range p.lines {
		draining := false
		select {
		case <-li.way.PeerDrains():
			draining = true
		default:
		}
		reports = append(reports, &enrollv1.TunnelReport{
			Node: node, RoundTrip: durationpb.New(li.way.RoundTrip()), Streams: uint32(li.way.Busy()), Draining: draining,
		})
	}
	return reports
}
