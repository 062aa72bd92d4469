package upstream

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/principal"
)

// sessions holds the sessions with legacy servers that this node opened by itself: one per endpoint and who shares it.
// Those that clients carry are used without being held, until they are lost.
//
//	absent ──first call──▶ opening ──▶ open ⇄ in use ──idle, evicted, server gone──▶ ended (DELETE)
//	                          │                 └──404──▶ lost
//	                          └─ fails: absent again; all who waited get the reason
//
// Whether a server has sessions is known after its first handshake, so until then there is only one of them at a time. If
// it has none, a handshake serves everybody of the same dialect and nothing is held here.
//
// The table is bounded: the sessions that were not used for longest make room. Sessions in use are never ended, so that
// the bound may be exceeded by calls in flight, which are bounded themselves. The lock is for opening and ending; calls
// find and use a session without it.
type sessions struct {
	pool *Pool

	mu      sync.Mutex
	all     map[*held]struct{}
	byKey   map[string][]*held  // the same, by who shares them
	first   map[*endpoint]*held // the first handshake with an endpoint, while it runs
	janitor *time.Timer         // nil while nothing is held
}

// held is a session in the table, or on its way there.
type held struct {
	endpoint *endpoint
	key      string
	opening  attempt[*session]
	replaces string       // id of a client's own session that was lost; empty: none. Guarded by the table's lock
	users    atomic.Int64 // negative once it has ended
	used     atomic.Int64 // last, in Unix nanoseconds
	evicted  atomic.Bool  // to be ended when the last user is done
	ended    atomic.Bool  // the server was told
	gone     bool         // has left the table; guarded by the table's lock

	claim claim // of the call that it was opened for
	born  time.Time
	// asking says that it comes from another node, if that has one. Who asks for it has to wait for two then.
	asking     bool
	secondhand atomic.Bool  // it was open already when this node got it
	borrowed   atomic.Bool  // another node keeps it, and ends it
	lent       atomic.Bool  // other nodes use it
	asked      atomic.Int64 // when the keeper was last told that it is in use, in Unix nanoseconds
}

// endedUsers is what stands for users of a session that has ended. No number of users reaches it.
const endedUsers = -1 << 40

// take uses the session, unless it has ended.
func (h *held) take() bool {
	for {
		n := h.users.Load()
		if n < 0 {
			return false
		}
		if h.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends a use.
func (h *held) release() {
	now := time.Now().UnixNano()
	h.used.Store(now)
	if h.borrowed.Load() {
		h.renew(now)
	}
	if h.users.Add(-1) == 0 && h.evicted.Load() {
		h.finish()
	}
}

// finish ends the session if nobody uses it, once.
func (h *held) finish() bool {
	if !h.users.CompareAndSwap(0, endedUsers) {
		return false
	}
	h.end()
	return true
}

// end tells the server that the session is over, if it is open, and once: if it is not, open will see to it.
func (h *held) end() {
	select {
	case <-h.opening.done:
		if h.opening.err == nil && !h.othersUse() && h.ended.CompareAndSwap(false, true) {
			h.endpoint.end(h.opening.value)
		}
	default:
	}
}

func (t *sessions) init(pool *Pool) {
	t.pool = pool
	t.all = make(map[*held]struct{})
	t.byKey = make(map[string][]*held)
	t.first = make(map[*endpoint]*held)
}

func (t *sessions) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// claim says which session a call is to have.
type claim struct {
	ref     *SessionRef // the client's own; nil: none
	lost    bool        // it was lost just now
	gone    string      // id of the session that was lost just now; empty: none
	keeps   bool        // another node asks this one for a session to share
	key     string      // who shares the one that this node opens
	who     *principal.Principal
	dialect dialect
}

// claim returns that of a call.
func claimOf(ref *SessionRef, key string, p *principal.Principal, d dialect) claim {
	if ref != nil && ref.ID == "" {
		ref = nil
	}
	if key == "" {
		key = callerOf(p)
	}
	return claim{ref: ref, key: key, who: p, dialect: d}
}

// callerOf names who may share a session where nobody says it: requests with the same key.
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
	held     *held // nil: it is the client's own, or everybody's
	claim    claim
}

// release ends the use of a session. The zero lease has none.
func (l *lease) release() {
	if l.held != nil {
		l.held.release()
		l.held = nil
	}
}

// lost forgets a session of which the server says that it does not exist, so that the next call opens another.
func (l *lease) lost() {
	switch {
	case l.held != nil:
		l.endpoint.pool.sessions.remove(l.held)
		l.endpoint.forgotten.add(l.id)
		l.claim.lost, l.claim.gone = l.claim.ref != nil, l.id
	case l.claim.ref != nil:
		l.claim.lost, l.claim.gone = true, l.id
	default:
		l.endpoint.unshare(l.session)
	}
}

// replace forgets a session as lost does, and begins to open the one that takes the place of a client's own: the client goes
// on naming that.
func (l *lease) replace() {
	l.lost()
	if !l.claim.lost {
		return
	}
	if h, _ := l.endpoint.pool.sessions.join(l.endpoint, &l.claim); h != nil {
		h.release()
	}
}

// acquire returns a session for a claim, and opens one if there is none. Own is room for a session that the client
// carries. The error is a failure, the cause of ctx, or errOtherEra.
func (e *endpoint) acquire(ctx context.Context, c claim, own *session) (lease, error) {
	if c.ref != nil && !c.lost {
		if h := e.replacement(c.ref.ID); h != nil {
			return e.await(ctx, c, h)
		}
		own.id, own.version = c.ref.ID, c.ref.Version
		return lease{session: own, endpoint: e, claim: c}, nil
	}
	for {
		if s := e.sharedWith(c.dialect); s != nil {
			return lease{session: s, endpoint: e, claim: c}, nil
		}
		h, mine := e.pool.sessions.join(e, &c)
		if h == nil {
			continue // a handshake that serves everybody has just ended
		}
		l, err := e.await(ctx, c, h)
		switch {
		case err == nil && l.held != nil && l.held.key != c.key:
			// It was opened for everybody, or by somebody else, since the server had no sessions before.
			if mine {
				e.pool.sessions.retire(l.held)
			}
			l.release()
		case err == nil && mine && !l.over():
			return l, nil
		case err == nil && mine:
			l.lost()
			l.release()
		case err == nil:
			l.release() // now it is known whether the server has sessions
		default:
			return lease{}, err
		}
	}
}

// over reports whether a session of 2024-11-05 has ended.
func (l *lease) over() bool {
	if l.line == nil {
		return false
	}
	select {
	case <-l.line.ended():
		return true
	default:
		return false
	}
}

// await waits for a session that was taken.
func (e *endpoint) await(ctx context.Context, c claim, h *held) (lease, error) {
	s, err := h.opening.wait(ctx)
	if err != nil {
		h.release()
		return lease{}, err
	}
	if s.id == "" {
		h.release()
		return lease{session: s, endpoint: e, claim: c}, nil
	}
	return lease{session: s, endpoint: e, held: h, claim: c}, nil
}

// replacement takes the session that took the place of a client's own; nil: none did.
func (e *endpoint) replacement(id string) *held {
	if e.replaces.Load() == 0 {
		return nil
	}
	if h, ok := e.replaced.Load(id); ok && h.(*held).take() {
		return h.(*held)
	}
	return nil
}

// sharedWith returns the handshake that serves everybody of a dialect; nil: none yet, or the server has sessions.
func (e *endpoint) sharedWith(d dialect) *session {
	if all := e.shared.Load(); all != nil {
		return (*all)[d]
	}
	return nil
}

// share makes a handshake serve everybody of its dialect. The caller holds the table's lock.
func (e *endpoint) share(d dialect, s *session) {
	next := map[dialect]*session{d: s}
	if all := e.shared.Load(); all != nil && len(*all) < maxDialects {
		for other, session := range *all {
			if other != d {
				next[other] = session
			}
		}
	}
	e.shared.Store(&next)
}

// learn notes what a handshake showed of the server.
func (e *endpoint) learn(d dialect, s *session) {
	t := &e.pool.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	e.note(d, s)
}

// note is learn for whoever holds the table's lock.
func (e *endpoint) note(d dialect, s *session) {
	if s.id == "" {
		e.share(d, s)
		return
	}
	e.stateful = true
	e.shared.Store(nil)
}

// maxDialects bounds the handshakes with a server that has no sessions. At one more it starts anew.
const maxDialects = 64

// unshare forgets a handshake.
func (e *endpoint) unshare(lost *session) {
	t := &e.pool.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	all := e.shared.Load()
	if all == nil {
		return
	}
	next := make(map[dialect]*session, len(*all))
	for d, s := range *all {
		if s != lost {
			next[d] = s
		}
	}
	e.shared.Store(&next)
}

// join takes the session of a claim, or the first handshake with the endpoint if another caller makes that just now. It
// returns nil if there is a handshake by now that serves everybody.
func (t *sessions) join(e *endpoint, c *claim) (h *held, mine bool) {
	if h, ok := e.held.Load(e.keyOf(c)); ok && h.(*held).take() {
		t.standIn(h.(*held), c)
		return h.(*held), true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.sharedWith(c.dialect) != nil {
		return nil, false
	}
	key := e.keyOf(c)
	if h, ok := e.held.Load(key); ok && h.(*held).take() {
		return h.(*held), true
	}
	if h := t.first[e]; h != nil && h.take() {
		return h, false
	}
	return t.add(e, key, c), true
}

// keyOf returns whose session a claim is: its own, or everybody's of its dialect where the server had no sessions.
func (e *endpoint) keyOf(c *claim) string {
	if e.shared.Load() == nil {
		return c.key
	}
	return "dialect/" + c.dialect.version + "/" + strconv.Itoa(int(c.dialect.capabilities))
}

// add begins to open a session. The caller holds the lock.
func (t *sessions) add(e *endpoint, key string, c *claim) *held {
	h := &held{endpoint: e, key: key, opening: attempt[*session]{done: make(chan struct{})}, claim: *c, born: time.Now()}
	h.claim.ref = nil // It is the call's.
	keeper := ""
	if !c.keeps {
		keeper = t.pool.keeperOf(h)
	}
	h.asking = keeper != ""
	h.users.Store(1)
	h.used.Store(time.Now().UnixNano())
	t.all[h] = struct{}{}
	t.byKey[key] = append(t.byKey[key], h)
	e.held.Store(key, h)
	t.put(h, c.ref)
	if !e.stateful {
		t.first[e] = h
	}
	t.evict()
	if t.janitor == nil {
		t.janitor = time.AfterFunc(t.pool.config.SessionIdle, t.expire)
	}
	go t.open(h, keeper)
	return h
}

// standIn has h take the place of the client's own session from now on, if it does not yet: it was opened for a node that
// asked for it, or before this one knew that the client's own is lost.
func (t *sessions) standIn(h *held, c *claim) {
	if c.ref == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !h.gone && h.replaces == "" && h.key == c.key {
		t.put(h, c.ref)
	}
}

// put puts h in the place of a client's own session; nil: it has none. The caller holds the lock.
func (t *sessions) put(h *held, own *SessionRef) {
	if own == nil {
		return
	}
	h.replaces = own.ID
	h.endpoint.replaced.Store(h.replaces, h)
	h.endpoint.replaces.Add(1)
}

// open gets the session of h, from a keeper or by a handshake. It runs by itself: those who wait for it may leave.
func (t *sessions) open(h *held, keeper string) {
	e, d := h.endpoint, h.claim.dialect
	s, err := h.share(keeper), error(nil)
	if s == nil {
		s, err = e.initialize(context.Background(), d, e.caller(h.claim.who))
	}

	t.mu.Lock()
	if t.first[e] == h {
		delete(t.first, e)
	}
	if err != nil || s.id == "" {
		t.drop(h)
	}
	if err == nil {
		e.note(d, s) // before anyone finds no handshake going on, and begins another
	}
	t.mu.Unlock()

	h.opening.value, h.opening.err = s, err
	close(h.opening.done)
	if h.users.Load() < 0 {
		h.end() // nobody wants it any more
	}
}

// remove takes h out of the table.
func (t *sessions) remove(h *held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(h)
}

// drop takes h out of the table, if it is there. The caller holds the lock.
func (t *sessions) drop(h *held) {
	if h.gone {
		return
	}
	h.gone = true
	delete(t.all, h)
	if rest := slices.DeleteFunc(t.byKey[h.key], func(other *held) bool { return other == h }); len(rest) > 0 {
		t.byKey[h.key] = rest
	} else {
		delete(t.byKey, h.key)
	}
	h.endpoint.held.CompareAndDelete(h.key, h)
	if h.replaces != "" {
		h.endpoint.replaced.CompareAndDelete(h.replaces, h)
		h.endpoint.replaces.Add(-1)
	}
}

// evict makes room when there are more sessions than there may be: of those that nobody uses, it ends the ones that were
// not used for longest, a hundredth of all at a time. The caller holds the lock.
func (t *sessions) evict() {
	bound := t.pool.config.Sessions
	if len(t.all) <= bound {
		return
	}
	idle := make([]*held, 0, len(t.all))
	for h := range t.all {
		if h.users.Load() == 0 {
			idle = append(idle, h)
		}
	}
	slices.SortFunc(idle, func(a, b *held) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for _, h := range idle[:min(len(idle), len(t.all)-bound+bound/100)] {
		t.discard(h)
	}
}

// discard removes a session and ends it as soon as nobody uses it. The caller holds the lock.
func (t *sessions) discard(h *held) {
	t.drop(h)
	h.evicted.Store(true)
	h.finish()
}

// retire is discard for who does not hold the lock.
func (t *sessions) retire(h *held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.discard(h)
}

// expire ends the sessions that were idle for too long, and looks again later.
func (t *sessions) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.pool.config.SessionIdle
	before := time.Now().Add(-idle).UnixNano()
	for h := range t.all {
		if h.users.Load() == 0 && h.used.Load() <= before {
			t.discard(h)
		}
	}
	if len(t.all) == 0 {
		t.janitor = nil
		return
	}
	t.janitor.Reset(idle / 4)
}

// endAll ends the sessions with an endpoint that is gone.
func (t *sessions) endAll(e *endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for h := range t.all {
		if h.endpoint == e {
			t.discard(h)
		}
	}
}

// endKey ends the sessions that this key shares, with all servers.
func (t *sessions) endKey(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range slices.Clone(t.byKey[key]) {
		t.discard(h)
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
