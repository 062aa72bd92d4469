package upstream

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/principal"
)

// sessions holds the sessions with legacy servers that have them: one per endpoint and caller, opened at the first call.
//
//	absent ──first call──▶ opening ──▶ open ⇄ in use ──idle, evicted, server gone──▶ ended (DELETE)
//	                          │                 └──404──▶ lost
//	                          └─ fails: absent again; all who waited get the reason
//
// Whether a server has sessions is known after its first handshake, so until then there is only one of them at a time. If
// it has none, that handshake serves everybody and nothing is held here.
//
// The table is bounded: the session that was not used for longest makes room. Sessions in use are never ended, so that
// the bound may be exceeded by calls in flight, which are bounded themselves.
type sessions struct {
	pool *Pool

	mu      sync.Mutex
	byKey   map[sessionKey]*held
	order   *list.List          // of *held, last used first
	first   map[*endpoint]*held // the first handshake with an endpoint, while it runs
	janitor *time.Timer         // nil while nothing is held
}

// sessionKey says whose session it is.
type sessionKey struct {
	endpoint *endpoint
	caller   string
}

// held is a session in the table, or on its way there. Its fields are guarded by the table's lock.
type held struct {
	key     sessionKey
	opening attempt[*session]
	element *list.Element // nil once it has left the table
	users   int
	used    time.Time // last
	evicted bool      // to be ended when the last user is done
}

func (t *sessions) init(pool *Pool) {
	t.pool = pool
	t.byKey = make(map[sessionKey]*held)
	t.order = list.New()
	t.first = make(map[*endpoint]*held)
}

// callerOf names who may share a session: requests with the same key.
func callerOf(p *principal.Principal) string {
	switch {
	case p == nil:
		return ""
	case p.KeyID != "":
		return "key/" + p.KeyID
	}
	return "user/" + p.User + "\x00" + p.Application
}

// lease is the use of a session for one call.
type lease struct {
	*session
	endpoint *endpoint
	held     *held // nil: the session is shared by everybody
}

// acquire returns a session with the endpoint for a caller, and opens one if there is none. The error is a failure, or
// the cause of ctx.
func (t *sessions) acquire(ctx context.Context, e *endpoint, p *principal.Principal) (lease, error) {
	key := sessionKey{endpoint: e}
	for {
		if shared := e.shared.Load(); shared != nil {
			return lease{session: shared, endpoint: e}, nil
		}
		if key.caller == "" {
			key.caller = callerOf(p)
		}
		h, mine := t.join(key)
		s, err := h.opening.wait(ctx)
		switch {
		case err == nil && mine:
			return lease{s, e, h}, nil
		case err == nil:
			continue // now it is known whether the server has sessions
		case mine:
			t.release(h)
		}
		return lease{}, err
	}
}

// join returns the session of a caller, or the first handshake with the endpoint if another caller makes that just now.
func (t *sessions) join(key sessionKey) (h *held, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.byKey[key]; h != nil {
		h.users++
		t.order.MoveToFront(h.element)
		return h, true
	}
	if h := t.first[key.endpoint]; h != nil {
		return h, false
	}
	h = &held{key: key, users: 1, opening: attempt[*session]{done: make(chan struct{})}}
	h.element = t.order.PushFront(h)
	t.byKey[key] = h
	if !key.endpoint.stateful {
		t.first[key.endpoint] = h
	}
	t.evict(func(*held) bool { return t.order.Len() > t.pool.config.Sessions })
	if t.janitor == nil {
		t.janitor = time.AfterFunc(t.pool.config.SessionIdle, t.expire)
	}
	go t.open(h)
	return h, true
}

// open makes the handshake of h. It runs by itself: those who wait for it may leave.
func (t *sessions) open(h *held) {
	e := h.key.endpoint
	s, err := e.initialize(context.Background())

	t.mu.Lock()
	if t.first[e] == h {
		delete(t.first, e)
	}
	switch {
	case err != nil:
		t.remove(h)
	case s.id == "":
		e.shared.Store(s)
		t.remove(h)
	default:
		e.stateful = true
		if h.element == nil && h.users == 0 {
			e.end(s) // nobody wants it any more
		}
	}
	t.mu.Unlock()

	h.opening.value, h.opening.err = s, err
	close(h.opening.done)
}

// release ends the use of a session.
func (l *lease) release() {
	if l.held != nil {
		l.endpoint.pool.sessions.release(l.held)
	}
}

func (t *sessions) release(h *held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.users--
	h.used = time.Now()
	t.endIfDone(h)
}

// lost forgets a session of which the server says that it does not exist, so that the next call opens another.
func (l *lease) lost() {
	if l.held == nil {
		l.endpoint.shared.CompareAndSwap(l.session, nil)
		return
	}
	t := &l.endpoint.pool.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(l.held)
}

// remove takes h out of the table, if it is there. The caller holds the lock.
func (t *sessions) remove(h *held) bool {
	if h.element == nil {
		return false
	}
	t.order.Remove(h.element)
	h.element = nil
	delete(t.byKey, h.key)
	return true
}

// evict removes the sessions that were not used for longest, as long as more wants it, and ends them. The caller holds
// the lock.
func (t *sessions) evict(more func(*held) bool) {
	for element := t.order.Back(); element != nil; {
		h := element.Value.(*held)
		element = element.Prev()
		if h.users > 0 {
			continue
		}
		if !more(h) {
			return
		}
		t.discard(h)
	}
}

// discard removes a session and ends it as soon as nobody uses it. The caller holds the lock.
func (t *sessions) discard(h *held) {
	if t.remove(h) {
		h.evicted = true
		t.endIfDone(h)
	}
}

// endIfDone tells the server, unless somebody still uses the session. The caller holds the lock.
func (t *sessions) endIfDone(h *held) {
	if h.users > 0 || !h.evicted {
		return
	}
	h.evicted = false
	select {
	case <-h.opening.done:
		if h.opening.err == nil {
			h.key.endpoint.end(h.opening.value)
		}
	default: // open will see to it
	}
}

// expire ends the sessions that were idle for too long, and looks again later.
func (t *sessions) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.pool.config.SessionIdle
	now := time.Now()
	t.evict(func(h *held) bool { return now.Sub(h.used) >= idle })
	if t.order.Len() == 0 {
		t.janitor = nil
		return
	}
	t.janitor.Reset(idle / 4)
}

// endAll ends the sessions with an endpoint that is gone.
func (t *sessions) endAll(e *endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for element := t.order.Front(); element != nil; {
		h := element.Value.(*held)
		element = element.Next()
		if h.key.endpoint == e {
			t.discard(h)
		}
	}
}

// close stops what looks for idle sessions.
func (t *sessions) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.janitor != nil {
		t.janitor.Stop()
	}
}
