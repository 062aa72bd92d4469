package upstream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
	limits   limits
	timer    *time.Timer
	deadline time.Time // of the whole
	reading  atomic.Bool
	detach   func() bool

	mu    sync.Mutex
	cause error         // nil: it has not ended
	done  chan struct{} // nil: nobody has asked
	hooks hooks
}

// hooks are the functions that run when a watch ends. There is seldom more than one at a time.
type hooks struct {
	last  int    // number of the last one
	first hook   // in use if it has a function
	more  []hook // the others
}

type hook struct {
	number int
	run    func()
}

func (h *hooks) add(f func()) (number int) {
	h.last++
	added := hook{h.last, f}
	if h.first.run == nil {
		h.first = added
	} else {
		h.more = append(h.more, added)
	}
	return h.last
}

// remove reports whether the function was there.
func (h *hooks) remove(number int) bool {
	if h.first.number == number && h.first.run != nil {
		h.first = hook{}
		return true
	}
	for i := range h.more {
		if h.more[i].number == number {
			h.more = slices.Delete(h.more, i, i+1)
			return true
		}
	}
	return false
}

// run starts all of them, each in a goroutine of its own.
func (h *hooks) run() {
	if h.first.run != nil {
		go h.first.run()
	}
	for i := range h.more {
		go h.more[i].run()
	}
}

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
	w.deadline = time.Now().Add(orNever(limits.whole))
	w.timer = time.AfterFunc(min(orNever(limits.header), orNever(limits.whole)), w.expire)
	w.attach(client)
}

func (w *watch) attach(client context.Context) {
	w.detach = context.AfterFunc(client, func() { w.end(errClientGone) })
}

// expire ends the watch with what was being waited for.
func (w *watch) expire() {
	switch {
	case !time.Now().Before(w.deadline):
		w.end(errTooLong)
	case w.reading.Load():
		w.end(errStalled)
	default:
		w.end(errNoAnswer)
	}
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

func (w *watch) reset(d time.Duration) {
	w.timer.Reset(min(orNever(d), max(time.Until(w.deadline), 0)))
}

// rest lets no time run but that of the whole: we are the ones who wait.
func (w *watch) rest() { w.reset(0) }

// suspend stops the time, because a person is asked.
func (w *watch) suspend() { w.timer.Stop() }

// revive gives the server its times anew.
func (w *watch) revive() {
	w.deadline = time.Now().Add(orNever(w.limits.whole))
	w.moved()
}

// close ends the watch.
func (w *watch) close() {
	w.detach()
	w.timer.Stop()
	w.end(errOver)
}

// end ends the watch, the first time.
func (w *watch) end(cause error) {
	w.mu.Lock()
	if w.cause != nil {
		w.mu.Unlock()
		return
	}
	w.cause = cause
	ending := w.hooks
	w.hooks = hooks{last: ending.last}
	if w.done != nil {
		close(w.done)
	}
	w.mu.Unlock()
	ending.run()
}

// Deadline is none: the timer moves.
func (w *watch) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is always nil. In particular, a watch is not known to package context as one of its own, so that context.Cause of
// it is Err.
func (w *watch) Value(any) any { return nil }

// Err returns why the watch ended, which is context.Canceled to errors.Is, or nil.
func (w *watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

// Done returns a channel that is closed when the watch ends.
func (w *watch) Done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.cause != nil {
			close(w.done)
		}
	}
	return w.done
}

// AfterFunc runs f in a goroutine of its own when the watch ends, unless stopped before. Package context looks for it.
func (w *watch) AfterFunc(f func()) (stop func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		go f()
		return func() bool { return false }
	}
	number := w.hooks.add(f)
	return func() bool { return w.unhook(number) }
}

func (w *watch) unhook(number int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hooks.remove(number)
}
