package limit

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// However many nodes there are and however small the limit: the first call of a user is
// not refused, and what is too much for that is one call at each node, once.
func TestTheFirstCallIsAdmittedAtEachOfManyNodes(t *testing.T) {
	const nodes = 50
	l, sum := perUser(20, 2, 24*time.Hour), 0
	for range nodes {
		b := New()
		b.SetShares(&syncv1.Shares{Nodes: nodes})
		if _, ok := b.Take([]*policy.Limit{l}, ana, get, noon); !ok {
			t.Fatal("the first call is refused")
		}
		sum += 1 + admitted(b, l, ana, noon.Add(time.Second), time.Hour, 10*24*time.Hour)
	}
	if sum > nodes+10*20 {
		t.Errorf("%d calls in ten days at %d nodes; want at most one each, and 200", sum, nodes)
	}
}

// Ana floods against a limit of her own: the one that all share does not follow her.
func TestARefusedCallAsksOnlyOfTheLimitInItsWay(t *testing.T) {
	b := New()
	all := &policy.Limit{Name: "all", Per: snapshotv1.LimitPer_LIMIT_PER_ALL, Calls: 10, Burst: 3, Window: time.Hour}
	own := perUser(1, 1, 2*time.Hour)
	for range 100 {
		b.Take([]*policy.Limit{all, own}, ana, get, noon)
	}
	asked := make(map[string]uint64)
	for _, d := range b.Demand().GetBuckets() {
		asked[d.GetLimit()] = d.GetAsked()
	}
	if asked["all"] != 1 || asked["per-user"] != 100 {
		t.Errorf("asked %v; want 1 of all and 100 of the user's own", asked)
	}
}

func TestEachKindHasBucketsOfItsOwn(t *testing.T) {
	mine := func() (*principal.Principal, policy.Target) {
		return &principal.Principal{User: "ana", Application: "cursor"}, policy.Target{Server: "git", Name: "get"}
	}
	for per, other := range map[snapshotv1.LimitPer]func(*principal.Principal, *policy.Target){
		snapshotv1.LimitPer_LIMIT_PER_USER:        func(p *principal.Principal, _ *policy.Target) { p.User = "bob" },
		snapshotv1.LimitPer_LIMIT_PER_APPLICATION: func(p *principal.Principal, _ *policy.Target) { p.Application = "ci" },
		snapshotv1.LimitPer_LIMIT_PER_SERVER:      func(_ *principal.Principal, t *policy.Target) { t.Server = "mail" },
		snapshotv1.LimitPer_LIMIT_PER_TOOL:        func(_ *principal.Principal, t *policy.Target) { t.Name = "put" },
		snapshotv1.LimitPer_LIMIT_PER_ALL:         nil,
	} {
		limits := []*policy.Limit{{Name: "l", Per: per, Calls: 1, Burst: 1, Window: time.Hour}}
		for kind, change := range map[snapshotv1.LimitPer]func(*principal.Principal, *policy.Target){
			snapshotv1.LimitPer_LIMIT_PER_USER:        func(p *principal.Principal, _ *policy.Target) { p.User = "eve" },
			snapshotv1.LimitPer_LIMIT_PER_APPLICATION: func(p *principal.Principal, _ *policy.Target) { p.Application = "ide" },
			snapshotv1.LimitPer_LIMIT_PER_TOOL:        func(_ *principal.Principal, t *policy.Target) { t.Name = "list" },
		} {
			b := New()
			p, target := mine()
			if _, ok := b.Take(limits, p, target, noon); !ok {
				t.Fatalf("%v: the first call is refused", per)
			}
			if kind != per {
				change(p, &target)
				if _, ok := b.Take(limits, p, target, noon); ok {
					t.Errorf("%v: another %v has a bucket of its own", per, kind)
				}
			}
			if other != nil {
				p, target = mine()
				if other(p, &target); !admits(b, limits, p, target) {
					t.Errorf("%v: another one shares the bucket", per)
				}
			}
		}
	}
}

func admits(b *Buckets, limits []*policy.Limit, p *principal.Principal, t policy.Target) bool {
	_, ok := b.Take(limits, p, t, noon)
	return ok
}

// Whoever takes a limit out of the policy and puts it back, or changes it, gives nobody
// a fresh burst.
func TestALimitThatComesBackOrChangesRemembersWhatWasTaken(t *testing.T) {
	b := New()
	admitted(b, perUser(10, 10, time.Hour), ana, noon, 1, 10)
	if n := admitted(b, perUser(10, 10, time.Hour), ana, noon.Add(time.Minute), 1, 10); n > 0 {
		t.Errorf("%d calls of a limit that came back", n)
	}
	if n := admitted(b, perUser(1000, 1000, time.Hour), ana, noon.Add(time.Minute), 1, 10); n > 0 {
		t.Errorf("%d calls at once of a limit that became larger; want its pace", n)
	}
	admitted(b, perUser(1000, 1000, time.Hour), bob, noon, 1, 1)
	if n := admitted(b, perUser(10, 2, time.Hour), bob, noon, 1, 10); n != 2 {
		t.Errorf("%d calls at once of a limit that became smaller; want its burst of 2", n)
	}
}

func TestExtremeLimitsHold(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		l           *policy.Limit
		step, lasts time.Duration
		want        int
	}{
		{perUser(1, 1, day), time.Hour, 10 * day, 10},
		{perUser(1_000_000_000, 1_000_000_000, time.Second), time.Nanosecond, 5000, 5000},
		{perUser(1_000_000_000, 1, day), time.Millisecond, time.Second, 1000},
		{perUser(1, 1_000_000_000, day), 1, 1000, 1000},
	} {
		if n := admitted(New(), c.l, ana, noon, c.step, c.lasts); n != c.want {
			t.Errorf("%d each %v, burst %d: %d calls in %v; want %d", c.l.Calls, c.l.Window, c.l.Burst, n, c.lasts, c.want)
		}
	}
}

// A clock that jumps gives at most the burst, and one that goes back nothing.
func TestAClockThatStepsGivesNoMoreThanTheBurst(t *testing.T) {
	b, l := New(), perUser(60, 5, time.Minute)
	admitted(b, l, ana, noon, 1, 10)
	if n := admitted(b, l, ana, noon.Add(-time.Hour), 1, 10); n > 0 {
		t.Errorf("%d calls after the clock went back", n)
	}
	if n := admitted(b, l, ana, noon.AddDate(100, 0, 0), 1, 10); n != 5 {
		t.Errorf("%d calls after a century; want the burst of 5", n)
	}
}

// For every share and limit: at the time that a refusal names there is a token, and just
// before there is none.
func TestTheTimeToComeBackIsTheTimeOfTheNextToken(t *testing.T) {
	for _, part := range []uint32{1_000_000, 500_000, 333_333, 50_000} {
		for _, l := range []*policy.Limit{perUser(7, 1, time.Second), perUser(600, 60, time.Minute), perUser(100, 3, 24*time.Hour)} {
			b := New()
			b.SetShares(&syncv1.Shares{Nodes: 20, Buckets: []*syncv1.BucketShare{{Limit: l.Name, Name: "ana", Millionths: part}}})
			admitted(b, l, ana, noon, 1, 100)
			refusal, ok := b.Take([]*policy.Limit{l}, ana, get, noon)
			if ok {
				t.Fatal("no refusal")
			}
			if refusal.Wait == l.Window {
				continue // that is the most that is ever said
			}
			if before := noon.Add(refusal.Wait * 99 / 100); refusal.Wait > time.Millisecond && admitted(b, l, ana, before, 1, 1) > 0 {
				t.Errorf("%d each %v, part %d: %v was too long", l.Calls, l.Window, part, refusal.Wait)
			}
			if _, ok := b.Take([]*policy.Limit{l}, ana, get, noon.Add(refusal.Wait+time.Microsecond)); !ok {
				t.Errorf("%d each %v, part %d: refused after %v", l.Calls, l.Window, part, refusal.Wait)
			}
		}
	}
}

// A bucket that is forgotten while a call is on its way to it is not charged: the call
// would go free.
func TestACallIsNotChargedToABucketThatIsForgotten(t *testing.T) {
	b, l := New(), perUser(1, 1, time.Second)
	at := place{l.Name, l.Bucket(ana, &get)}
	admitted(b, l, ana, noon, 1, 1)
	b.Demand()
	found := b.find(at, noon) // as the call does
	later := noon.Add(time.Minute)
	for i := range b.shards {
		b.shards[i].sweep(later)
	}
	if k := b.lock(at, later); k == found || b.count() != 1 {
		t.Errorf("the call got the forgotten bucket, or there are %d", b.count())
	}
}

// A name that comes back after its bucket was forgotten has no more than one that
// waited.
func TestForgettingGivesNoFreshBurst(t *testing.T) {
	b, l := New(), perUser(60, 10, time.Minute)
	b.room = 2
	got := admitted(b, l, ana, noon, 1, 20)
	for i := range 1000 { // Others push.
		b.Demand()
		b.Take([]*policy.Limit{l}, &principal.Principal{User: fmt.Sprint(i)}, get, noon.Add(time.Duration(i)*5*time.Millisecond))
	}
	got += admitted(b, l, ana, noon.Add(5*time.Second), 1, 20)
	if got < 14 || got > 15 {
		t.Errorf("%d calls in five seconds; want the burst of 10 and 5", got)
	}
}

func TestMetricsTellOfNodesBucketsAndSharesOfEachLimit(t *testing.T) {
	b, registry := New(), prometheus.NewPedanticRegistry()
	registry.MustRegister(b)
	admitted(b, perUser(1, 1, time.Second), ana, noon, 1, 1)
	var m syncv1.Shares
	m.Nodes = 4
	for i := range 1000 {
		m.Buckets = append(m.Buckets, &syncv1.BucketShare{Limit: "l", Name: fmt.Sprint(i), Millionths: uint32(i%2) * 500_000})
	}
	b.SetShares(&m)
	for _, name := range []string{"warder_limit_nodes", "warder_limit_buckets", "warder_limit_share"} {
		if n, err := testutil.GatherAndCount(registry, name); n != 1 || err != nil {
			t.Errorf("%s: %d series, %v", name, n, err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(families[0].GetMetric()[0].GetGauge().GetValue(), families[1].GetMetric()[0].GetGauge().GetValue(), families[2].GetMetric()[0].GetGauge().GetValue())
	if got != "1 4 0.25" {
		t.Errorf("buckets, nodes and share are %s", got)
	}
}

// BenchmarkTake is what a call pays for its limits: of one bucket that all callers want
// at once, and of buckets of their own.
func BenchmarkTake(b *testing.B) {
	tool := &policy.Limit{Name: "a-tool", Per: snapshotv1.LimitPer_LIMIT_PER_TOOL, Calls: 1_000_000_000, Burst: 1_000_000_000, Window: time.Second}
	user := perUser(1_000_000_000, 1_000_000_000, time.Second)
	for _, c := range []struct {
		name   string
		limits []*policy.Limit
	}{{"one", []*policy.Limit{user}}, {"two", []*policy.Limit{tool, user}}} {
		for _, alone := range []bool{true, false} {
			name := c.name + "/shared"
			if alone {
				name = c.name + "/own"
			}
			b.Run(name, func(b *testing.B) {
				buckets := New()
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					p, target := ana, get
					if alone {
						p = &principal.Principal{User: fmt.Sprintf("%p", pb)}
						target.Name = p.User
					}
					for pb.Next() {
						buckets.Take(c.limits, p, target, noon)
					}
				})
			})
		}
	}
}
