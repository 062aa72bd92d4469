package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// world is a model of nodes, in the time of synctest.
type world struct {
	t      *testing.T
	pilot  *pilot
	random *rand.Rand // the test's own
	want   int

	mu      sync.Mutex
	noise   *rand.Rand
	nodes   map[string]*place
	begun   int // tunnels so far
	history []string
}

// place is a node of the model.
type place struct {
	name, region string
	trip         time.Duration
	up           bool
	listed       bool
	draining     bool
	tunnels      map[*pipe]struct{}
}

// pipe is a tunnel of the model.
type pipe struct {
	world   *world
	place   *place
	lost    chan struct{}
	drains  chan struct{}
	drained bool // by the agent
	calls   time.Duration
}

func (w *world) noisy(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*0.3*(w.noise.Float64()-0.5))
}

func (t *pipe) RoundTrip() time.Duration {
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	return t.world.noisy(t.place.trip)
}

func (t *pipe) Streams() int                           { return 0 }
func (t *pipe) Calls() int                             { return 0 }
func (t *pipe) Announce([]*tunnelv1.ServerState) error { return nil }
func (t *pipe) PeerDrains() <-chan struct{}            { return t.drains }

func (t *pipe) Drain() {
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	t.drained = true
}

func (t *pipe) Idle(ctx context.Context) { sleep(ctx, t.calls) }

func newWorld(t *testing.T, seed uint64, want int) *world {
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), noise: rand.New(rand.NewPCG(seed, 2)), want: want, nodes: map[string]*place{},
	}
	w.pilot = &pilot{
		agent: "laptop", region: "eu", drainTime: 10 * time.Second, log: slog.New(slog.DiscardHandler),
		attach: w.attach, probe: w.probe, changed: func() {},
	}
	w.pilot.init()
	return w
}

// run runs the pilot until the test is over.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.pilot.run(ctx) })
	w.t.Cleanup(func() { cancel(); running.Wait() })
}

func (w *world) attach(ctx context.Context, to target, up func(way)) error {
	w.mu.Lock()
	p := w.nodes[to.name]
	trip, there := p.trip, p.up
	w.mu.Unlock()
	if !sleep(ctx, 3*trip) {
		return context.Cause(ctx)
	}
	w.mu.Lock()
	if !there || !p.up {
		w.mu.Unlock()
		return errors.New("it is down")
	}
	t := &pipe{world: w, place: p, lost: make(chan struct{}), drains: make(chan struct{}), calls: time.Duration(w.noise.Int64N(int64(20 * time.Second)))}
	if p.draining {
		close(t.drains)
	}
	p.tunnels[t] = struct{}{}
	w.begun++
	w.history = append(w.history, fmt.Sprintf("%v begun %s", time.Now().Format("15:04:05.000"), p.name))
	w.mu.Unlock()
	up(t)
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(p.tunnels, t)
		w.history = append(w.history, fmt.Sprintf("%v ended %s", time.Now().Format("15:04:05.000"), p.name))
	}()
	select {
	case <-t.lost:
		return errors.New("it is lost")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *world) probe(ctx context.Context, to target) (time.Duration, error) {
	w.mu.Lock()
	p := w.nodes[to.name]
	trip, up := w.noisy(p.trip), p.up
	w.mu.Unlock()
	if !up || !sleep(ctx, min(trip, probeTimeout)) || trip >= probeTimeout {
		return 0, errors.New("it is down")
	}
	return trip, nil
}

// add makes a node.
func (w *world) add(name, region string, trip time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[name] = &place{name: name, region: region, trip: trip, up: true, listed: true, tunnels: map[*pipe]struct{}{}}
}

// change changes a node.
func (w *world) change(name string, how func(*place)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how(w.nodes[name])
}

// die has a node go without a word; rise brings it back.
func (w *world) die(name string) {
	w.change(name, func(p *place) { p.up = false })
	w.cut(w.nodes[name])
}

func (w *world) rise(name string) { w.change(name, func(p *place) { p.up = true }) }

// order tells the agent of the nodes.
func (w *world) order() {
	w.mu.Lock()
	var nodes []*enrollv1.NodeAddress
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		if p := w.nodes[name]; p.listed {
			nodes = append(nodes, &enrollv1.NodeAddress{Name: name, Region: p.region, Address: name + ":1", Draining: p.draining})
		}
	}
	w.mu.Unlock()
	w.pilot.tell(func(now time.Time) { w.pilot.nodes(now, nodes, w.want) })
	synctest.Wait()
}

// cut ends the tunnels of a node.
func (w *world) cut(p *place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range p.tunnels {
		close(t.lost)
		delete(p.tunnels, t)
	}
}

// drain has a node say that it drains, by its tunnels.
func (w *world) drain(p *place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.draining = true
	for t := range p.tunnels {
		close(t.drains)
	}
}

// held names the nodes with a tunnel that the agent has not given up.
func (w *world) held() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name, p := range w.nodes {
		for t := range p.tunnels {
			if !t.drained {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// expect fails unless the tunnels are to exactly these nodes.
func (w *world) expect(when string, names ...string) {
	w.t.Helper()
	if got := w.held(); !slices.Equal(got, names) {
		w.t.Fatalf("%s the tunnels are to %v, not to %v\n%s", when, got, names, strings.Join(w.history, "\n"))
	}
}
