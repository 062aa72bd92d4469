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
	worker, err := s.modernWorker(ctx)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	worker.enter()
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

// modernWorker returns the process that serves modern requests.
func (s *Server) modernWorker(ctx context.Context) (*worker, error) {
	return s.modern.get(ctx, func() (*worker, error) {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.StartTime)
		defer cancel()
		w, err := s.start(&modernEars{anchor: newAnchor()}, false)
		if err != nil {
			return nil, err
		}
		// There is no handshake in this era; that it answers shows that it is up.
		if _, err := ask(ctx, w, mcp.MethodDiscover, s.modernParams()); err != nil {
			return nil, s.unfit(w, err)
		}
		s.served(w)
		return w, nil
	})
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
