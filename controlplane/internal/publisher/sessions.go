package publisher

import (
	"context"
	"sync"
	"time"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// maxEndedMessage bounds the ended sessions in one message of a node: four
	// times what nodes put into one.
	maxEndedMessage = 16384
	// endedBacklog is how many such messages wait to be written down.
	endedBacklog = 4
	// endedRetry is the pause after the database failed.
	endedRetry = time.Second
	// endedReconcile is how often nodes are told of ended sessions although nothing
	// woke: what they have been told already is not told again.
	endedReconcile = 5 * time.Minute
)

// Sessions keeps the sessions that clients ended. *ended.List is one.
type Sessions interface {
	// End keeps sessions that a node reported.
	End(ctx context.Context, sessions []*syncv1.EndedSession) error
	// Wait blocks until there are more than were seen, and returns how far they
	// go. It fails only when ctx ends.
	Wait(ctx context.Context, seen uint64) (uint64, error)
	// After returns a chunk of those behind a position, and where to go on. None
	// and the same position: there is no more.
	After(ctx context.Context, position uint64) ([]*syncv1.EndedSession, uint64, error)
}

// noSessions keeps nothing.
type noSessions struct{}

func (noSessions) End(context.Context, []*syncv1.EndedSession) error { return nil }

func (noSessions) Wait(ctx context.Context, _ uint64) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (noSessions) After(_ context.Context, position uint64) ([]*syncv1.EndedSession, uint64, error) {
	return nil, position, nil
}

// sessions starts what is written down and told of ended sessions, beside the
// loop. The function returned stops it, and waits until it has.
func (c *conversation) sessions(ctx context.Context, ended chan<- *syncv1.EndedSessions) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	c.endings = make(chan []*syncv1.EndedSession, endedBacklog)
	var running sync.WaitGroup
	running.Go(func() { c.record(ctx) })
	running.Go(func() { c.tell(ctx, ended) })
	return func() {
		cancel()
		running.Wait()
	}
}

// takeEnded hands what a node says to record. It does not block.
func (c *conversation) takeEnded(sessions []*syncv1.EndedSession) error {
	if len(sessions) > maxEndedMessage {
		return errTooMany
	}
	select {
	case c.endings <- sessions:
	default:
		c.log.Warn("ended sessions come faster than they can be written down; the node will say them again", "sessions", len(sessions))
	}
	return nil
}

// record writes down what the node says until ctx ends.
func (c *conversation) record(ctx context.Context) {
	for {
		select {
		case sessions := <-c.endings:
			if err := c.publisher.config.Sessions.End(ctx, sessions); err != nil && ctx.Err() == nil {
				c.log.Warn("cannot write down ended sessions; the node will say them again", "sessions", len(sessions), "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// tell tells the node of all ended sessions, its own too, which confirms them,
// and then of each that comes. One chunk at a time is in memory.
func (c *conversation) tell(ctx context.Context, ended chan<- *syncv1.EndedSessions) {
	var seen, position uint64
	for ctx.Err() == nil {
		var err error
		if position, err = c.tellAfter(ctx, ended, position); err != nil && ctx.Err() == nil {
			c.log.Warn("cannot read ended sessions; tries again", "error", err)
			pause(ctx, endedRetry)
			continue
		}
		seen = c.awaitEnded(ctx, seen)
	}
}

// awaitEnded waits until there is more than was seen, or for as long as a
// wake-up may be lost. It returns what is seen then.
func (c *conversation) awaitEnded(ctx context.Context, seen uint64) uint64 {
	ctx, cancel := context.WithTimeout(ctx, endedReconcile)
	defer cancel()
	if next, err := c.publisher.config.Sessions.Wait(ctx, seen); err == nil {
		return next
	}
	return seen
}

// tellAfter tells everything behind a position, and returns how far it came.
func (c *conversation) tellAfter(ctx context.Context, ended chan<- *syncv1.EndedSessions, position uint64) (uint64, error) {
	for {
		sessions, next, err := c.publisher.config.Sessions.After(ctx, position)
		if err != nil || next == position {
			return position, err
		}
		position = next
		if len(sessions) == 0 {
			continue
		}
		select {
		case ended <- &syncv1.EndedSessions{Sessions: sessions}:
		case <-ctx.Done():
			return position, ctx.Err()
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
