package bridge

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"sync"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// session is one of the legacy era. It lasts as long as its process.
type session struct {
	id     string
	server *Server
	worker *worker
	box    *wire.Box // for the stream that the client listens to

	mu        sync.Mutex
	listening bool
	calls     []*wire.Call         // that are open, the latest last
	asked     map[string]*wire.Box // what the server asked and was not answered, by its raw id: where it was put
	uris      map[string]bool      // subscriptions, in a shared process
}

// maxAsked bounds what a server may ask of one session at a time; it is refused one more.
const maxAsked = 256

func (s *Server) newSession(w *worker) *session {
	return &session{
		id: rand.Text(), server: s, worker: w, box: wire.NewBox(s.config.Budget),
		asked: make(map[string]*wire.Box), uris: make(map[string]bool),
	}
}

// session returns the session with this id, or nil.
func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// keep makes a session known. It reports false if its process has ended, or too many sessions share it.
func (s *Server) keep(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.workers[x.worker] || len(x.worker.sessions) >= maxSessions {
		return false
	}
	s.sessions[x.id] = x
	x.worker.sessions[x] = true
	return true
}

// maxSessions bounds the sessions that share a process. They are small, and end with DELETE or with the process.
const maxSessions = 10_000

// open opens a session: in a process of its own, which answers initialize itself, or in the shared one.
func (s *Server) open(ctx context.Context, m *message, w tunnel.Answer) {
	if s.config.Shared {
		s.openShared(ctx, m, w)
		return
	}
	if _, err := s.era(ctx); err != nil { // The first start must not end with the client who asked for it.
		s.unavailable(w, err)
		return
	}
	ears := newOwnEars()
	worker, err := s.start(ears, m.caller)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	x := s.newSession(worker)
	ears.session <- x
	patience, cancel := context.WithTimeout(ctx, s.config.StartTime)
	defer cancel()
	call, err := worker.Begin(patience, m.body, &m.scan)
	var answer []byte
	if err == nil {
		defer call.Release()
		answer, err = call.Wait(patience)
	}
	switch {
	case err != nil && ctx.Err() != nil: // Who asked went away, which says nothing of the server.
		worker.Stop()
		s.unavailable(w, err)
	case err != nil:
		s.unavailable(w, s.unfit(worker, err))
	case call.Refused():
		worker.Stop()
		_ = w.Reply(mcp.StatusOf(call.ErrorCode(), mcp.Legacy), jsonHeader, answer)
	default:
		s.served(worker)
		s.welcome(x, answer, w)
	}
}

// welcome answers initialize.
func (s *Server) welcome(x *session, answer []byte, w tunnel.Answer) {
	if !s.keep(x) {
		s.unavailable(w, errFull)
		return
	}
	header := append([]tunnel.Field{{Name: mcp.HeaderSession, Value: x.id}}, jsonHeader...)
	if w.Reply(http.StatusOK, header, answer) != nil {
		x.end() // Nobody knows of it.
	}
}

// leave ends a session at its client's wish.
func (s *Server) leave(id string, w tunnel.Answer) {
	x := s.session(id)
	if x == nil {
		_ = w.Head(http.StatusNotFound, nil)
		return
	}
	x.end()
	_ = w.Head(http.StatusNoContent, nil)
}

// end ends a session, and its process if that is its own.
func (x *session) end() {
	s := x.server
	s.mu.Lock()
	delete(s.sessions, x.id)
	delete(x.worker.sessions, x)
	s.mu.Unlock()
	x.box.Close()
	if s.config.Shared {
		x.unsubscribeAll()
		return
	}
	x.worker.Stop()
}

// call makes a request.
func (x *session) call(ctx context.Context, m *message, w tunnel.Answer) {
	if x.server.config.Shared && x.answeredHere(m, w) {
		return
	}
	if !x.worker.enter() {
		_ = w.Head(http.StatusNotFound, nil)
		return
	}
	defer x.worker.leave()
	call, err := x.worker.Begin(ctx, m.body, &m.scan)
	if err != nil {
		x.server.unavailable(w, err)
		return
	}
	x.begun(call)
	defer x.over(call)
	x.server.exchange(ctx, call, mcp.Legacy, w)
}

// begun notes an open call. What waits for a listener, and there is none, goes with the call: a server that asks for the
// client's roots right after the handshake would else wait in vain.
func (x *session) begun(call *wire.Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls = append(x.calls, call)
	if x.listening {
		return
	}
	for _, message := range x.box.Take() {
		call.Box.Put(message)
	}
}

func (x *session) over(call *wire.Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, open := range x.calls {
		if open == call {
			x.calls = append(x.calls[:i], x.calls[i+1:]...)
			return
		}
	}
}

// notify passes a notification of the client on. A cancellation names the request by the client's id.
func (x *session) notify(ctx context.Context, m *message) {
	switch method := m.scan.Method; {
	case method == mcp.MethodCancelled:
		x.cancel(m.scan.RequestID.Of(m.body))
	case x.server.config.Shared: // What one client says of itself is not true of the others.
	default:
		x.tell(ctx, m)
	}
}

func (x *session) tell(ctx context.Context, m *message) {
	if err := x.worker.Send(ctx, m.body); err != nil {
		x.server.config.Log.Debug("a client's message was lost", "method", m.scan.Method, "reason", err)
	}
}

// cancel cancels the latest call with this raw id of the client.
func (x *session) cancel(id []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := len(x.calls) - 1; i >= 0; i-- {
		if bytes.Equal(x.calls[i].ID(), id) {
			x.calls[i].Cancel("the client cancelled it")
			return
		}
	}
}

// respond passes the client's answer on, if the server asked for it and has none yet.
func (x *session) respond(ctx context.Context, m *message) {
	id := string(m.scan.ID.Of(m.body))
	x.mu.Lock()
	_, asked := x.asked[id]
	delete(x.asked, id)
	x.mu.Unlock()
	if asked {
		x.tell(ctx, m)
	}
}

// listen serves the stream of what the server says unasked.
func (s *Server) listen(ctx context.Context, id string, w tunnel.Answer) {
	x := s.session(id)
	switch {
	case id == "":
		_ = w.Head(http.StatusMethodNotAllowed, []tunnel.Field{{Name: "allow", Value: "POST"}})
		return
	case x == nil:
		_ = w.Head(http.StatusNotFound, nil)
		return
	case !x.hears(true):
		_ = w.Head(http.StatusConflict, nil)
		return
	}
	defer x.hears(false)
	if !x.worker.enter() {
		_ = w.Head(http.StatusNotFound, nil)
		return
	}
	defer x.worker.leave()
	out := stream{answer: w}
	err := out.open()
	for err == nil {
		select {
		case <-x.box.Ready():
			err = out.events(x.box.Take()...)
		case <-x.worker.Dead():
			return
		case <-ctx.Done():
			return
		}
	}
}

// hears notes that the client listens, or does no more. It reports whether that is a change.
func (x *session) hears(listening bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	changed := x.listening != listening
	x.listening = listening
	return changed
}

// ownEars hear a process that has one session.
type ownEars struct {
	anchor
	session chan *session
	known   *session
}

func newOwnEars() *ownEars { return &ownEars{anchor: newAnchor(), session: make(chan *session, 1)} }

// Hear implements wire.Hearer: all of it is for the session.
func (e *ownEars) Hear(m *wire.Message) {
	if e.known == nil {
		e.known = <-e.session // It is made as soon as the process has started.
	}
	e.known.hear(m)
}

// hear takes a message of the server to the stream where the client expects it: requests and log messages in the latest
// call, which is likely to have caused them, all else where the client listens.
func (x *session) hear(m *wire.Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := string(m.Scan.ID.Of(m.Body))
	switch {
	case m.Scan.Method == mcp.MethodCancelled:
		x.withdraw(m)
	case m.Scan.IsNotification() && m.Scan.Method == mcp.MethodMessage:
		x.latest().Put(m.Body)
	case m.Scan.IsNotification():
		x.box.Put(m.Body)
	case m.Scan.Method == mcp.MethodPing:
		x.worker.refuse(m)
	case len(x.asked) < maxAsked && x.latest().Put(m.Body):
		x.asked[id] = x.latest()
	default:
		x.worker.refuse(m)
	}
}

// latest returns where the client expects what belongs to the latest call; without one, where it listens. It is called
// with x.mu held.
func (x *session) latest() *wire.Box {
	if len(x.calls) == 0 {
		return x.box
	}
	return x.calls[len(x.calls)-1].Box
}

// withdraw passes on, once, that the server no longer waits for an answer. It is called with x.mu held.
func (x *session) withdraw(m *wire.Message) {
	id := string(m.Scan.RequestID.Of(m.Body))
	if box := x.asked[id]; box != nil {
		delete(x.asked, id)
		box.Put(m.Body)
	}
}
