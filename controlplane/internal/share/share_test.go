package share

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// clock is a time that the test moves.
type clock struct{ time.Time }

func (c *clock) tick() { c.Time = c.Add(time.Second) }

func newAllocator(nodes ...string) (*Allocator, *clock) {
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	a := New(Config{Count: func(context.Context) (int, error) { return len(nodes), nil }, Now: func() time.Time { return c.Time }})
	a.count(context.Background())
	for _, name := range nodes {
		a.Enter(name)
	}
	return a, c
}

func asked(calls uint64) *syncv1.Demand {
	return &syncv1.Demand{Buckets: []*syncv1.BucketDemand{{Limit: "l", Name: "ana", Asked: calls}}}
}

// partOf returns a node's part of the one bucket, in millionths, by name or evenly.
func partOf(shares *syncv1.Shares) uint32 {
	for _, bucket := range shares.GetBuckets() {
		if bucket.GetLimit() == "l" && bucket.GetName() == "ana" {
			return bucket.GetMillionths()
		}
	}
	return millionths / shares.GetNodes()
}

func TestWhatNobodyAsksForIsDividedEvenly(t *testing.T) {
	a, _ := newAllocator("n1", "n2", "n3")
	if s := a.For("n1"); s.GetNodes() != 3 || len(s.GetBuckets()) > 0 {
		t.Errorf("got %v", s)
	}
}

// Before the nodes have been counted nobody is told of shares: the first that came back
// after a restart would have the whole of every limit.
func TestNobodyIsToldOfSharesBeforeTheNodesAreCounted(t *testing.T) {
	a := New(Config{Count: func(context.Context) (int, error) { return 0, errors.New("the database is away") }})
	a.Enter("n1")
	a.count(t.Context())
	if s := a.For("n1"); s != nil {
		t.Errorf("got %v", s)
	}
}

func TestSharesGoWhereTheCallsAre(t *testing.T) {
	a, clock := newAllocator("n1", "n2", "n3")
	for range 3 {
		clock.tick()
		a.Report("n1", asked(100))
	}
	if n1, n2 := partOf(a.For("n1")), partOf(a.For("n2")); n1 < 960_000 || n2 > 20_000 || n2 < 10_000 {
		t.Errorf("the busy node has %d millionths, an idle one %d", n1, n2)
	}
	for range 7 {
		clock.tick()
		a.Report("n3", asked(100))
	}
	if n1, n3 := partOf(a.For("n1")), partOf(a.For("n3")); n3 < 900_000 || n1 > 80_000 {
		t.Errorf("seven seconds after the calls have moved: the old node has %d millionths, the new one %d", n1, n3)
	}
}

// Two nodes that are asked the same have about the same, however their messages are
// spread over time.
func TestReportsAtNoExactPaceAreWorthTheSame(t *testing.T) {
	a, clock := newAllocator("n1", "n2")
	random := rand.New(rand.NewPCG(1, 2))
	begin := clock.Time
	for second := range 60 {
		// n1 is heard each second; n2, which is as busy, up to 0.9 s later.
		clock.Time = begin.Add(time.Duration(second) * time.Second)
		a.Report("n1", asked(100))
		clock.Time = clock.Add(time.Duration(random.Int64N(int64(900 * time.Millisecond))))
		a.Report("n2", asked(100))
		if part := partOf(a.For("n2")); second > 5 && math.Abs(float64(part)-500_000) > 100_000 {
			t.Errorf("after %d s the node that is heard late has %d millionths", second, part)
		}
	}
}

// Whatever nodes say, they never have more than the limit together.
func TestAllSharesTogetherAreAtMostTheLimit(t *testing.T) {
	for _, calls := range [][]uint64{{1, 1, 1}, {0, 0, 9}, {1 << 62, 1, 0}, {3, 5, 7}, {0, 0, 0}} {
		names := []string{"n0", "n1", "n2"}
		a, clock := newAllocator(names...)
		clock.tick()
		for i, name := range names {
			a.Report(name, asked(calls[i]))
		}
		var sum uint32
		for _, name := range names {
			sum += partOf(a.For(name))
		}
		if sum > millionths || sum < millionths-10 {
			t.Errorf("%v: %d millionths", calls, sum)
		}
	}
}

// A replica gives out only the part that its nodes are of all.
func TestReplicasDivideTheirOwnPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		a := New(Config{Count: func(context.Context) (int, error) {
			if failing.Load() {
				return 0, errors.New("the database is away")
			}
			return 4, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go a.Run(ctx)
		defer cancel()
		a.Enter("n1")
		a.Enter("n2")
		synctest.Wait()
		time.Sleep(time.Second)
		a.Report("n1", asked(10))
		check := func() {
			t.Helper()
			s := a.For("n1")
			if sum := partOf(s) + partOf(a.For("n2")); s.GetNodes() != 4 || sum > millionths/2 || sum < millionths/2-10 {
				t.Errorf("two of four nodes have %d millionths of %d nodes", sum, s.GetNodes())
			}
		}
		check()
		failing.Store(true)
		time.Sleep(3 * countEvery)
		synctest.Wait()
		check()
	})
}

// A node that left may go on for a while: its part is given to others after that.
func TestANodeThatLeftKeepsItsPartForAWhile(t *testing.T) {
	a, clock := newAllocator()
	a.Enter("n1")
	a.Enter("n2")
	clock.tick()
	a.Report("n2", asked(100))
	a.Leave("n2")
	clock.Time = clock.Add(Grace - 1)
	if part := partOf(a.For("n1")); part > 30_000 {
		t.Errorf("at once the other has %d millionths", part)
	}
	clock.tick()
	if s := a.For("n1"); s.GetNodes() != 1 || partOf(s) != millionths {
		t.Errorf("after a while: %v", s)
	}
	a.Enter("n2")
	a.Leave("n2")
	a.Enter("n2") // back in time
	clock.Time = clock.Add(Grace)
	if s := a.For("n1"); s.GetNodes() != 2 {
		t.Errorf("a node that came back is forgotten: %v", s)
	}
}

func TestWhatNodesSayIsBounded(t *testing.T) {
	a, clock := newAllocator("n1")
	for round := range 4 {
		var m syncv1.Demand
		for i := range 5000 {
			m.Buckets = append(m.Buckets, &syncv1.BucketDemand{Limit: "l", Name: fmt.Sprint(round, "-", i), Asked: 1})
		}
		a.Report("n1", &m)
	}
	a.Report("stranger", asked(1))
	if n := len(a.nodes["n1"].demand); n > 2*maxDemand || len(a.nodes) != 1 {
		t.Errorf("%d buckets of %d nodes are kept", n, len(a.nodes))
	}
	if n := len(a.For("n1").GetBuckets()); n != maxBuckets {
		t.Errorf("%d buckets are told; want %d", n, maxBuckets)
	}
	clock.Time = clock.Add(20 * time.Second)
	if n := len(a.For("n1").GetBuckets()); n > 0 {
		t.Errorf("%d buckets are told long after the last call", n)
	}
}
