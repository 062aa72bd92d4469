package endpoint

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/warder-gateway/warder/agent/internal/bridge"
	"github.com/warder-gateway/warder/agent/internal/sse2024"
	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

const (
	// lineTime is how long a server of 2024-11-05 may take to open a session.
	lineTime = 15 * time.Second
	// maxLines is how many sessions there may be with one, each over a stream of its own.
	maxLines = 256
	// doubt is for how long a server that turned out not to be of 2024-11-05 is not asked again.
	doubt = 5 * time.Second
)

// again returns a request whose body was read.
func again(r *tunnel.Incoming, body []byte) *tunnel.Incoming {
	return &tunnel.Incoming{Server: r.Server, Agent: r.Agent, Errand: r.Errand, Method: r.Method, Header: r.Header, Body: bytes.NewReader(body)}
}

// takesForOlder returns the bridge to the server if that refused a request in a way in which only one of 2024-11-05 does,
// and turns out to be one; else nil. Nothing was done for the request then. A server of streamable HTTP takes initialize.
func (s *Server) takesForOlder(ctx context.Context, r *tunnel.Incoming, body []byte, status int) *bridge.Server {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
	default:
		return nil
	}
	var scan mcp.Request
	if r.Method != http.MethodPost || names(r) || mcp.ScanRequest(body, mcp.Limits{}, &scan) != nil || scan.Method != mcp.MethodInitialize {
		return nil
	}
	select {
	case s.finding <- struct{}{}: // One asks; others wait for what he finds.
		defer func() { <-s.finding }()
	case <-ctx.Done():
		return nil
	}
	if known := s.older.Load(); known != nil || time.Since(s.doubted) < doubt {
		return known
	}
	line, err := s.dialLine(ctx, deaf{})
	if err != nil {
		s.config.Log.Debug("server is not one of 2024-11-05, either", "server", s.config.Name, "reason", err)
		s.doubted = time.Now()
		return nil
	}
	line.Stop()
	return s.carryOlder()
}

// carryOlder makes the bridge to a server of 2024-11-05; nil if the server was closed.
func (s *Server) carryOlder() *bridge.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Err() != nil {
		return nil
	}
	var older *bridge.Server
	older = bridge.New(bridge.Config{
		Name: s.config.Name, Era: mcp.Legacy, Processes: maxLines, Changed: s.config.Changed, Log: s.config.Log, Budget: s.config.Budget,
		Dial: func(ears wire.Hearer) (bridge.Peer, error) {
			line, err := s.dialLine(s.ending, ears)
			if errors.Is(err, sse2024.ErrOther) {
				s.noLonger(older)
			}
			if err != nil {
				return nil, err // Not line: a Peer that holds a nil is not nil.
			}
			s.follow(line)
			return line, nil
		},
	})
	s.older.Store(older)
	s.config.Log.Info("server speaks HTTP with SSE, of 2024-11-05", "server", s.config.Name)
	return older
}

// follow sees, when a session ends, whether the server is still there: it may have been the last that would have told.
func (s *Server) follow(line *sse2024.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Err() != nil {
		return
	}
	s.all.Go(func() {
		<-line.Dead()
		if !errors.Is(line.Err(), wire.ErrOver) || s.ending.Err() != nil {
			return
		}
		if conn, err := s.dial(s.ending, "tcp", s.address()); err == nil {
			_ = conn.Close() // It was for a look.
		}
	})
}

// noLonger forgets that the server is one of 2024-11-05: another runs in its place.
func (s *Server) noLonger(older *bridge.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Err() == nil && s.older.CompareAndSwap(older, nil) {
		s.all.Go(older.Close)
	}
}

// dialLine opens a session with a server of 2024-11-05.
func (s *Server) dialLine(ctx context.Context, ears wire.Hearer) (*sse2024.Line, error) {
	ctx, cancel := context.WithTimeout(ctx, lineTime)
	defer cancel()
	return sse2024.Dial(ctx, sse2024.Config{URL: s.url, Header: s.config.Header, Transport: s.transport, Log: s.config.Log, Budget: s.config.Budget}, ears)
}

// names reports whether a request names a session.
func names(r *tunnel.Incoming) bool {
	for _, field := range r.Header {
		if strings.EqualFold(field.Name, mcp.HeaderSession) {
			return true
		}
	}
	return false
}

// deaf hears a server that was not asked anything.
type deaf struct{}

func (deaf) Hear(*wire.Message) {}
