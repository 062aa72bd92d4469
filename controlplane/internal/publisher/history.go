package publisher

import (
	"fmt"

	"github.com/warder-gateway/warder/internal/snapshot"
)

const (
	// maxSets is how many sets are remembered to compute deltas from. A node that
	// is further behind gets a snapshot.
	maxSets = 64
	// maxEntries bounds the memory of the history: the items of its sets are
	// shared, their entries are not. The latest set stays whatever its size.
	maxEntries = 2_000_000
)

// history is the last sets that were published, oldest first. It is immutable:
// with returns another.
type history struct {
	sets    []*snapshot.Set
	entries int
}

// latest returns the set in force; nil before the first.
func (h *history) latest() *snapshot.Set {
	if h == nil || len(h.sets) == 0 {
		return nil
	}
	return h.sets[len(h.sets)-1]
}

// find returns the set with a mark, or nil.
func (h *history) find(m mark) *snapshot.Set {
	if h == nil {
		return nil
	}
	for _, set := range h.sets {
		if markOf(set) == m {
			return set
		}
	}
	return nil
}

// with returns the history with one more set, which shares the items that did
// not change with the set before it. When full, the oldest are forgotten. A set
// of another epoch begins a new history.
func (h *history) with(set *snapshot.Set) (*history, error) {
	latest := h.latest()
	if latest == nil || latest.Epoch() != set.Epoch() {
		return &history{sets: []*snapshot.Set{set}, entries: set.Len()}, nil
	}
	if set.Revision() < latest.Revision() {
		return nil, fmt.Errorf("publish revision %d: %d is published already", set.Revision(), latest.Revision())
	}
	shared := latest.Adopt(set)
	next := &history{sets: append(append([]*snapshot.Set(nil), h.sets...), shared), entries: h.entries + shared.Len()}
	for len(next.sets) > 1 && (len(next.sets) > maxSets || next.entries > maxEntries) {
		next.entries -= next.sets[0].Len()
		next.sets = next.sets[1:]
	}
	return next, nil
}
