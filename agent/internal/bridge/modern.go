package bridge

import (
	"context"
	"net/http"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// postModern serves a message that claims the modern era.
func (s *Server) postModern(ctx context.Context, m *message, version string, w tunnel.Answer) {
	if _, err := mcp.Classify(version, &m.scan); err != nil {
		refuse(w, m, mcp.Modern, err)
		return
	}
	if err := mcp.CheckHeaders(m.header, &m.scan); err != nil {
		refuse(w, m, mcp.Modern, err)
		return
	}
	if m.scan.IsNotification() {
		_ = w.Head(http.StatusAccepted, nil) // Modern clients have none that matters here.
		return
	}
	era, err := s.era(ctx)
	switch {
	case err != nil:
		s.unavailable(w, err)
		return
	case era == mcp.Legacy:
		refuse(w, m, mcp.Modern, onlyLegacy(version))
		return
	}
	worker, err := s.use(ctx, m.caller)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	defer worker.leave()
	if m.scan.Method == mcp.MethodListen {
		worker.audience.serve(ctx, m, w)
		return
	}
	call, err := worker.Begin(ctx, m.body, &m.scan)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	s.exchange(ctx, call, mcp.Modern, w)
}

// onlyLegacy is what a server of the legacy era answers to a modern request.
func onlyLegacy(requested string) *mcp.Error {
	data := mcp.AppendString([]byte(`{"supported":["`+mcp.Version20251125+`","`+mcp.Version20250618+`","`+mcp.Version20250326+`"],"requested":`), requested)
	return &mcp.Error{
		Code: mcp.CodeUnsupportedVersion, HTTP: http.StatusBadRequest, Text: "protocol version is not supported",
		Reason: mcp.ReasonVersion, Offset: -1, Data: append(data, '}'),
	}
}

// use returns the process that serves modern requests of a caller, until he leaves it. One that was just given up for want of
// use is replaced.
func (s *Server) use(ctx context.Context, caller string) (*worker, error) {
	for {
		w, err := s.modernWorker(ctx, caller)
		if err != nil || w.enter() {
			return w, err
		}
		select {
		case <-w.followed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// modernWorker returns the process that serves modern requests of a caller.
func (s *Server) modernWorker(ctx context.Context, caller string) (*worker, error) {
	if s.config.Shared {
		caller = nobody
	}
	sl := s.slot(caller)
	defer s.leaveSlot(caller, sl)
	return sl.get(ctx, func() (*worker, error) { return s.startModern(caller) })
}

// startModern starts a process of the modern era.
func (s *Server) startModern(caller string) (*worker, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StartTime)
	defer cancel()
	w, err := s.start(&modernEars{anchor: newAnchor()}, caller)
	if err != nil {
		return nil, err
	}
	// There is no handshake in this era; that it answers shows that it is up.
	if _, err := ask(ctx, w, mcp.MethodDiscover, s.modernParams()); err != nil {
		return nil, s.unfit(w, err)
	}
	s.served(w)
	return w, nil
}

// slot returns that of a caller, which is his until leaveSlot.
func (s *Server) slot(caller string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.modern[caller]
	if sl == nil {
		sl = &slot{tried: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sweep(caller)
		}}
		s.modern[caller] = sl
	}
	sl.users++
	return sl
}

func (s *Server) leaveSlot(caller string, sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl.users--
	s.sweep(caller)
}

// sweep forgets the slot of a caller if nobody needs it: there are no more than processes and calls. It is called with s.mu
// held.
func (s *Server) sweep(caller string) {
	if sl := s.modern[caller]; sl != nil && sl.users == 0 && sl.empty() {
		delete(s.modern, caller)
	}
}

// modernEars hear a process of the modern era: all that it says has a call that it belongs to.
type modernEars struct{ anchor }

// attach implements hearer: who asks to be told of something listens together with others.
func (e *modernEars) attach(w *worker) {
	w.audience = newAudience(w)
	w.server.all.Go(w.audience.run)
	e.anchor.attach(w)
}

// Hear implements wire.Hearer.
func (e *modernEars) Hear(m *wire.Message) {
	w := e.worker()
	switch {
	case !m.Scan.IsNotification():
		w.refuse(m)
	case m.Scan.Method == mcp.MethodMessage:
		// Nothing in it says which call it is about. If one alone wants any, it is that one's; else it is nobody's.
		if call := w.Sole(func(c *wire.Call) bool { return c.LogLevel }); call != nil {
			call.Box.Put(m.Body)
		}
	}
}
