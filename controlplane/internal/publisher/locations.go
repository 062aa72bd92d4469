package publisher

import (
	"context"
	"sync"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// maxAttached bounds how many agents a node may have tunnels of.
const maxAttached = 10_000

// Locations knows where nodes and agents are. *directory.Directory is one.
type Locations interface {
	// Locations blocks until they are others than those of a version, and returns them
	// with their own. It fails only when ctx ends. Nobody changes what it returns.
	Locations(ctx context.Context, seen uint64) (*syncv1.Locations, uint64, error)
}

// nowhere tells nobody of any place.
type nowhere struct{}

func (nowhere) Locations(ctx context.Context, seen uint64) (*syncv1.Locations, uint64, error) {
	<-ctx.Done()
	return nil, seen, context.Cause(ctx)
}

// locate tells the node beside the loop where nodes and agents are, the latest alone.
// The function returned stops it, and waits until it has.
func (c *conversation) locate(ctx context.Context, out chan<- *syncv1.Locations) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		var seen uint64
		for {
			locations, version, err := c.publisher.config.Locations.Locations(ctx, seen)
			if err != nil {
				return
			}
			seen = version
			select {
			case out <- locations:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}
