// Package share divides the limits of the policy between nodes.
//
//	node ──Demand, each second──▶ Report ──▶ demand of each bucket, smoothed
//	                                             │
//	node ◀──Shares, when they change── For ◀─────┘
//
// A bucket of a limit is divided by what each node's clients ask of it, so that a node
// that has all the calls of a user has almost all of what the user may do. A twentieth is
// divided evenly all the same: it is what a node has for the first call of a user whom it
// has not seen. What all nodes have together is never more than the limit.
//
// Several replicas of the control plane each divide the part that their own nodes are of
// all nodes, which they count in the database. A node that has gone keeps its part for
// Grace, since it may go on serving without us.
package share

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// Grace is how long a node that left keeps its part.
	Grace = 10 * time.Second
	// count is how often the nodes are counted.
	countEvery = 2 * time.Second
	// maxBuckets bounds the buckets that are divided by demand; the others are divided
	// evenly.
	maxBuckets = 1000
	// maxDemand bounds what one message of a node may name.
	maxDemand = 1000
	// reserve is what is divided evenly of each bucket.
	reserve = 0.05
	// decay is what is left of a demand after a second.
	decay = 0.5
	// silence is how long a node that reports each second may be late: until then its
	// demand is what it was, or whoever reported last would seem to have the most.
	silence = 1500 * time.Millisecond
	// forget is the demand, in calls a second, below which a bucket is not divided by it.
	forget     = 0.01
	millionths = 1e6
)

// Config is what an Allocator is made of.
type Config struct {
	// Count returns how many nodes there are, at all replicas. Required.
	Count func(ctx context.Context) (int, error)
	Log   *slog.Logger     // nil: discarded
	Now   func() time.Time // nil: time.Now
}

// Allocator divides limits between the nodes of this replica. It is safe for concurrent
// use.
type Allocator struct {
	config Config

	mu    sync.Mutex
	nodes map[string]*node
	total int // at all replicas, as last counted; 0: not yet
}

type bucket struct{ limit, name string }

type node struct {
	demand map[bucket]float64 // calls a second, smoothed
	at     time.Time          // when demand was right
	heard  time.Time          // when it reported last, or came
	left   time.Time          // zero: it is here
}

// New returns an Allocator that knows no node.
func New(c Config) *Allocator {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Allocator{config: c, nodes: make(map[string]*node)}
}

// Run counts the nodes until ctx ends.
func (a *Allocator) Run(ctx context.Context) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		a.count(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *Allocator) count(ctx context.Context) {
	total, err := a.config.Count(ctx)
	switch {
	case err == nil:
		a.mu.Lock()
		a.total = max(total, 1)
		a.mu.Unlock()
	case ctx.Err() == nil:
		a.config.Log.Warn("cannot count the nodes; limits stay divided as they are", "error", err)
	}
}

// Enter takes a node in.
func (a *Allocator) Enter(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.nodes[name]; known != nil {
		known.left = time.Time{}
		return
	}
	now := a.config.Now()
	a.nodes[name] = &node{demand: make(map[bucket]float64), at: now, heard: now}
}

// Leave says that a node's stream has ended.
func (a *Allocator) Leave(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.nodes[name]; known != nil {
		known.left = a.config.Now()
	}
}

// Report takes what a node's buckets were asked for since it reported last, or in the
// last second if that is longer ago: who is asked nothing does not report. What a message
// names beyond the bound is left out: it is divided evenly.
func (a *Allocator) Report(name string, m *syncv1.Demand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.nodes[name]
	if n == nil {
		return
	}
	now := a.config.Now()
	n.age(now)
	// Messages come at no exact pace: two at once are as much as one of two seconds.
	seconds := min(max(now.Sub(n.heard).Seconds(), shortest), 1)
	n.heard = now
	weight := (1 - math.Pow(decay, seconds)) / seconds
	for i, d := range m.GetBuckets() {
		at := bucket{d.GetLimit(), d.GetName()}
		if i < maxDemand && d.GetAsked() > 0 && (len(n.demand) < 2*maxDemand || n.demand[at] > 0) {
			n.demand[at] += weight * float64(d.GetAsked())
		}
	}
}

// shortest is the time between two reports, in seconds, below which they count as one.
const shortest = 0.001

// age brings the demand down to what it is now. That of a node that left stays: it may
// go on serving.
func (n *node) age(now time.Time) {
	if !n.left.IsZero() {
		return
	}
	since := now.Sub(n.at).Seconds()
	if since <= 0 {
		return
	}
	n.at = now
	left := math.Pow(decay, since)
	for at := range n.demand {
		if n.demand[at] *= left; n.demand[at] < forget {
			delete(n.demand, at)
		}
	}
}

// For returns a node's shares, in the order of buckets; nil before the nodes have been
// counted, and then nodes stay with the shares that they have.
func (a *Allocator) For(name string) *syncv1.Shares {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total == 0 {
		return nil
	}
	a.expire()
	here := len(a.nodes)
	total := max(a.total, here)
	shares := &syncv1.Shares{Nodes: uint32(min(total, math.MaxUint32))}
	own := a.nodes[name]
	if own == nil {
		return shares
	}
	busiest, demand := a.busiest()
	for _, at := range busiest {
		part := reserve / float64(here)
		part += (1 - reserve) * own.demand[at] / demand[at]
		part *= float64(here) / float64(total)
		shares.Buckets = append(shares.Buckets, &syncv1.BucketShare{Limit: at.limit, Name: at.name, Millionths: uint32(part * millionths)})
	}
	return shares
}

// expire forgets nodes that left a while ago, and demand that has passed. The caller holds the lock.
func (a *Allocator) expire() {
	now := a.config.Now()
	for name, n := range a.nodes {
		if !n.left.IsZero() && now.Sub(n.left) >= Grace {
			delete(a.nodes, name)
			continue
		}
		n.age(now.Add(-silence))
	}
}

// busiest returns the buckets that are divided by demand, by name, and the demand of all
// nodes together. All nodes get the same ones: a bucket of which one node has a share by
// demand is divided so for all.
func (a *Allocator) busiest() ([]bucket, map[bucket]float64) {
	sums := make(map[bucket]float64)
	for _, n := range a.nodes {
		for at, calls := range n.demand {
			sums[at] += calls
		}
	}
	all := slices.Collect(maps.Keys(sums))
	byName := func(a, b bucket) int { return cmp.Or(cmp.Compare(a.limit, b.limit), cmp.Compare(a.name, b.name)) }
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), byName(a, b)) })
	all = all[:min(len(all), maxBuckets)]
	slices.SortFunc(all, byName)
	return all, sums
}
