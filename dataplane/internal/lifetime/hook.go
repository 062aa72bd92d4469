package lifetime

import "context"

// Hook has a function run at the end of a context. It is a part of whoever
// watches. It belongs to one goroutine, watches one context at a time, and must
// not be copied, or be another's, before Stop has returned true: until then the
// context knows of it.
type Hook struct {
	run  func()
	of   *Lifetime   // that is watched; nil: none, or another kind of context
	stop func() bool // ends watching another kind of context; nil: none is watched

	// Guarded by the lock of the Lifetime.
	waits        bool
	next, before *Hook
}

// Watch runs f in a goroutine of its own when ctx ends, or at once if it has,
// unless stopped before. It allocates nothing for a Lifetime, or what embeds one;
// a context with a method AfterFunc(func()) func() bool of its own is watched
// through that, and any other as context.AfterFunc does it.
func (h *Hook) Watch(ctx context.Context, f func()) {
	h.run, h.of, h.stop = f, nil, nil
	if own, ok := ctx.(interface{ itself() *Lifetime }); ok {
		h.of = own.itself()
		h.of.add(h)
		return
	}
	if own, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		h.stop = own.AfterFunc(f)
		return
	}
	if ctx.Done() != nil { // otherwise it never ends
		h.stop = context.AfterFunc(ctx, f)
	}
}

// Stop ends the watching. It reports whether that was in time: the function did
// not run and will not. Of a Hook that watches nothing that is true.
func (h *Hook) Stop() bool {
	switch {
	case h.of != nil && !h.of.unhook(h), h.stop != nil && !h.stop():
		return false
	}
	h.of, h.stop = nil, nil
	return true
}

func (l *Lifetime) unhook(h *Hook) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !h.waits {
		return false
	}
	l.remove(h)
	return true
}
