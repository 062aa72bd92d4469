package notice

import (
	"context"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// lingerTime is how long a server is still heard when the last stream that wanted it has ended: clients come and go.
const lingerTime = 30 * time.Second

// sharedKey is the session key of shared hearings, with servers that have sessions.
const sharedKey = "notice"

// sharedHearing is one server heard for all streams of the node that see it, for list_changed alone. Its fields are
// guarded by Board.mu, but for name, ctx, cancel and ready, which do not change.
type sharedHearing struct {
	board   *Board
	name    string
	server  *snapshotv1.Server
	members map[*stream]struct{}
	linger  *time.Timer // runs while there are no members
	ctx     context.Context
	cancel  context.CancelFunc
	ready   chan struct{} // closed once the server is heard, or could not be
}

// joinShared makes the stream one of those for whom a server is heard.
func (b *Board) joinShared(s *stream, server *snapshotv1.Server) *sharedHearing {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.shared[server.GetName()]
	if h == nil {
		h = b.startShared(server)
	}
	if h.linger != nil {
		h.linger.Stop()
		h.linger = nil
	}
	h.members[s] = struct{}{}
	return h
}

// leaveShared undoes joinShared.
func (b *Board) leaveShared(s *stream, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.shared[name]
	if h == nil {
		return
	}
	delete(h.members, s)
	if len(h.members) == 0 && h.linger == nil {
		h.linger = time.AfterFunc(lingerTime, func() { b.abandon(h) })
	}
}

// abandon ends a hearing that nobody wanted for a while.
func (b *Board) abandon(h *sharedHearing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(h.members) == 0 && b.shared[h.name] == h {
		b.dropShared(h)
	}
}

// startShared hears a server. The caller holds mu.
func (b *Board) startShared(server *snapshotv1.Server) *sharedHearing {
	h := &sharedHearing{
		board: b, name: server.GetName(), server: server,
		members: make(map[*stream]struct{}), ready: make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	b.shared[h.name] = h
	b.metrics.hearings.Inc()
	go h.run(server)
	return h
}

// dropShared ends a hearing. The caller holds mu.
func (b *Board) dropShared(h *sharedHearing) {
	if h.linger != nil {
		h.linger.Stop()
	}
	h.cancel()
	delete(b.shared, h.name)
}

// stopShared ends all of them.
func (b *Board) stopShared() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.shared {
		b.dropShared(h)
	}
}

// refreshShared hears servers afresh that changed, and others no more that are gone. The caller holds sweeping.
func (b *Board) refreshShared(index *gate.Index) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, h := range b.shared {
		server, ok := index.Server(name)
		switch {
		case !ok:
			b.dropShared(h)
		case !sameServer(h.server, server.Item) || h.ctx.Err() != nil:
			members := h.members
			b.dropShared(h)
			next := b.startShared(server.Item)
			next.members = members
			if len(members) == 0 {
				next.linger = time.AfterFunc(lingerTime, func() { b.abandon(next) })
			}
		}
	}
}

func (h *sharedHearing) run(server *snapshotv1.Server) {
	defer h.board.metrics.hearings.Dec()
	defer h.cancel() // so that the next look around starts another
	readied := false
	ready := func() {
		if !readied {
			readied = true
			close(h.ready)
		}
	}
	defer ready()
	err := h.board.config.Upstream.Listen(h.ctx, &upstream.Listen{
		Server:     server,
		SessionKey: sharedKey,
		Filter:     mcp.ListenFilter{Tools: true, Prompts: true, Resources: true},
		Ready:      ready,
	}, h)
	if err != nil && h.ctx.Err() == nil {
		h.board.config.Log.Debug("server cannot be heard", "server", h.name, "error", err)
	}
}

// Notification passes on that a list changed, and nothing else: what else a server says here is meant for nobody.
func (h *sharedHearing) Notification(message []byte, _ upstream.Mark) error {
	if h.ctx.Err() != nil {
		return errStopped
	}
	var scan mcp.Response
	if err := mcp.ScanResponse(message, mcp.Limits{}, &scan); err != nil {
		return nil // the Upstream has scanned it before
	}
	if kind := kindOf(scan.Method); kind != 0 {
		h.board.announce(h.name, kind, nil)
	}
	return nil
}

// Prime has nothing to say.
func (h *sharedHearing) Prime(upstream.Mark) error { return nil }

// Relay drops the request: nobody is there to be asked, and without a Permit none gets here.
func (h *sharedHearing) Relay(*upstream.ServerRequest, upstream.Mark) error { return nil }

// Withdraw drops the notice likewise.
func (h *sharedHearing) Withdraw(*upstream.Withdrawal, upstream.Mark) error { return nil }

// Ask refuses likewise.
func (h *sharedHearing) Ask(context.Context, string, []byte) ([]byte, *mcp.Error, error) {
	return nil, &mcp.Error{Code: mcp.CodeMethodNotFound, Text: "method is not offered here", Offset: -1}, nil
}
