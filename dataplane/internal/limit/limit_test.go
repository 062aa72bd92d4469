package limit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ana  = &principal.Principal{User: "ana", Application: "cursor"}
	bob  = &principal.Principal{User: "bob", Application: "cursor"}
	get  = policy.Target{Kind: policy.Tool, Server: "git", Name: "get"}
)

func perUser(calls, burst uint32, window time.Duration) *policy.Limit {
	return &policy.Limit{Name: "per-user", Per: snapshotv1.LimitPer_LIMIT_PER_USER, Calls: calls, Burst: burst, Window: window}
}

// admitted tries once a step and returns how many calls were admitted.
func admitted(b *Buckets, l *policy.Limit, p *principal.Principal, from time.Time, step, lasts time.Duration) (n int) {
	for at := time.Duration(0); at < lasts; at += step {
		if _, ok := b.Take([]*policy.Limit{l}, p, get, from.Add(at)); ok {
			n++
		}
	}
	return n
}

func TestALimitGivesItsBurstAtOnceAndItsCallsInEachWindow(t *testing.T) {
	b, l := New(), perUser(60, 10, time.Minute)
	if n := admitted(b, l, ana, noon, 0+time.Nanosecond, 50*time.Nanosecond); n != 10 {
		t.Errorf("%d calls at once; want the burst of 10", n)
	}
	if n := admitted(b, l, ana, noon.Add(time.Second), 100*time.Millisecond, 10*time.Minute); n < 599 || n > 601 {
		t.Errorf("%d calls in ten minutes; want 600", n)
	}
	if _, ok := b.Take([]*policy.Limit{l}, bob, get, noon); !ok {
		t.Error("another user's bucket is empty, too")
	}
}

func TestARefusalSaysWhenToComeBack(t *testing.T) {
	b, l := New(), perUser(6, 1, time.Minute)
	b.Take([]*policy.Limit{l}, ana, get, noon)
	refusal, ok := b.Take([]*policy.Limit{l}, ana, get, noon.Add(4*time.Second))
	if ok || refusal.Limit != l || refusal.Wait.Round(time.Millisecond) != 6*time.Second {
		t.Fatalf("got %+v, %v; want to wait 6 s", refusal, ok)
	}
	if _, ok := b.Take([]*policy.Limit{l}, ana, get, noon.Add(4*time.Second+refusal.Wait)); !ok {
		t.Error("refused at the time that was said")
	}
}

// A call that one limit refuses costs nothing of the others.
func TestACallIsChargedToAllOfItsLimitsOrToNone(t *testing.T) {
	b := New()
	all := &policy.Limit{Name: "all", Per: snapshotv1.LimitPer_LIMIT_PER_ALL, Calls: 10, Burst: 3, Window: time.Hour}
	own := perUser(1, 1, time.Hour)
	both := []*policy.Limit{all, own}
	for i, want := range []bool{true, false, false, false} {
		refusal, ok := b.Take(both, ana, get, noon)
		if ok != want || !ok && refusal.Limit != own {
			t.Fatalf("call %d: %v, %+v", i+1, ok, refusal)
		}
	}
	for i, p := range []*principal.Principal{bob, {User: "cleo"}} {
		if _, ok := b.Take(both, p, get, noon); !ok {
			t.Errorf("%d: refused calls of another user have been charged to all", i)
		}
	}
	if refusal, ok := b.Take(both, &principal.Principal{User: "dan"}, get, noon); ok || refusal.Limit != all {
		t.Errorf("the limit for all holds nobody: %+v", refusal)
	}
}

// The parts of three nodes admit together what the limit says, whatever the parts are.
func TestPartsAddUpToTheLimit(t *testing.T) {
	for _, parts := range [][]uint32{{333_333, 333_333, 333_333}, {900_000, 50_000, 50_000}, {1_000_000, 0, 0}, {966_667, 16_667, 16_666}} {
		for _, l := range []*policy.Limit{perUser(600, 60, time.Minute), perUser(60, 6, time.Second), perUser(30, 1, time.Minute)} {
			sum := 0
			for _, part := range parts {
				b := New()
				b.SetShares(&syncv1.Shares{Nodes: 3, Buckets: []*syncv1.BucketShare{{Limit: l.Name, Name: "ana", Millionths: part}}})
				sum += admitted(b, l, ana, noon, l.Window/1000, 10*l.Window)
			}
			want := float64(10*l.Calls + l.Burst)
			if math.Abs(float64(sum)-want) > want/10 {
				t.Errorf("parts %v of %d each %v: %d calls; want about %v", parts, l.Calls, l.Window, sum, want)
			}
		}
	}
}

func TestWhatIsNotNamedIsDividedEvenlyAndAShareThatShrinksTakesEffectAtOnce(t *testing.T) {
	b, l := New(), perUser(100, 100, time.Minute)
	b.SetShares(&syncv1.Shares{Nodes: 4})
	if n := admitted(b, l, ana, noon, time.Nanosecond, 200); n != 25 {
		t.Errorf("%d of 100 calls on one of four nodes; want 25", n)
	}
	admitted(b, l, bob, noon, time.Nanosecond, 1)
	b.SetShares(&syncv1.Shares{Nodes: 100})
	if n := admitted(b, l, bob, noon, time.Nanosecond, 200); n != 1 {
		t.Errorf("%d calls from a share that has shrunk to one; want 1", n)
	}
	b.SetShares(&syncv1.Shares{}) // says nothing
	if got := b.shares.Load().even; got != 0.01 || b.Nodes() != 100 {
		t.Errorf("a message without nodes made the even part %v", got)
	}
}

func TestDemandIsWhatWasAskedSinceTheLastTime(t *testing.T) {
	b, l := New(), perUser(1, 1, time.Hour)
	admitted(b, l, ana, noon, time.Nanosecond, 5)
	admitted(b, l, bob, noon, time.Nanosecond, 2)
	got := b.Demand().GetBuckets()
	if len(got) != 2 || got[0].GetName() != "ana" || got[0].GetAsked() != 5 || got[1].GetAsked() != 2 || got[1].GetLimit() != "per-user" {
		t.Errorf("got %v", got)
	}
	if again := b.Demand(); again != nil {
		t.Errorf("then %v; want nothing new", again)
	}
}

// Names beyond the room share a bucket: they get too little, not too much, and the room
// is there again once others are full.
func TestTheBucketsAreBounded(t *testing.T) {
	b, l := New(), perUser(1, 1, time.Minute)
	b.room = 8
	taken := 0
	for i := range 10_000 {
		if _, ok := b.Take([]*policy.Limit{l}, &principal.Principal{User: fmt.Sprint("user", i)}, get, noon); ok {
			taken++
		}
	}
	if n := b.count(); n > shardCount*(b.room+1) || taken > n {
		t.Fatalf("%d buckets, %d calls; want at most %d", n, taken, shardCount*(b.room+1))
	}
	now := noon
	for i := range 4 * shardCount {
		b.Demand() // What it has not told yet is kept.
		now = now.Add(time.Minute + sweepEvery)
		if _, ok := b.Take([]*policy.Limit{l}, &principal.Principal{User: fmt.Sprint("late", i)}, get, now); !ok {
			t.Fatalf("user late%d is refused although all buckets are full again", i)
		}
	}
}

func TestManyAtOnceAreHeldToTheLimit(t *testing.T) {
	b := New()
	limits := []*policy.Limit{
		{Name: "a", Per: snapshotv1.LimitPer_LIMIT_PER_ALL, Calls: 1000, Burst: 500, Window: 24 * time.Hour},
		{Name: "b", Per: snapshotv1.LimitPer_LIMIT_PER_TOOL, Calls: 1000, Burst: 800, Window: 24 * time.Hour},
	}
	var admitted atomic.Int64
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 200 {
				if _, ok := b.Take(limits, ana, get, noon); ok {
					admitted.Add(1)
				}
				b.Demand()
			}
		})
	}
	callers.Wait()
	if n := admitted.Load(); n != 500 {
		t.Errorf("%d calls of 3200 were admitted; want 500", n)
	}
}

func TestTakeAllocatesNothingOnceTheBucketIsThere(t *testing.T) {
	b := New()
	limits := []*policy.Limit{perUser(1000, 10, time.Minute)}
	b.Take(limits, ana, get, noon)
	if n := testing.AllocsPerRun(1000, func() { b.Take(limits, ana, get, noon) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
