package listener

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// server is the MCP servers of the test, all of them.
type server struct {
	calls atomic.Int64
	// do answers a call; nil echoes the arguments.
	do func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error)
	// resume reads a call on, and open initialises a server; nil gives no session.
	resume func(ctx context.Context, resume *upstream.Resume, sink upstream.Sink) (*upstream.Answer, error)
	open   func(ctx context.Context, server string) (upstream.SessionRef, error)
	// listen says what a server says unasked; nil says nothing.
	listen func(ctx context.Context, listen *upstream.Listen, sink upstream.Sink) error

	respond error // why the answers of clients are not taken

	gone chan struct{} // of leave: closed when the client is gone

	mu   sync.Mutex
	told []told // what clients said beside their calls
}

// told is what one server was told.
type told struct{ what, server, session, message string }

func (s *server) tell(what, server string, ref upstream.SessionRef, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, told{what, server, ref.ID, message})
}

// heard returns what was told since the last call, in the order of servers.
func (s *server) heard() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.told
	s.told = nil
	slices.SortFunc(all, func(a, b told) int { return strings.Compare(a.server+a.what, b.server+b.what) })
	return all
}

func (s *server) Do(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
	s.calls.Add(1)
	if s.do != nil {
		return s.do(ctx, call, sink)
	}
	return echo(call), nil
}

func (s *server) Resume(ctx context.Context, resume *upstream.Resume, sink upstream.Sink) (*upstream.Answer, error) {
	return s.resume(ctx, resume, sink)
}

func (s *server) Open(ctx context.Context, server *snapshotv1.Server, _ *principal.Principal, _ mcp.Capabilities, _ string) (upstream.SessionRef, error) {
	if s.open == nil {
		return upstream.SessionRef{}, nil
	}
	return s.open(ctx, server.GetName())
}

func (s *server) End(server *snapshotv1.Server, ref upstream.SessionRef) {
	s.tell("end", server.GetName(), ref, "")
}

func (s *server) EndKey(key string) { s.tell("end key", key, upstream.SessionRef{}, "") }

func (s *server) Respond(_ context.Context, server *snapshotv1.Server, ref upstream.SessionRef, message []byte) error {
	s.tell("respond", server.GetName(), ref, string(message))
	return s.respond
}

func (s *server) Notify(_ context.Context, server *snapshotv1.Server, ref upstream.SessionRef, message []byte) error {
	s.tell("notify", server.GetName(), ref, string(message))
	return nil
}

func (s *server) Cancel(_ context.Context, server *snapshotv1.Server, ref upstream.SessionRef, id []byte, _ string) error {
	s.tell("cancel", server.GetName(), ref, string(id))
	return nil
}

func (s *server) Listen(ctx context.Context, listen *upstream.Listen, sink upstream.Sink) error {
	if listen.Ready != nil {
		listen.Ready()
	}
	if s.listen != nil {
		return s.listen(ctx, listen, sink)
	}
	<-ctx.Done()
	return ctx.Err()
}

func echo(call *upstream.Call) *upstream.Answer {
	arguments := call.Request.Arguments.Of(call.Body)
	if len(arguments) == 0 {
		arguments = []byte("null")
	}
	result := append([]byte(`{"echo":`), arguments...)
	body := mcp.WriteResult(nil, call.Request.ID.Of(call.Body), append(result, '}'))
	return &upstream.Answer{Body: body, Outcome: auditv1.Outcome_OUTCOME_OK, ServerLatency: time.Millisecond}
}
