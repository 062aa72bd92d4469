package gate

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/policy"
)

// Limits returns the limits that are about a caller's use of an entry, in the order of
// their names. It is a look-up, but for what is not listed. The slice must not be changed.
func (x *Index) Limits(caller *credential.Caller, e *Entry) []*policy.Limit {
	profile := x.Profile(caller)
	if !x.limited || profile == nobody {
		return nil
	}
	target := e.Target()
	if e.number < 0 {
		return profile.policy.Limits(&target)
	}
	return profile.bounds.on(profile, e, &target)
}

// Counted returns what a use of the entry counts as where a limit has a bucket for each
// tool. Resources that are not listed count as the template that names them, or as one:
// clients make up as many URIs as they like, and each would have a bucket of its own.
func (e *Entry) Counted() policy.Target {
	target := e.Target()
	if e.number < 0 {
		target.Name = e.family
	}
	return target
}

// bounds is which limits are about each entry, entry by entry as they were asked about.
type bounds struct {
	once  sync.Once
	slots []atomic.Pointer[[]*policy.Limit] // by Entry.number

	mu    sync.Mutex
	known map[string]*[]*policy.Limit // each list once, by the names in it
}

// on returns the limits about an entry.
func (b *bounds) on(p *Profile, e *Entry, target *policy.Target) []*policy.Limit {
	b.once.Do(func() { b.slots = make([]atomic.Pointer[[]*policy.Limit], len(p.index.entries)) })
	if known := b.slots[e.number].Load(); known != nil {
		return *known
	}
	kept := b.keep(p.policy.Limits(target))
	b.slots[e.number].Store(kept)
	return *kept
}

// keep returns the one copy of a list.
func (b *bounds) keep(limits []*policy.Limit) *[]*policy.Limit {
	names := make([]string, len(limits))
	for i, limit := range limits {
		names[i] = limit.Name
	}
	key := strings.Join(names, "\x00")
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.known[key]; known != nil {
		return known
	}
	if b.known == nil {
		b.known = make(map[string]*[]*policy.Limit)
	}
	b.known[key] = &limits
	return &limits
}
