package limit

import (
	"cmp"
	"slices"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// MaxDemand is how many buckets one Demand names.
const MaxDemand = 1000

// shares are this node's parts of limits. Immutable.
type shares struct {
	turn  uint64  // which shares these are of those that there were
	nodes uint32  // 0: nobody has said
	even  float64 // of what is not named
	named map[named]float64
}

// named is a place as the wire has it.
type named struct{ limit, name string }

// of returns the node's part of a bucket, from 0 to 1.
func (s *shares) of(at place) float64 {
	if len(s.named) > 0 {
		if part, named := s.named[named{at.limit, at.of.String()}]; named {
			return part
		}
	}
	return s.even
}

const millionths = 1e6

// SetShares puts in force what the control plane says. A message that says nothing sure
// of the number of nodes changes nothing.
func (b *Buckets) SetShares(m *syncv1.Shares) {
	if m.GetNodes() == 0 {
		return
	}
	next := &shares{nodes: m.GetNodes(), even: 1 / float64(m.GetNodes()), named: make(map[named]float64, len(m.GetBuckets()))}
	for _, bucket := range m.GetBuckets() {
		next.named[named{bucket.GetLimit(), bucket.GetName()}] = min(1, float64(bucket.GetMillionths())/millionths)
	}
	for {
		before := b.shares.Load()
		next.turn = before.turn + 1
		if b.shares.CompareAndSwap(before, next) {
			return
		}
	}
}

// Nodes returns among how many nodes limits are divided, as the control plane said
// last; 0 before it has.
func (b *Buckets) Nodes() uint32 { return b.shares.Load().nodes }

// Demand returns what the buckets were asked for since the last time, the busiest
// MaxDemand of them; nil if nothing was.
func (b *Buckets) Demand() *syncv1.Demand {
	var all []*syncv1.BucketDemand
	for i := range b.shards {
		all = b.shards[i].demand(all)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *syncv1.BucketDemand) int {
		return cmp.Or(cmp.Compare(b.GetAsked(), a.GetAsked()), cmp.Compare(a.GetLimit(), b.GetLimit()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return &syncv1.Demand{Buckets: all[:min(len(all), MaxDemand)]}
}

// demand appends what the shard's buckets were asked for. It must not lock buckets:
// whoever holds one may wait for the shard.
func (s *shard) demand(all []*syncv1.BucketDemand) []*syncv1.BucketDemand {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, bucket := range s.buckets {
		if asked := bucket.asked.Swap(0); asked > 0 && at.of.Name != crowded {
			all = append(all, &syncv1.BucketDemand{Limit: at.limit, Name: at.of.String(), Asked: asked})
		}
	}
	return all
}
