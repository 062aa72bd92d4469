package spool

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
	"github.com/warder-gateway/warder/internal/fault"
)

// commits are the group commits of a queue: one call of the disk for all who wait.
//
//	who waits   a b │ c d e f │ g h │
//	the disk        │ for a b │ for c d e f │ for g h │
//
// Who comes while the disk works was perhaps too late for that, and is covered by the next call. Nothing is queued but who
// waits, and nobody waits but calls that run, which the listener bounds.
type commits struct {
	mu      sync.Mutex
	next    *group    // whom the next call of the disk covers; nil: nobody
	running bool      // a goroutine calls the disk until nobody waits
	since   time.Time // when the call began that the disk has not answered yet; zero: none
	told    bool      // the log has it that the disk does not answer
	made    uint64    // calls of the disk that succeeded
}

// group is who waits for the same call of the disk.
type group struct {
	done chan struct{}
	err  error // once done is closed
}

// errSlowDisk says that a disk does not answer. It may still: nothing is known to be lost.
var errSlowDisk = fault.New(fault.Unavailable, "the disk of this node's audit queue does not answer in time")

// Sync waits until everything that was accepted before it is called is on the disk, and survives the machine. An error means
// that it may not be: the cause of ctx, if that ends first; that the disk takes longer than Config.SyncTime, or has already, in
// which case nobody waits; or that it failed, after which the queue accepts nothing more. For a queue in memory it has nothing to do.
func (q *Queue) Sync(ctx context.Context) error {
	if q.directory == nil {
		return nil
	}
	group := q.enlist()
	if group == nil {
		return q.hangs()
	}
	timer := time.NewTimer(q.config.SyncTime)
	defer timer.Stop()
	select {
	case <-group.done:
		return group.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return q.hangs()
	}
}

// Syncs returns how often the disk was called since the start, and has answered.
func (q *Queue) Syncs() uint64 {
	q.commits.mu.Lock()
	defer q.commits.mu.Unlock()
	return q.commits.made
}

// enlist adds the caller to those whom the next call of the disk covers, and sees to it that there is one. Behind a call that the disk
// does not answer it adds nobody, and returns nil.
func (q *Queue) enlist() *group {
	c := &q.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stuck(q.config.SyncTime) {
		return nil
	}
	if c.next == nil {
		c.next = &group{done: make(chan struct{})}
	}
	if !c.running {
		c.running = true
		go q.commit()
	}
	return c.next
}

// stuck reports whether the disk does not answer. The caller holds mu.
func (c *commits) stuck(patience time.Duration) bool {
	return !c.since.IsZero() && time.Since(c.since) >= patience
}

// hangs is what who does not wait for the disk any more returns. The log has it once for each call of the disk that is not answered,
// however many calls are refused for that.
func (q *Queue) hangs() error {
	q.commits.mu.Lock()
	defer q.commits.mu.Unlock()
	if !q.commits.told {
		q.commits.told = true
		q.config.Log.Error("audit: the disk does not answer; calls whose record has to be on it are refused until it does")
	}
	return errSlowDisk
}

// slow says that the disk does not answer, if it does not.
func (q *Queue) slow() error {
	q.commits.mu.Lock()
	defer q.commits.mu.Unlock()
	if q.commits.stuck(q.config.SyncTime) {
		return errSlowDisk
	}
	return nil
}

// commit calls the disk until nobody waits. One goroutine at a time runs it. Before each call it steps behind the goroutines that
// could run: those among them that are about to wait join the group, so that under load there is a third of the calls, each of
// which takes a processor for a part of its time.
func (q *Queue) commit() {
	for {
		runtime.Gosched()
		group := q.commits.begin()
		if group == nil {
			return
		}
		if group.err = q.Err(); group.err == nil {
			group.err = q.sync()
		}
		close(group.done)
	}
}

// begin returns who is covered by a call of the disk that begins now; nil if nobody waits, and the goroutine ends.
func (c *commits) begin() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	group := c.next
	c.next, c.running, c.since, c.told = nil, group != nil, time.Time{}, false
	if group != nil {
		c.since = time.Now()
	}
	return group
}

// sync brings the ring to the disk. Once that has failed, the system may count as written what was not, and would not say so
// a second time (https://wiki.postgresql.org/wiki/Fsync_Errors): so no further try is made.
func (q *Queue) sync() (err error) {
	turns.WaitOften(func() { err = q.config.Disk(q.ring.memory.sync) })
	if err != nil {
		return q.doubt(err)
	}
	q.commits.mu.Lock()
	defer q.commits.mu.Unlock()
	q.commits.made++
	return nil
}

// doubt has the queue accept no call any more, and returns why. Results of calls that run it takes: what is in memory is still
// handed over, and nobody relies on the disk for it.
func (q *Queue) doubt(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken == nil && q.doubted == nil {
		q.doubted = broken("brought to the disk", err)
		q.config.Log.Error("audit: the disk failed; calls are refused until the node is started again with a sound disk", "error", err)
	}
	return cmp.Or(q.broken, q.doubted)
}
