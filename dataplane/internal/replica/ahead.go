package replica

import (
	"sync"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// ahead are denials that came ahead of the update that has them. They hold at once, and over each update that was received
// before them, which may still be building; one that was received after them has them itself.
type ahead struct {
	// mu is held while the state is replaced.
	mu     sync.Mutex
	denies []*snapshotv1.Deny
	// over is the number of the last update that they go over.
	over     uint64
	received uint64 // updates
}

// arrived counts an update that was received, and returns its number.
func (a *ahead) arrived() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.received++
	return a.received
}

// warn lays denials over what serves, whatever is being built meanwhile.
func (r *Replica[I]) warn(denials *syncv1.Denials) {
	if denials == nil || r.config.Deny == nil {
		return
	}
	index := r.layAhead(denials.GetDenies())
	if index != nil && r.config.Applied != nil {
		r.config.Applied(index)
	}
}

// layAhead returns the index that serves then; nil if there is none.
func (r *Replica[I]) layAhead(denies []*snapshotv1.Deny) *I {
	a := &r.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denies, a.over = denies, a.received
	current := r.current.Load()
	if current == nil {
		return nil
	}
	next := *current
	next.index = r.dressed(r.denied(&next))
	r.current.Store(&next)
	return next.index
}

// Redress has what serves dressed anew, and tells Applied: what the node knows besides has changed.
func (r *Replica[I]) Redress() {
	if index := r.redress(); index != nil && r.config.Applied != nil {
		r.config.Applied(index)
	}
}

func (r *Replica[I]) redress() *I {
	a := &r.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	current := r.current.Load()
	if current == nil {
		return nil
	}
	next := *current
	next.index = r.dressed(next.index)
	r.current.Store(&next)
	return next.index
}

func (r *Replica[I]) dressed(index *I) *I {
	if r.config.Dress == nil {
		return index
	}
	return r.config.Dress(index)
}

// denied returns the index of a state with the denials that go over it. Those that cannot be understood are left to the
// update that has them, which is refused then. The caller holds the lock.
func (r *Replica[I]) denied(s *state[I]) *I {
	index, err := r.config.Deny(s.index, r.ahead.denies, s.set)
	if err != nil {
		r.config.Log.Error("denials that came ahead of an update are not understood", "error", err)
		return s.index
	}
	return index
}

// put makes the state of an update current, and returns what serves then.
func (r *Replica[I]) put(next *state[I], number uint64) *I {
	a := &r.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	if number > a.over {
		a.denies = nil
	}
	if len(a.denies) > 0 {
		next.index = r.denied(next)
	}
	next.index = r.dressed(next.index)
	r.current.Store(next)
	return next.index
}
