package uplink

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func in(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

const ms = time.Millisecond

// node is one of a world: where it is, and how far.
type node struct {
	name, region string
	trip         time.Duration
}

// begun returns a world in which an agent of the region eu that wants so many tunnels has just heard of some nodes.
func begun(t *testing.T, want int, nodes []node) *world {
	w := newWorld(t, 1, want)
	for _, n := range nodes {
		w.add(n.name, n.region, n.trip)
	}
	w.run()
	w.order()
	return w
}

func TestWhichNodesGetATunnel(t *testing.T) {
	in(t, "the nearest of the region, and then beyond it", func(t *testing.T) {
		w := begun(t, 2, []node{{"near", "eu", 30 * ms}, {"nearer", "eu", 5 * ms}, {"nearest-abroad", "us", 1 * ms}, {"far", "eu", 90 * ms}})
		time.Sleep(time.Second)
		w.expect("at first", "near", "nearer")
		w.die("near")
		time.Sleep(500 * ms)
		w.expect("after a loss", "far", "nearer")
		w.die("nearer")
		time.Sleep(500 * ms)
		w.expect("after another", "far", "nearest-abroad")
	})
	in(t, "one that is down waits for no measurement of others", func(t *testing.T) {
		w := begun(t, 1, []node{{"a", "eu", 5 * ms}, {"b", "eu", 10 * time.Minute}})
		time.Sleep(2 * time.Second)
		w.expect("with one that never answers", "a")
	})
	in(t, "a lost tunnel is replaced at once", func(t *testing.T) {
		w := begun(t, 1, []node{{"a", "eu", 5 * ms}, {"b", "eu", 5 * ms}})
		time.Sleep(time.Second)
		first := w.held()[0]
		w.cut(w.nodes[first])
		time.Sleep(30 * ms) // Three times the way, to begin.
		if got := w.held(); len(got) != 1 || got[0] == first {
			t.Errorf("after %s was lost: %v", first, got)
		}
	})
	in(t, "the only node is dialled again, and at most every five seconds it is down", func(t *testing.T) {
		w := begun(t, 2, []node{{"a", "eu", 5 * ms}})
		time.Sleep(time.Second)
		w.die("a")
		time.Sleep(10 * time.Minute)
		w.rise("a")
		time.Sleep(maxPause + 100*ms)
		w.expect("after it came back", "a")
	})
	in(t, "orders without nodes take away nothing, and a node that is gone from them after a while", func(t *testing.T) {
		w := begun(t, 2, []node{{"a", "eu", 5 * ms}, {"b", "eu", 5 * ms}})
		time.Sleep(time.Second)
		w.change("a", func(p *place) { p.listed = false })
		w.change("b", func(p *place) { p.listed = false })
		w.order()
		time.Sleep(time.Hour)
		w.expect("of none", "a", "b")
		w.change("b", func(p *place) { p.listed = true })
		w.order()
		time.Sleep(grace - time.Second)
		w.expect("soon after one is gone", "a", "b")
		time.Sleep(2 * time.Second)
		w.expect("a while after one is gone", "b")
	})
}

func TestTunnelsAreRebalanced(t *testing.T) {
	in(t, "a node that drains is left, when there is another", func(t *testing.T) {
		w := begun(t, 1, []node{{"a", "eu", 5 * ms}, {"b", "us", 500 * ms}})
		time.Sleep(time.Second)
		w.expect("at first", "a")
		w.drain(w.nodes["a"])
		time.Sleep(time.Second)
		w.expect("while it drains, and the other is not up", "a")
		time.Sleep(time.Second)
		w.expect("when the other is", "b")
	})
	in(t, "a nearer node that joins", func(t *testing.T) {
		w := begun(t, 2, []node{{"a", "us", 5 * ms}, {"b", "us", 5 * ms}})
		time.Sleep(time.Minute)
		w.add("home", "eu", 50*ms)
		w.order()
		time.Sleep(time.Minute)
		if got := w.held(); len(got) != 2 || !slices.Contains(got, "home") {
			t.Errorf("after it joined: %v", got)
		}
	})
	in(t, "a node that slows is left once, and not taken back at once", func(t *testing.T) {
		w := begun(t, 1, []node{{"a", "eu", 5 * ms}, {"b", "eu", 60 * ms}})
		time.Sleep(time.Minute)
		w.expect("at first", "a")
		w.change("a", func(p *place) { p.trip = 300 * ms })
		time.Sleep(period / 3)
		w.expect("before it is sure", "a")
		time.Sleep(3 * period)
		w.expect("after it slowed", "b")
		w.change("a", func(p *place) { p.trip = 5 * ms })
		time.Sleep(grudge / 2)
		w.expect("soon after", "b")
		time.Sleep(grudge)
		w.expect("long after", "a")
		if w.begun != 3 {
			t.Errorf("there were %d tunnels", w.begun)
		}
	})
	in(t, "a node that comes and goes is not taken for another", func(t *testing.T) {
		w := begun(t, 1, []node{{"a", "eu", 5 * ms}, {"b", "us", 5 * ms}})
		time.Sleep(time.Minute)
		w.expect("at first", "a")
		for range 30 {
			w.die("a")
			time.Sleep(time.Minute)
			w.rise("a")
			time.Sleep(time.Minute)
		}
		w.expect("while it comes and goes", "b")
		if w.begun != 2 {
			t.Errorf("there were %d tunnels", w.begun)
		}
	})
}

// TestTheChoiceUnderRandomEvents has nodes join, leave, die, come back, drain and slow, and says what holds meanwhile, and after a
// while of quiet.
func TestTheChoiceUnderRandomEvents(t *testing.T) {
	for range 30 {
		seed := rand.Uint64()
		in(t, fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed, 1+int(seed%3))
			w.run()
			w.add("n0", "eu", 5*ms)
			w.order()
			for range 10 {
				for range w.random.IntN(20) {
					w.event()
					time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Second))))
					w.always()
				}
				time.Sleep(grudge + 20*period)
				w.settled()
			}
		})
	}
}

// event is one random thing that happens.
func (w *world) event() {
	w.mu.Lock()
	names := slices.Sorted(maps.Keys(w.nodes))
	p := w.nodes[names[w.random.IntN(len(names))]]
	kind, trip := w.random.IntN(8), time.Duration(w.random.Int64N(int64(200*ms)))+ms
	w.history = append(w.history, fmt.Sprintf("%v event %d at %s", time.Now().Format("15:04:05.000"), kind, p.name))
	region := []string{"eu", "eu", "us"}[w.random.IntN(3)]
	w.mu.Unlock()
	switch kind {
	case 0, 1:
		if len(names) < 8 {
			w.add(fmt.Sprintf("n%d", len(names)), region, trip)
			w.order()
		}
	case 2: // It dies, or comes back.
		w.mu.Lock()
		p.up = !p.up
		w.mu.Unlock()
		if !p.up {
			w.cut(p)
		}
	case 3: // Its tunnels are lost.
		w.cut(p)
	case 4: // It drains and goes, or is back.
		if p.draining {
			w.cut(p)
			w.mu.Lock()
			p.draining = false
			w.mu.Unlock()
		} else {
			w.drain(p)
		}
		w.order()
	case 5:
		w.mu.Lock()
		p.listed = !p.listed
		w.mu.Unlock()
		w.order()
	default:
		w.mu.Lock()
		p.trip = trip
		w.mu.Unlock()
	}
}

// good are the nodes that could have a tunnel, by whether they are abroad.
func (w *world) good() map[bool][]*place {
	good := map[bool][]*place{}
	listed := 0
	for _, p := range w.nodes {
		if p.listed {
			listed++
		}
		if p.up && p.listed && !p.draining {
			good[p.region != "eu"] = append(good[p.region != "eu"], p)
		}
	}
	if listed == 0 {
		return nil // Nothing is known to hold then but what holds always.
	}
	return good
}

// always says what holds at any time.
func (w *world) always() {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	lasting := 0
	for _, p := range w.nodes {
		if len(p.tunnels) > 1 {
			w.t.Fatalf("%s has %d tunnels\n%s", p.name, len(p.tunnels), strings.Join(w.history, "\n"))
		}
		for t := range p.tunnels {
			if !t.drained && !p.draining && p.listed {
				lasting++
			}
		}
	}
	if lasting > w.want+1 {
		w.t.Fatalf("there are %d tunnels, of %d\n%s", lasting, w.want, strings.Join(w.history, "\n"))
	}
}

// settled says what holds when nothing has happened for a while, and that hardly anything does by itself.
func (w *world) settled() {
	w.t.Helper()
	good := w.good()
	if good == nil {
		return
	}
	before := w.held()
	w.mu.Lock()
	fail := func(format string, args ...any) {
		w.t.Helper()
		defer w.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
			p := w.nodes[name]
			w.history = append(w.history, fmt.Sprintf("%s in %s takes %v; up %v, listed %v, draining %v", name, p.region, p.trip, p.up, p.listed, p.draining))
		}
		w.t.Fatalf(format+"; tunnels are to %v\n%s", append(args, before, strings.Join(w.history, "\n"))...)
	}
	count := map[bool]int{}
	for _, abroad := range []bool{false, true} {
		nearest := unmeasured
		for _, p := range good[abroad] {
			nearest = min(nearest, p.trip)
		}
		spare := false
		for _, p := range good[abroad] {
			if slices.Contains(before, p.name) {
				count[abroad]++
			} else {
				spare = spare || p.trip <= nearest
			}
		}
		for _, p := range good[abroad] {
			if slices.Contains(before, p.name) && spare && p.trip > 3*nearest+30*ms {
				fail("%s is kept, though a much nearer one is there", p.name)
			}
		}
	}
	home := min(w.want, len(good[false]))
	abroad := min(w.want-home, len(good[true]))
	if count[false] != home || count[true] != abroad {
		fail("there are %d of %d tunnels in the region, and %d of %d beyond it", count[false], home, count[true], abroad)
	}
	if len(before) != home+abroad && home+abroad > 0 {
		fail("a tunnel is to a node that should have none")
	}
	begun := w.begun
	w.mu.Unlock()
	time.Sleep(time.Hour)
	// What is measured goes up and down by a seventh. That may tip nodes that are at the edge of being near, each once; nodes that take
	// turns would do so every minute.
	if after := w.held(); w.begun > begun+w.want+2 {
		w.mu.Lock()
		fail("in an hour in which nothing happened they became %v, by %d tunnels", after, w.begun-begun)
	}
}
