package upstream

import (
	"context"
	"sync"
)

// flight lets many wait for what one does. Nothing is kept of it: whoever comes after its end starts another.
type flight[T any] struct {
	mu      sync.Mutex
	current *attempt[T]
}

// attempt is one try, shared by all who wait for it.
type attempt[T any] struct {
	done  chan struct{} // closed when value and err are set
	value T
	err   error
}

// do waits for the attempt that runs, or starts one. The attempt runs by itself: who waits
// may leave, when ctx ends, and the others are not disturbed.
func (f *flight[T]) do(ctx context.Context, try func() (T, error)) (T, error) {
	f.mu.Lock()
	a := f.current
	if a == nil {
		a = &attempt[T]{done: make(chan struct{})}
		f.current = a
		go f.run(a, try)
	}
	f.mu.Unlock()
	return a.wait(ctx)
}

func (f *flight[T]) run(a *attempt[T], try func() (T, error)) {
	a.value, a.err = try()
	f.mu.Lock()
	f.current = nil
	f.mu.Unlock()
	close(a.done)
}

func (a *attempt[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-a.done:
		return a.value, a.err
	default:
	}
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
