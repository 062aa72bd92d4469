package share

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

func newAllocator(nodes ...string) *Allocator {
	a := New(Config{Count: func(context.Context) (int, error) { return len(nodes), nil }})
	for _, name := range nodes {
		a.Enter(name)
	}
	return a
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
	a := newAllocator("n1", "n2", "n3")
	if s := a.For("n1"); s.GetNodes() != 3 || len(s.GetBuckets()) > 0 {
		t.Errorf("got %v", s)
	}
}

func TestSharesGoWhereTheCallsAre(t *testing.T) {
	a := newAllocator("n1", "n2", "n3")
	for range 3 {
		a.Report("n1", asked(100))
		a.Report("n2", nil)
	}
	if n1, n2 := partOf(a.For("n1")), partOf(a.For("n2")); n1 < 930_000 || n2 > 34_000 || n2 < 20_000 {
		t.Errorf("the busy node has %d millionths, an idle one %d", n1, n2)
	}
	for range 10 {
		a.Report("n1", nil)
		a.Report("n3", asked(100))
	}
	if n1, n3 := partOf(a.For("n1")), partOf(a.For("n3")); n3 < 930_000 || n1 > 40_000 {
		t.Errorf("after the calls have moved: the old node has %d millionths, the new one %d", n1, n3)
	}
}

// Whatever nodes say, they never have more than the limit together.
func TestAllSharesTogetherAreAtMostTheLimit(t *testing.T) {
	for _, calls := range [][]uint64{{1, 1, 1}, {0, 0, 9}, {1 << 62, 1, 0}, {3, 5, 7}, {0, 0, 0}} {
		names := []string{"n0", "n1", "n2"}
		a := newAllocator(names...)
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
		failing := false
		a := New(Config{Count: func(context.Context) (int, error) {
			if failing {
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
		a.Report("n1", asked(10))
		check := func() {
			t.Helper()
			s := a.For("n1")
			if sum := partOf(s) + partOf(a.For("n2")); s.GetNodes() != 4 || sum > millionths/2 || sum < millionths/2-10 {
				t.Errorf("two of four nodes have %d millionths of %d nodes", sum, s.GetNodes())
			}
		}
		check()
		failing = true
		time.Sleep(3 * countEvery)
		synctest.Wait()
		check()
	})
}

// A node that left may go on for a while: its part is given to others after that.
func TestANodeThatLeftKeepsItsPartForAWhile(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := New(Config{Count: func(context.Context) (int, error) { return 0, nil }, Now: func() time.Time { return now }})
	a.Enter("n1")
	a.Enter("n2")
	a.Report("n2", asked(100))
	a.Leave("n2")
	if part := partOf(a.For("n1")); part > 60_000 {
		t.Errorf("at once the other has %d millionths", part)
	}
	now = now.Add(Grace)
	if s := a.For("n1"); s.GetNodes() != 1 || partOf(s) != millionths {
		t.Errorf("after a while: %v", s)
	}
	a.Enter("n2")
	a.Leave("n2")
	a.Enter("n2") // back in time
	now = now.Add(Grace)
	if s := a.For("n1"); s.GetNodes() != 2 {
		t.Errorf("a node that came back is forgotten: %v", s)
	}
}

func TestWhatNodesSayIsBounded(t *testing.T) {
	a := newAllocator("n1")
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
	for range 20 {
		a.Report("n1", nil)
	}
	if n := len(a.For("n1").GetBuckets()); n > 0 {
		t.Errorf("%d buckets are told long after the last call", n)
	}
}
