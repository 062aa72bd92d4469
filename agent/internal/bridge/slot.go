package bridge

import (
	"context"
	"sync"
)

// slot holds the one worker that many share. It is started by the first who wants it; the others wait for him. The zero
// value is empty.
type slot struct {
	users int    // of one of the modern era; guarded by its Server
	tried func() // is called when an attempt is over; nil: nobody wants to know

	mu      sync.Mutex
	current *worker
	attempt *attempt
}

// attempt is the start of a worker.
type attempt struct {
	done   chan struct{}
	worker *worker // valid, as err, once done is closed
	err    error
}

// get returns the worker that runs, or starts one. Who waits no longer than ctx lasts does not end the attempt: it is for
// the others, too. An attempt must end by itself.
func (sl *slot) get(ctx context.Context, start func() (*worker, error)) (*worker, error) {
	sl.mu.Lock()
	if sl.current != nil {
		select {
		case <-sl.current.Dead():
			sl.current = nil
		default:
			defer sl.mu.Unlock()
			return sl.current, nil
		}
	}
	if sl.attempt == nil {
		a := &attempt{done: make(chan struct{})}
		sl.attempt = a
		go func() {
			a.worker, a.err = start()
			sl.mu.Lock()
			sl.current, sl.attempt = a.worker, nil
			sl.mu.Unlock()
			close(a.done)
			if sl.tried != nil {
				sl.tried()
			}
		}()
	}
	a := sl.attempt
	sl.mu.Unlock()
	select {
	case <-a.done:
		return a.worker, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// empty reports whether nothing runs in it, and nothing is about to.
func (sl *slot) empty() bool {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.attempt != nil || sl.current == nil {
		return sl.attempt == nil
	}
	select {
	case <-sl.current.Dead():
		return true
	default:
		return false
	}
}
