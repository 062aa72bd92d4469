// Package lifetime is a context for one call, made cheap: what nobody asks for is
// not made.
//
// The contexts of package context cost several allocations to make one that can be
// ended, and again for each function that watches it. A Lifetime is a part of what
// it is the lifetime of, and a Hook a part of whoever watches it, so that neither
// costs one:
//
//	alive ──End──▶ ended, with a cause; the functions of the hooks run, Done is closed
//
// It has no parent: whoever wants it to end with another context hooks a function
// into that.
package lifetime

import (
	"context"
	"sync"
	"time"
)

// Lifetime is a context that End ends. The zero value is alive. It is safe for
// concurrent use and must not be copied.
type Lifetime struct {
	mu    sync.Mutex
	cause error         // nil: alive
	done  chan struct{} // nil: nobody has asked
	first *Hook         // of those that wait for the end
}

var _ context.Context = (*Lifetime)(nil)

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
	if l.done != nil {
		close(l.done)
	}
	for h := l.first; h != nil; h = l.first {
		l.remove(h)
		go h.run()
	}
	l.mu.Unlock()
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
// stop reports whether it was in time. Package context looks for this method;
// whoever has a place for a Hook does better with that.
func (l *Lifetime) AfterFunc(f func()) (stop func() bool) {
	h := new(Hook)
	h.Watch(l, f)
	return func() bool { return l.unhook(h) }
}

// itself is how a Hook knows a context that is, or embeds, a Lifetime.
func (l *Lifetime) itself() *Lifetime { return l }

// add takes a hook in, or starts its function if the end has been.
func (l *Lifetime) add(h *Hook) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		go h.run()
		return
	}
	h.waits, h.next = true, l.first
	if l.first != nil {
		l.first.before = h
	}
	l.first = h
}

// remove takes a hook out that waits. The lock is held.
func (l *Lifetime) remove(h *Hook) {
	if h.before != nil {
		h.before.next = h.next
	} else {
		l.first = h.next
	}
	if h.next != nil {
		h.next.before = h.before
	}
	h.waits, h.next, h.before = false, nil, nil
}
