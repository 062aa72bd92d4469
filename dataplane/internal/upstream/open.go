package upstream

import (
	"context"
	"errors"
	"strings"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Open opens a session with a server for a legacy client that opens one with us, and returns its name, for Call.Session.
// The name is empty if there is nothing to carry: the server is modern, or has no sessions, or one that only this node
// can use; then calls find what they need by Call.SessionKey. What may be declared is capabilities; version is the
// client's. The error is a fault, whose text may be shown.
func (p *Pool) Open(
	ctx context.Context, server *snapshotv1.Server, who *principal.Principal, capabilities mcp.Capabilities, version string,
) (SessionRef, error) {
	e, err := p.endpoint(server)
	if err != nil {
		return SessionRef{}, fault.Wrap(fault.Internal, "internal error", err)
	}
	admitted, err := e.enter()
	if err != nil {
		return SessionRef{}, asFault(err)
	}
	defer e.leave()
	ref, err := e.open(ctx, dialectOf(capabilities, version), e.caller(who))
	admitted.settle(verdictOf(err))
	if errors.Is(err, errOtherEra) {
		e.turns(mcp.Legacy)
		return SessionRef{}, nil
	}
	if err != nil {
		return SessionRef{}, asFault(err)
	}
	return ref, nil
}

// open opens a session, where that is of use.
func (e *endpoint) open(ctx context.Context, d dialect, caller transport.Caller) (SessionRef, error) {
	era, err := e.era(ctx)
	switch {
	case err != nil:
		return SessionRef{}, err
	case era == mcp.Modern, e.overSSE.Load():
		return SessionRef{}, nil
	}
	if s := e.sharedWith(d); s != nil {
		return s.ref(), nil
	}
	s, err := e.initialize(ctx, d, caller)
	switch {
	case err != nil:
		return SessionRef{}, err
	case s.line != nil:
		e.end(s)
		return SessionRef{}, nil
	}
	e.learn(d, s)
	return s.ref(), nil
}

// asFault makes what Open and its like return.
func asFault(err error) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return fault.Wrap(fault.Unavailable, "the call was cancelled", err)
	}
	return fault.Wrap(fault.Unavailable, f.text, err)
}

// End tells a server that a session is over. It does not wait.
func (p *Pool) End(server *snapshotv1.Server, ref SessionRef) {
	if e, err := p.endpoint(server); err == nil && e.broken == "" {
		if h := e.replacement(ref.ID); h != nil {
			p.sessions.mu.Lock()
			p.sessions.discard(h)
			p.sessions.mu.Unlock()
			h.release()
			return
		}
		if s := e.named(ref); s != nil {
			e.end(s)
		}
	}
}

// EndKey ends the sessions that this node opened for whoever has this key (Call.SessionKey), with all servers, as soon as no
// call uses them. It does not wait. A call that comes with the key later opens another: whoever ends a key sees that no
// call does; one that was under way leaves a session that ends when it has been idle.
func (p *Pool) EndKey(key string) { p.sessions.endKey(key) }

// Respond posts a client's answer to a request of a legacy server. The session is that of the request.
func (p *Pool) Respond(ctx context.Context, server *snapshotv1.Server, ref SessionRef, message []byte) error {
	return p.tell(ctx, server, ref, message)
}

// Notify posts a notification of a client to a legacy server.
func (p *Pool) Notify(ctx context.Context, server *snapshotv1.Server, ref SessionRef, message []byte) error {
	return p.tell(ctx, server, ref, message)
}

// Cancel tells a legacy server that nobody waits any more for the answer to the request with this raw id, which is the
// one that the request had towards the server (Call.ID).
func (p *Pool) Cancel(ctx context.Context, server *snapshotv1.Server, ref SessionRef, id []byte, reason string) error {
	return p.tell(ctx, server, ref, cancellation(id, reason))
}

// tell posts a message that has no answer. If the session was lost and this node has another in its place, it goes there.
func (p *Pool) tell(ctx context.Context, server *snapshotv1.Server, ref SessionRef, message []byte) error {
	e, err := p.endpoint(server)
	if err != nil {
		return fault.Wrap(fault.Internal, "internal error", err)
	}
	if e.broken != "" {
		return fault.New(fault.Unavailable, e.broken)
	}
	s := e.named(ref)
	if s == nil {
		return fault.Newf(fault.NotFound, "the session with server %q is over", e.name)
	}
	if h := e.replacement(ref.ID); h != nil {
		defer h.release()
		if other, err := h.opening.wait(ctx); err == nil {
			s = other
		}
	}
	var w watch
	w.start(ctx, e.limits)
	defer w.close()
	if err := e.tell(&w, s, message); err != nil {
		return asFault(err)
	}
	return nil
}

// named returns the session that a reference names; nil: it is one of 2024-11-05 that this node does not have.
func (e *endpoint) named(ref SessionRef) *session {
	s := &session{id: ref.ID, version: ref.Version}
	if !strings.HasPrefix(ref.ID, linePrefix) {
		return s
	}
	l, ok := e.lines.Load(ref.ID)
	if !ok {
		return nil
	}
	s.line = l.(line)
	return s
}
