package publisher

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// divideEvery is how often a node is told of its shares, if they have changed.
const divideEvery = time.Second

// Shares divides the limits of the policy between nodes. *share.Allocator is one.
type Shares interface {
	// Enter and Leave say when a node has a stream to this replica.
	Enter(node string)
	Leave(node string)
	// Report takes what a node's calls asked of limits since it reported last.
	Report(node string, demand *syncv1.Demand)
	// For returns a node's shares; nil: it stays with those that it has.
	For(node string) *syncv1.Shares
}

// noShares leaves each node all of every limit.
type noShares struct{}

func (noShares) Enter(string)                  {}
func (noShares) Leave(string)                  {}
func (noShares) Report(string, *syncv1.Demand) {}
func (noShares) For(string) *syncv1.Shares     { return nil }

// divide tells the node of its shares beside the loop, at once and whenever they have
// changed. All nodes are told at the same moment, the full second: while one has been
// told and another not, they have too much together, or too little. The function
// returned stops it, and waits until it has.
func (c *conversation) divide(ctx context.Context, out chan<- *syncv1.Shares) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	shares := c.publisher.config.Shares
	shares.Enter(c.node)
	var running sync.WaitGroup
	running.Go(func() {
		var told *syncv1.Shares
		for {
			if next := shares.For(c.node); next != nil && !proto.Equal(next, told) {
				select {
				case out <- next:
					told = next
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-time.After(untilDivision(time.Now())):
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
		if !c.superseded() {
			shares.Leave(c.node)
		}
	}
}

// untilDivision is how long until all nodes are told of their shares.
func untilDivision(now time.Time) time.Duration {
	return now.Truncate(divideEvery).Add(divideEvery).Sub(now)
}

// superseded reports whether a later stream of the node took over.
func (c *conversation) superseded() bool {
	c.publisher.mu.Lock()
	defer c.publisher.mu.Unlock()
	return c.publisher.streams[c.node] != c
}
