package notice

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
)

const (
	// tellingDelay is how long list changes are gathered before clients are told: servers and administrators change
	// several things at a time.
	tellingDelay = 250 * time.Millisecond

	// patrolInterval is how often the right to each stream is looked at when nothing else is a reason to.
	patrolInterval = 15 * time.Second
)

func (b *Board) now() time.Time { return time.Now() }

// Changed is called after each new snapshot. Streams that lost their right are closed, hearings follow the servers, and
// in a moment those whose lists look different now are told. It does not wait for any of it.
func (b *Board) Changed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.draining {
		return
	}
	b.compare = true
	b.tellSoon()
	if !b.sweepDue {
		b.sweepDue = true
		go b.sweep()
	}
}

// tellSoon starts the timer of tell. The caller holds mu.
func (b *Board) tellSoon() {
	if b.telling == nil && !b.draining {
		b.telling = time.AfterFunc(tellingDelay, b.tell)
	}
}

// announce notes that a server said that a list of its changed: to one stream, or, with nil, to all that hear it together.
func (b *Board) announce(server string, kind kinds, only *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.draining {
		return
	}
	if only != nil {
		b.due[only] |= kind
	} else if h := b.shared[server]; h != nil {
		for s := range h.members {
			b.due[s] |= kind
		}
	}
	b.announced[server] = struct{}{}
	b.tellSoon()
}

// tell sends what was gathered.
func (b *Board) tell() {
	due, servers := b.gather()
	for s, lists := range due {
		s.queue.change(lists)
	}
	if b.config.Changed != nil {
		for server := range servers {
			b.config.Changed(server)
		}
	}
}

// gather takes what is due, and compares what each caller sees with what it was told of last.
func (b *Board) gather() (due map[*stream]kinds, servers map[string]struct{}) {
	b.sweeping.Lock()
	defer b.sweeping.Unlock()
	b.mu.Lock()
	due, servers = b.due, b.announced
	compare := b.compare
	b.due, b.announced = make(map[*stream]kinds), make(map[string]struct{})
	b.compare, b.telling = false, nil
	streams := slices.Collect(maps.Keys(b.streams))
	b.mu.Unlock()
	if index := b.config.Current(); compare && index != nil {
		for _, s := range streams {
			due[s] |= s.changes(index)
		}
	}
	for s := range due {
		due[s] &= s.lists
	}
	return due, servers
}

// changes returns which lists look different to the caller since this was asked last.
func (s *stream) changes(index *gate.Index) kinds {
	caller := index.Credentials().Renew(s.sub.Caller, s.board.now())
	if caller == nil {
		return 0 // it is about to be closed
	}
	view := index.Profile(caller).View(s.scope(index))
	changed := difference(s.told, view)
	s.told = view
	return changed
}

// difference returns which lists differ between two views.
func difference(a, b gate.View) kinds {
	return kindsOf(
		a[gate.Tools] != b[gate.Tools],
		a[gate.Prompts] != b[gate.Prompts],
		a[gate.Resources] != b[gate.Resources] || a[gate.Templates] != b[gate.Templates],
	)
}

// sweep looks at the right to each stream, and at what it hears.
func (b *Board) sweep() {
	b.sweeping.Lock()
	defer b.sweeping.Unlock()
	b.mu.Lock()
	b.sweepDue = false
	streams := slices.Collect(maps.Keys(b.streams))
	b.mu.Unlock()
	index := b.config.Current()
	if index == nil {
		return
	}
	b.refreshShared(index)
	now := b.now()
	for _, s := range streams {
		s.review(index, now)
	}
}

// review closes the stream if the right to it is gone, and else lets it hear what it may. The caller holds sweeping.
func (s *stream) review(index *gate.Index, now time.Time) {
	if why := s.lost(index, now); why != "" {
		s.close(why)
	}
	s.hear(index)
}

// recheck is review for one stream.
func (b *Board) recheck(s *stream) {
	b.sweeping.Lock()
	defer b.sweeping.Unlock()
	if index := b.config.Current(); index != nil {
		s.review(index, b.now())
	}
}

// lookAround is sweep, again and again while streams are open.
func (b *Board) lookAround() {
	b.sweep()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.patrol != nil {
		b.patrol.Reset(patrolInterval)
	}
}

// awaitHearings waits until all that the stream hears is heard, for a moment at most.
func (s *stream) awaitHearings(ctx context.Context) {
	timer := time.NewTimer(hearingPatience)
	defer timer.Stop()
	for _, ready := range s.readiness() {
		select {
		case <-ready:
		case <-timer.C:
			return
		case <-s.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (s *stream) readiness() []chan struct{} {
	s.board.sweeping.Lock()
	defer s.board.sweeping.Unlock()
	all := make([]chan struct{}, 0, len(s.hearings)+len(s.shared))
	for _, h := range s.hearings {
		all = append(all, h.ready)
	}
	for _, h := range s.shared {
		all = append(all, h.ready)
	}
	return all
}
