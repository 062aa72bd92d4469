package notice

import (
	"bytes"
	"context"
	"errors"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
)

// errStopped ends a hearing whose stream is gone.
var errStopped = errors.New("nobody listens any more")

// Notification takes what a server says to the client of a stream. It never blocks: a stream whose queue is full is
// closed.
func (h *hearing) Notification(message []byte, _ upstream.Mark) error {
	if h.ctx.Err() != nil || h.stream.isClosed() {
		return errStopped
	}
	var scan mcp.Response
	if err := mcp.ScanResponse(message, mcp.Limits{}, &scan); err != nil {
		return nil // the Upstream has scanned it before
	}
	s, slug := h.stream, h.wanted.server.GetName()
	switch kind := kindOf(scan.Method); {
	case kind != 0:
		s.board.announce(slug, kind, s)
	case scan.Method == mcp.MethodResourceUpdated:
		h.updated(message, &scan)
	case scan.Method == mcp.MethodProgress:
		// It names a request that the client does not know by that name, or that this node does not know of.
	case s.sub.Era != mcp.Modern:
		s.put(s.pass(message, &scan, slug), "")
	}
	return nil
}

// updated passes on that a resource changed, unless the caller may no longer be told: by what is in force now, whether or
// not the board has looked at the stream since. It waits for no other stream.
func (h *hearing) updated(message []byte, scan *mcp.Response) {
	s, slug := h.stream, h.wanted.server.GetName()
	index := s.board.config.Current()
	if index == nil {
		return
	}
	key, why := s.right(index, s.board.now())
	if why != "" {
		s.close(why)
		return
	}
	if s.mayHear(index, key, slug, scan.URI) {
		s.put(s.pass(message, scan, slug), slug+" "+scan.URI)
	}
}

// put queues a message for the client.
func (s *stream) put(message []byte, updated string) {
	if !s.queue.push(message, updated) {
		s.close(closedSlow)
	}
}

// Prime has nothing to say: the streams of clients have no event ids.
func (h *hearing) Prime(upstream.Mark) error { return nil }

// Relay takes a request of the server to the client, which has been permitted.
func (h *hearing) Relay(request *upstream.ServerRequest, _ upstream.Mark) error {
	if h.ctx.Err() != nil || h.stream.isClosed() {
		return errStopped
	}
	server := h.server()
	if server == nil || h.stream.sub.Relay == nil {
		return nil
	}
	message, id, err := h.stream.sub.Relay(server, request)
	if err != nil {
		h.stream.board.config.Log.Debug("request of a server is not passed on", "server", server.Name(), "error", err)
		return nil
	}
	h.relayed.Add(request, id)
	h.stream.put(bytes.Clone(message), "")
	return nil
}

// Withdraw passes on that the server no longer waits for the answer to a request.
func (h *hearing) Withdraw(w *upstream.Withdrawal, _ upstream.Mark) error {
	if message := h.relayed.Withdraw(w); message != nil {
		h.stream.put(message, "")
	}
	return nil
}

// Ask refuses: modern servers have no way to ask outside of a call.
func (h *hearing) Ask(context.Context, string, []byte) ([]byte, *mcp.Error, error) {
	return nil, &mcp.Error{Code: mcp.CodeMethodNotFound, Text: "method is not offered here", Offset: -1}, nil
}
