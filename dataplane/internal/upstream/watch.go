package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
)

// limits are the times that a server has. 0 means no bound.
type limits struct {
	header time.Duration // to begin its answer
	idle   time.Duration // to go on with it
	whole  time.Duration // for all of it
}

// ending is why a watch ended. As the error of a context it passes for a cancellation.
type ending string

func (e ending) Error() string        { return string(e) }
func (e ending) Is(target error) bool { return target == context.Canceled }

// Why a watch ends.
const (
	errNoAnswer   ending = "no answer in time"
	errStalled    ending = "the answer stalled"
	errTooLong    ending = "the call took too long"
	errClientGone ending = "the client went away"
	errOver       ending = "the conversation is over"
)

// watch is the time that a server has. It is a context, which ends with why:
//
//	waiting ──headers──▶ reading ──event──▶ reading ──answer──▶ closed
//	   │ errNoAnswer        │ errStalled  │  ▲
//	   └────────────────────┴─ errTooLong │  │ revive
//	                         errClientGone▼  │
//	                                   suspended: a person is asked; no time runs
//
// It is made for one purpose instead of by package context, because there is one for each call: what nobody asks for is
// not made. One timer serves all of it. A watch belongs to one goroutine; only as a context it is shared.
type watch struct {
	lifetime.Lifetime
	limits   limits
	timer    *time.Timer
	deadline time.Duration // of the whole, on clock
	reading  atomic.Bool
	client   lifetime.Hook
	onGone   func() // what the hook does, made once

	// The time moves at each step of a call, and almost never comes: so the timer is left where it is when the time moves
	// on, and looks again when it comes.
	mu    sync.Mutex
	due   time.Duration // on clock
	armed time.Duration // for when the timer is set; not after due
}

// clock tells the time on a clock of its own, which costs half of time.Now.
func clock() time.Duration { return time.Since(clockStart) }

var clockStart = time.Now()

// never is what stands for no bound: longer than any process lives.
const never = 100 * 365 * 24 * time.Hour

func orNever(d time.Duration) time.Duration {
	if d <= 0 {
		return never
	}
	return d
}

// start begins to wait for an answer. The watch ends when the client's context does, but only until it is detached.
func (w *watch) start(client context.Context, limits limits) {
	w.limits = limits
	now := clock()
	w.deadline = now + orNever(limits.whole)
	first := min(orNever(limits.header), orNever(limits.whole))
	w.due, w.armed = now+first, now+first
	if w.timer == nil {
		w.timer = time.AfterFunc(first, w.expire)
	} else {
		w.timer.Reset(first) // of an exchange that is used again
	}
	w.attach(client)
}

func (w *watch) attach(client context.Context) {
	if w.onGone == nil {
		w.onGone = func() { w.End(errClientGone) }
	}
	w.client.Watch(client, w.onGone)
}

// until returns when the time of the whole is over.
func (w *watch) until() time.Time { return clockStart.Add(w.deadline) }

// detach lets the client's context end without the watch. It reports whether that was in time.
func (w *watch) detach() bool { return w.client.Stop() }

// expire ends the watch with what was being waited for, if that is due.
func (w *watch) expire() {
	now := clock()
	switch {
	case w.rearmed(now):
	case now >= w.deadline:
		w.End(errTooLong)
	case w.reading.Load():
		w.End(errStalled)
	default:
		w.End(errNoAnswer)
	}
}

// rearmed sets the timer anew if its time has moved on.
func (w *watch) rearmed(now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now >= w.due {
		return false
	}
	w.armed = w.due
	w.timer.Reset(w.due - now)
	return true
}

// wait gives the server the time for the beginning of an answer.
func (w *watch) wait() {
	w.reading.Store(false)
	w.reset(w.limits.header)
}

// moved notes that the answer has begun, or went on.
func (w *watch) moved() {
	w.reading.Store(true)
	w.reset(w.limits.idle)
}

// reset lets the time end after d, or with that of the whole.
func (w *watch) reset(d time.Duration) {
	now := clock()
	due := min(now+orNever(d), max(w.deadline, now))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = due
	if due < w.armed {
		w.armed = due
		w.timer.Reset(due - now)
	}
}

// rest lets no time run but that of the whole: we are the ones who wait.
func (w *watch) rest() { w.reset(0) }

// suspend stops the time, because a person is asked.
func (w *watch) suspend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due, w.armed = never, never
	w.timer.Stop()
}

// revive gives the server its times anew.
func (w *watch) revive() {
	w.deadline = clock() + orNever(w.limits.whole)
	w.moved()
}

// close ends the watch. It reports whether neither the client's end nor the timer came, so that nothing of theirs is
// under way.
func (w *watch) close() (quiet bool) {
	quiet = w.detach()
	w.mu.Lock()
	quiet = w.timer.Stop() && quiet
	w.mu.Unlock()
	w.End(errOver)
	return quiet
}
