// Package lifetime is a context for one call, made cheap: what nobody asks for is
// not made.
//
// The contexts of package context cost several allocations to make one that can be
// ended, and again for each function that watches it. A Lifetime is a part of what
// it is the lifetime of, and costs one allocation for each function:
//
//	alive ──End──▶ ended, with a cause; the functions run, Done is closed
//
// It has no parent: whoever wants it to end with another context says so, with
// OnEnd.
package lifetime

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Lifetime is a context that End ends. The zero value is alive. It is safe for
// concurrent use and must not be copied.
type Lifetime struct {
	mu    sync.Mutex
	cause error         // nil: alive
	done  chan struct{} // nil: nobody has asked
	hooks hooks
}

var _ context.Context = (*Lifetime)(nil)

// hooks are the functions that run at the end. There is seldom more than one at a
// time.
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

// End ends the lifetime; only the first time counts. Without a cause it is
// context.Canceled.
func (l *Lifetime) End(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	l.mu.Lock()
	if l.cause != nil {
		l.mu.Unlock()
		return
	}
	l.cause = cause
	ending := l.hooks
	l.hooks = hooks{last: ending.last}
	if l.done != nil {
		close(l.done)
	}
	l.mu.Unlock()
	ending.run()
}

// Deadline is none.
func (l *Lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is always nil. In particular, a Lifetime is not known to package context
// as one of its own, so that context.Cause of it is Err.
func (l *Lifetime) Value(any) any { return nil }

// Err returns the cause of the end, or nil.
func (l *Lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Done returns a channel that is closed at the end.
func (l *Lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.cause != nil {
			close(l.done)
		}
	}
	return l.done
}

// AfterFunc runs f in a goroutine of its own at the end, unless stopped before:
// stop reports whether it was in time. Package context looks for this method.
func (l *Lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		go f()
		return func() bool { return false }
	}
	number := l.hooks.add(f)
	return func() bool { return l.unhook(number) }
}

func (l *Lifetime) unhook(number int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hooks.remove(number)
}

// OnEnd is context.AfterFunc for any context, at less cost where that is, or
// embeds, a Lifetime.
func OnEnd(ctx context.Context, f func()) (stop func() bool) {
	if own, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return own.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}
