package bridge

import (
	"bytes"
	"context"
	"net/http"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// openShared opens a session in the process that all share: initialize is answered with what it answered us.
func (s *Server) openShared(ctx context.Context, m *message, w tunnel.Answer) {
	worker, err := s.sharedWorker(ctx)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	s.welcome(s.newSession(worker), mcp.WriteResult(nil, m.scan.ID.Of(m.body), worker.initialized), w)
}

// sharedWorker returns the process of all sessions.
func (s *Server) sharedWorker(ctx context.Context) (*worker, error) {
	if _, err := s.era(ctx); err != nil {
		return nil, err
	}
	return s.legacy.get(ctx, func() (*worker, error) {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.StartTime)
		defer cancel()
		w, err := s.start(&sharedEars{newAnchor()}, nobody)
		if err != nil {
			return nil, err
		}
		result, err := s.initialize(ctx, w)
		if err != nil {
			return nil, s.unfit(w, err)
		}
		w.initialized = bytes.Clone(result)
		s.served(w)
		return w, nil
	})
}

// answeredHere answers what one session may not say to a process that all share: it would be true of the others, too.
func (x *session) answeredHere(m *message, w tunnel.Answer) bool {
	switch m.scan.Method {
	case mcp.MethodSetLevel: // Log messages of a shared process are nobody's.
	case mcp.MethodResourcesUnsubscribe:
		if x.unsubscribe(m.scan.URI) {
			return false // Nobody else is subscribed.
		}
	case mcp.MethodResourcesSubscribe:
		if !x.subscribe(m.scan.URI) {
			_ = w.Reply(http.StatusOK, jsonHeader, mcp.WriteError(nil, m.scan.ID.Of(m.body), mcp.CodeInvalidParams, "too many subscriptions", nil))
			return true
		}
		return false
	default:
		return false
	}
	_ = w.Reply(http.StatusOK, jsonHeader, mcp.WriteResult(nil, m.scan.ID.Of(m.body), []byte("{}")))
	return true
}

// maxSubscriptions bounds those of one session.
const maxSubscriptions = 1000

// subscribe notes that the session wants to hear of a resource, and reports whether it may.
func (x *session) subscribe(uri string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.uris) >= maxSubscriptions && !x.uris[uri] {
		return false
	}
	x.uris[uri] = true
	return true
}

// unsubscribe forgets that, and reports whether no other session of the process wants it.
func (x *session) unsubscribe(uri string) (last bool) {
	x.mu.Lock()
	delete(x.uris, uri)
	x.mu.Unlock()
	for _, other := range x.worker.all() {
		if other.wants(uri) {
			return false
		}
	}
	return true
}

func (x *session) wants(uri string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.uris[uri]
}

// unsubscribeAll tells the process what nobody wants to hear of any more, now that the session is over.
func (x *session) unsubscribeAll() {
	x.mu.Lock()
	uris := x.uris
	x.uris = map[string]bool{}
	x.mu.Unlock()
	for uri := range uris {
		if x.unsubscribe(uri) {
			// Its answer says nothing that matters, so it is nobody's.
			x.worker.Tell(mcp.WriteRequest(nil, []byte(`"unsubscribe"`), mcp.MethodResourcesUnsubscribe, append(mcp.AppendString([]byte(`{"uri":`), uri), '}')))
		}
	}
}

// all returns the sessions of a worker.
func (w *worker) all() []*session {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	sessions := make([]*session, 0, len(w.sessions))
	for x := range w.sessions {
		sessions = append(sessions, x)
	}
	return sessions
}

// sharedEars hear a process that many sessions share.
type sharedEars struct{ anchor }

// Hear implements wire.Hearer. A message that does not say whose it is goes to nobody.
func (e *sharedEars) Hear(m *wire.Message) {
	w := e.worker()
	if !m.Scan.IsNotification() {
		w.refuse(m)
		return
	}
	switch m.Scan.Method {
	case mcp.MethodToolsChanged, mcp.MethodPromptsChanged, mcp.MethodResourcesChanged:
		for _, x := range w.all() {
			x.box.Put(m.Body)
		}
	case mcp.MethodResourceUpdated:
		for _, x := range w.all() {
			if x.wants(m.Scan.URI) {
				x.box.Put(m.Body)
			}
		}
	}
}
