package roster

import (
	"context"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/pace"
)

// What is told of one agent makes this node list tools anew, tell its clients, and tell the control plane, which tells all
// nodes. So an agent that comes and goes without end is told of at once only in the beginning. All pauses on the way of a
// withdrawal to the clients of another node are less than a second together: longestPause here, those of the control plane
// (gathering in its package directory, attachPause in its publisher), and settleTime at the other node.
const (
	// settleTime is for how long changes are gathered after something was told, whosever they are, and the first pause of an
	// agent.
	settleTime = 50 * time.Millisecond
	// longestPause is the most that is waited with what is told of one agent, and quietTime for how long it has to be quiet
	// for its next change to be told at once.
	longestPause = 400 * time.Millisecond
	quietTime    = 5 * time.Second
)

// own stands for what is not told of one agent, but by the control plane or of this node.
const own = ""

// news are changes that were not told yet:
//
//	note ──▶ whose ──▶ due: at once, or when the pause of one of them is over ──▶ tell: all of them together
//
// There is one of each agent: what else changes about it meanwhile is told with it.
type news struct {
	wake chan struct{} // capacity 1: due is sooner than it was

	mu    sync.Mutex
	whose map[string]struct{}
	due   time.Time             // of the first of them
	told  time.Time             // when something was told last
	paces map[string]*pace.Pace // of agents that were told of within quietTime, and perhaps some more
}

func newNews() *news {
	return &news{wake: make(chan struct{}, 1), whose: make(map[string]struct{}), paces: make(map[string]*pace.Pace)}
}

// note notes that something of an agent, or of this node, has changed. It does not wait.
func (n *news) note(agent string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, noted := n.whose[agent]; noted {
		return
	}
	at := n.told.Add(settleTime)
	if p := n.paces[agent]; p != nil && p.Next().After(at) {
		at = p.Next()
	}
	if len(n.whose) == 0 || at.Before(n.due) {
		n.due = at
		select {
		case n.wake <- struct{}{}:
		default: // Woken already.
		}
	}
	n.whose[agent] = struct{}{}
}

// take takes all that there is, if something of it is due. Else it returns how long that takes; 0: there is nothing.
func (n *news) take(now time.Time) (taken bool, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.whose) == 0 {
		return false, 0
	}
	if wait := n.due.Sub(now); wait > 0 {
		return false, wait
	}
	for agent, p := range n.paces {
		if p.Rests(now) {
			delete(n.paces, agent)
		}
	}
	for agent := range n.whose {
		if agent == own {
			continue
		}
		if n.paces[agent] == nil {
			n.paces[agent] = &pace.Pace{First: settleTime, Longest: longestPause, Quiet: quietTime}
		}
		n.paces[agent].Done(now)
	}
	clear(n.whose)
	n.told = now
	return true, 0
}

// Run tells Config.Changed of changes until ctx ends: of an agent's first at once, of further ones after a pause that grows
// as long as they come, and of all together that have come by then.
func (r *Roster) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.news.wake:
		case <-timer.C:
		}
		taken, wait := r.news.take(time.Now())
		if taken && r.config.Changed != nil {
			r.config.Changed()
		}
		if wait > 0 {
			timer.Reset(wait)
		}
	}
}
