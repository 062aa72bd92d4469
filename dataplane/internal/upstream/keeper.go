package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Keepers lets nodes agree on one session with a server for each legacy client, where the client carries none: the server
// was added since, missed the client's start, or lost the session. For each client one node is the keeper (design.md 6):
//
//	any node: no session ──Keep──▶ keeper ─┬─ has one ───────────────▶ lends it
//	                                       ├─ another has it, ◀─Find─▶ lends that
//	                                       └─ opens one ─────────────▶ lends it
//
// Those who borrow speak in the session by themselves, and tell the keeper now and then that it is in use; only the keeper
// ends it. A keeper that is not reached costs the agreement, and no call: each node opens a session of its own then.
type Keepers interface {
	// Keeper returns the node that keeps the sessions of a key (Call.SessionKey). Empty: this one does. Nodes agree on
	// no others than common ones.
	Keeper(key string) (node string, common bool)
	// Keep asks a keeper for a session, as its Pool.Keep gives it.
	Keep(ctx context.Context, node string, w *Wanted) (Kept, error)
	// Find returns what Pool.Held of any other node gives; zero: nothing.
	Find(ctx context.Context, w *Wanted) Kept
}

// Wanted says which session is wanted, and for whom.
type Wanted struct {
	Server       string               `json:"server"`
	Key          string               `json:"key"`
	Principal    *principal.Principal `json:"principal"`
	Version      string               `json:"version"`
	Capabilities mcp.Capabilities     `json:"capabilities"`
	// Lost is the id of a session that the server does not know any more; empty: nothing was lost just now.
	Lost string `json:"lost,omitempty"`
}

// Kept is a session that nodes share. The zero Kept is none.
type Kept struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	// Logs says that the server has a log whose level can be set.
	Logs bool `json:"logs,omitempty"`
}

// errElsewhere refuses a node that asks for what this one has just asked another for: they do not agree on who keeps it.
var errElsewhere = fault.New(fault.Unavailable, "this node asks another for that session")

// findTime is how long other nodes may take to say whether they have a session.
const findTime = time.Second

// keeperOf returns the node to ask for h; empty: none.
func (p *Pool) keeperOf(h *held) string {
	if p.config.Keepers == nil || h.key != h.claim.key {
		return ""
	}
	keeper, _ := p.config.Keepers.Keeper(h.key)
	return keeper
}

// share returns the session of h that other nodes have; nil: a session is to be opened here.
func (h *held) share(keeper string) *session {
	p := h.endpoint.pool
	if p.config.Keepers == nil || h.key != h.claim.key {
		return nil
	}
	if _, common := p.config.Keepers.Keeper(h.key); !common {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), h.endpoint.limits.header)
	defer cancel()
	kept := h.obtain(ctx, keeper, h.wanted())
	if h.endpoint.forgotten.has(kept.ID) {
		// The other node does not know yet that it is lost.
		again := h.wanted()
		again.Lost = kept.ID
		kept = h.obtain(ctx, keeper, again)
	}
	if kept.ID == "" || h.endpoint.forgotten.has(kept.ID) || !isSessionID(kept.ID) || !isLegacyVersion(kept.Version) {
		return nil
	}
	h.lent.Store(keeper == "")
	h.borrowed.Store(keeper != "")
	h.asked.Store(time.Now().UnixNano())
	h.secondhand.Store(true)
	return &session{id: kept.ID, version: kept.Version, logs: kept.Logs}
}

// obtain asks a keeper for a session; without one, all nodes.
func (h *held) obtain(ctx context.Context, keeper string, w *Wanted) Kept {
	p := h.endpoint.pool
	if keeper == "" {
		ctx, cancel := context.WithTimeout(ctx, findTime)
		defer cancel()
		return p.config.Keepers.Find(ctx, w)
	}
	kept, err := p.config.Keepers.Keep(ctx, keeper, w)
	if err != nil {
		p.config.Log.Debug("a session is opened that other nodes do not share", "server", h.endpoint.name, "keeper", keeper, "error", err)
	}
	return kept
}

// maxForgotten bounds how many lost sessions of a server are remembered. One that is not may come back from a node that has not
// noticed yet, which costs a request.
const maxForgotten = 256

// forgotten are ids of sessions that a server has lost, the last of them. Its zero value is empty.
type forgotten struct {
	mu   sync.Mutex
	ids  map[string]struct{}
	ring [maxForgotten]string
	next int
}

func (f *forgotten) add(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.ids[id]; known || id == "" {
		return
	}
	if f.ids == nil {
		f.ids = make(map[string]struct{})
	}
	delete(f.ids, f.ring[f.next])
	f.ids[id], f.ring[f.next] = struct{}{}, id
	f.next = (f.next + 1) % maxForgotten
}

func (f *forgotten) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.ids[id]
	return known
}

// olderThan reports whether the session may have been opened before some time.
func (l *lease) olderThan(t time.Time) bool {
	return l.held != nil && (l.held.secondhand.Load() || l.held.born.Before(t))
}

// wanted says what h is for.
func (h *held) wanted() *Wanted {
	c := &h.claim
	return &Wanted{
		Server: h.endpoint.name, Key: h.key, Principal: c.who, Version: c.dialect.version, Capabilities: c.dialect.capabilities, Lost: c.gone,
	}
}

// othersUse reports whether the session is not to be ended by this node: its keeper does that, or the next keeper.
func (h *held) othersUse() bool {
	return h.borrowed.Load() || h.lent.Load() && h.endpoint.pool.closing.Load()
}

// renew has the keeper know that a borrowed session is in use, if that was long ago. It does not wait.
func (h *held) renew(now int64) {
	p := h.endpoint.pool
	asked := h.asked.Load()
	if now-asked < int64(p.config.SessionIdle/4) || !h.asked.CompareAndSwap(asked, now) {
		return
	}
	h.endpoint.courtesy(func(ctx context.Context) {
		if keeper := p.keeperOf(h); keeper != "" {
			w := h.wanted()
			w.Lost = ""
			_, _ = p.config.Keepers.Keep(ctx, keeper, w) // Else the session ends, and another is opened then.
		}
	})
}

// Keep returns a session that this node shares with one that asks for it, and opens it if there is none. It is zero where the
// server has no sessions, or such as only one node can use. The error is a fault.
func (p *Pool) Keep(ctx context.Context, server *snapshotv1.Server, w *Wanted) (Kept, error) {
	e, err := p.endpoint(server)
	if err != nil {
		return Kept{}, fault.Wrap(fault.Internal, "internal error", err)
	}
	admitted, err := e.enter()
	if err != nil {
		return Kept{}, asFault(err)
	}
	defer e.leave()
	kept, err := e.keep(ctx, w)
	admitted.settle(verdictOf(err))
	switch {
	case errors.Is(err, errElsewhere):
		return Kept{}, errElsewhere
	case errors.Is(err, errOtherEra):
		e.turns(mcp.Legacy)
		return Kept{}, nil
	case err != nil:
		return Kept{}, asFault(err)
	}
	return kept, nil
}

func (e *endpoint) keep(ctx context.Context, w *Wanted) (Kept, error) {
	era, err := e.era(ctx)
	if err != nil || era == mcp.Modern || e.overSSE.Load() {
		return Kept{}, err
	}
	if found, ok := e.held.Load(w.Key); ok {
		h := found.(*held)
		select {
		case <-h.opening.done:
			if h.opening.err == nil && h.opening.value.id == w.Lost {
				e.pool.sessions.remove(h)
				e.forgotten.add(w.Lost)
			}
		default:
			if h.asking {
				return Kept{}, errElsewhere
			}
		}
	}
	c := claim{key: w.Key, who: w.Principal, dialect: dialectOf(w.Capabilities, w.Version), gone: w.Lost, keeps: true}
	l, err := e.acquire(ctx, c, nil)
	if err != nil {
		return Kept{}, err
	}
	defer l.release()
	if l.held == nil || l.line != nil {
		return Kept{}, nil
	}
	l.held.lent.Store(true)
	return Kept{ID: l.id, Version: l.version, Logs: l.logs}, nil
}

// Held returns the session that this node has of a key, unless it is the one that was lost. Who finds it so keeps it.
func (p *Pool) Held(server *snapshotv1.Server, w *Wanted) Kept {
	e, err := p.endpoint(server)
	if err != nil {
		return Kept{}
	}
	found, ok := e.held.Load(w.Key)
	if !ok {
		return Kept{}
	}
	h := found.(*held)
	select {
	case <-h.opening.done:
	default:
		return Kept{}
	}
	s := h.opening.value
	if h.opening.err != nil || s.id == "" || s.id == w.Lost || s.line != nil {
		return Kept{}
	}
	h.borrowed.Store(true)
	h.asked.Store(time.Now().UnixNano())
	return Kept{ID: s.id, Version: s.version, Logs: s.logs}
}
