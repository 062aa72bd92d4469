package notice

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// hearing is one server heard for one stream.
type hearing struct {
	stream *stream
	wanted wanted
	ctx    context.Context
	cancel context.CancelFunc
	ready  chan struct{} // closed once the server is heard, or could not be
	ended  chan struct{} // closed when it is over, which it is by itself only for a server that cannot be heard
	// relayed belongs to the goroutine that calls the sink.
	relayed upstream.Relayed
}

// wanted is what a stream wants to hear of a server.
type wanted struct {
	server  *snapshotv1.Server
	session *upstream.SessionRef // the client's own; nil: there is none
	uris    []string             // the server's own, in order
}

// equal reports whether both come to the same.
func (w *wanted) equal(other *wanted) bool {
	return sameServer(w.server, other.server) && slices.Equal(w.uris, other.uris) &&
		(w.session == other.session || w.session != nil && other.session != nil && *w.session == *other.session)
}

// sameServer reports whether nothing of a server changed from one snapshot to the next.
func sameServer(a, b *snapshotv1.Server) bool { return a == b || proto.Equal(a, b) }

// hear brings what the stream hears into line with what it may hear now. A closed or silent stream hears nothing. The
// caller holds sweeping.
func (s *stream) hear(index *gate.Index) {
	if s.isClosed() || !s.speaks() {
		s.silence()
		return
	}
	s.dropUnreadable(index)
	own, common := s.wants(index)
	for name, h := range s.hearings {
		if want, ok := own[name]; !ok || h.isOver() {
			s.stop(name)
		} else if want.equal(&h.wanted) {
			delete(own, name)
		}
	}
	for name, want := range own {
		s.start(name, want)
	}
	for name := range s.shared {
		if common[name] == nil {
			s.board.leaveShared(s, name)
			delete(s.shared, name)
		}
	}
	for name, server := range common {
		if s.shared[name] == nil {
			if s.shared == nil {
				s.shared = make(map[string]*sharedHearing)
			}
			s.shared[name] = s.board.joinShared(s, server)
		}
	}
}

// speaks reports whether the stream is the one of its session that is written to.
func (s *stream) speaks() bool {
	return s.sub.Session == nil || s.board.speaking(s.sub.Session.ID) == s
}

// silence ends all that the stream hears. The caller holds sweeping.
func (s *stream) silence() {
	for name := range s.hearings {
		s.stop(name)
	}
	for name := range s.shared {
		s.board.leaveShared(s, name)
		delete(s.shared, name)
	}
}

// wants returns which servers the stream hears by itself, and which together with others.
func (s *stream) wants(index *gate.Index) (own map[string]wanted, common map[string]*snapshotv1.Server) {
	own, common = make(map[string]wanted), make(map[string]*snapshotv1.Server)
	uris := s.uris(index)
	for _, server := range index.Profile(s.caller).Servers(s.scope(index)) {
		name := server.Name()
		ref := s.sessionWith(name)
		if ref != nil || len(uris[name]) > 0 {
			own[name] = wanted{server: server.Item, session: ref, uris: uris[name]}
		}
		if ref == nil && s.lists != 0 {
			common[name] = server.Item
		}
	}
	return own, common
}

// sessionWith returns the legacy client's own session with a server; nil if there is none.
func (s *stream) sessionWith(server string) *upstream.SessionRef {
	if s.sub.Session == nil {
		return nil
	}
	for i := range s.sub.Session.Servers {
		if session := &s.sub.Session.Servers[i]; session.Server == server && session.ID != "" {
			return &upstream.SessionRef{ID: session.ID, Version: session.Version}
		}
	}
	return nil
}

// uris returns the resources to hear of, per server, as far as they may be read.
func (s *stream) uris(index *gate.Index) map[string][]string {
	resources := s.resources
	if s.sub.Session != nil {
		resources = s.board.facts.resources(s.sub.Session.ID)
	}
	uris := make(map[string][]string)
	for _, r := range resources {
		if s.sub.Session == nil || s.mayHear(index, s.caller, r.server, r.uri) {
			uris[r.server] = append(uris[r.server], r.uri)
		}
	}
	for _, list := range uris {
		slices.Sort(list)
	}
	return uris
}

// honour works out what of a client's wishes is fulfilled: the lists that the scope offers, and the resources that the
// caller may be told of, as many as a legacy session may subscribe to. The caller holds sweeping.
func (s *stream) honour(index *gate.Index) {
	s.lists = s.offered(index)
	if s.sub.Era != mcp.Modern {
		return
	}
	s.lists &= kindsOf(s.sub.Filter.Tools, s.sub.Filter.Prompts, s.sub.Filter.Resources)
	scope := s.scope(index)
	for _, uri := range s.sub.Filter.URIs {
		if len(s.resources) >= maxResources {
			return // The acknowledgement says which are honoured.
		}
		if s.hasResource(uri) || len(uri) > maxResourceBytes {
			continue
		}
		if entry, own, ok := index.Resolve(policy.Resource, scope, uri); ok && s.permits(index, s.caller, entry) {
			s.resources = append(s.resources, resource{server: entry.Server.Name(), uri: own, client: uri})
		}
	}
}

// offered returns the lists that the scope has, as the client is told of its capabilities.
func (s *stream) offered(index *gate.Index) kinds {
	c, err := mcp.ParseServerCapabilities(index.Profile(s.caller).Capabilities(s.scope(index), s.sub.Era))
	if err != nil {
		return 0 // the gate has written it
	}
	return kindsOf(c.Tools, c.Prompts, c.Resources)
}

func (s *stream) hasResource(uri string) bool {
	return slices.ContainsFunc(s.resources, func(r resource) bool { return r.client == uri })
}

// permits reports whether the caller may be told of changes of a resource now, and its server tells of them.
func (s *stream) permits(index *gate.Index, caller *credential.Caller, entry *gate.Entry) bool {
	return entry.Server.Capabilities.Subscribe && index.Decide(caller, entry, mcp.MethodResourcesSubscribe, s).Allowed()
}

// Facts implements gate.Call.
func (s *stream) Facts() *policy.Facts {
	return &policy.Facts{Client: s.sub.Client, Now: s.board.now()}
}

// dropUnreadable forgets the resources of a modern client that it may no longer be told of.
func (s *stream) dropUnreadable(index *gate.Index) {
	s.resources = slices.DeleteFunc(s.resources, func(r resource) bool { return !s.mayHear(index, s.caller, r.server, r.uri) })
}

// mayHear reports whether the caller may be told of a server's resource.
func (s *stream) mayHear(index *gate.Index, caller *credential.Caller, slug, uri string) bool {
	server, ok := index.Server(slug)
	if !ok {
		return false
	}
	entry, _, ok := index.Resolve(policy.Resource, server, uri)
	return ok && s.permits(index, caller, entry)
}

// start hears a server, in place of what was heard of it until now. Where nothing but resources was added, the old hearing
// ends when the new one is ready, so that nothing is missed; an update may then come twice.
func (s *stream) start(name string, want wanted) {
	old := s.hearings[name]
	h := &hearing{stream: s, wanted: want, ready: make(chan struct{}), ended: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if s.hearings == nil {
		s.hearings = make(map[string]*hearing)
	}
	s.hearings[name] = h
	if old != nil && !old.mayOverlap(h) {
		old.cancel()
		old = nil
	}
	s.board.metrics.hearings.Inc()
	go h.run(old)
}

// mayOverlap reports whether the old hearing says nothing that the new one may not.
func (h *hearing) mayOverlap(next *hearing) bool {
	for _, uri := range h.wanted.uris {
		if !slices.Contains(next.wanted.uris, uri) {
			return false
		}
	}
	return sameServer(h.wanted.server, next.wanted.server)
}

// stop ends what the stream hears of a server by itself.
func (s *stream) stop(name string) {
	s.hearings[name].cancel()
	delete(s.hearings, name)
}

func (h *hearing) isOver() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// run hears the server until the hearing is stopped; old ends when this one is ready.
func (h *hearing) run(old *hearing) {
	board := h.stream.board
	defer board.metrics.hearings.Dec()
	defer close(h.ended)
	readied := false
	ready := func() {
		if readied {
			return
		}
		readied = true
		close(h.ready)
		if old != nil {
			old.cancel()
		}
	}
	defer ready()
	err := board.config.Upstream.Listen(h.ctx, h.listen(ready), h)
	if err != nil && h.ctx.Err() == nil {
		board.config.Log.Debug("server cannot be heard", "server", h.wanted.server.GetName(), "error", err)
	}
}

func (h *hearing) listen(ready func()) *upstream.Listen {
	s := h.stream
	listen := &upstream.Listen{
		Server:    h.wanted.server,
		Principal: s.sub.Caller.Principal,
		Session:   h.wanted.session,
		Filter:    mcp.ListenFilter{URIs: h.wanted.uris},
		Ready:     ready,
	}
	if session := s.sub.Session; session != nil {
		listen.SessionKey = SessionKey(session.ID)
		listen.Capabilities = session.Capabilities
		listen.LogLevel = s.board.facts.level(session.ID)
		listen.Permit = h.permit
	} else {
		// A session of its own: a server speaks on one stream per session, and streams of one key must not share it.
		listen.SessionKey = "l/" + rand.Text()
	}
	return listen
}

// SessionKey names a legacy client's session to the Upstream, wherever it has to open one of its own for it.
func SessionKey(session [16]byte) string {
	var text [2 + 2*len(session)]byte
	return string(hex.AppendEncode(append(text[:0], "s/"...), session[:]))
}

// IsSessionKey reports whether a key is one of SessionKey.
func IsSessionKey(key string) bool {
	return len(key) == len("s/")+2*len([16]byte{}) && strings.HasPrefix(key, "s/")
}

// permit decides on what the server asks of the client.
func (h *hearing) permit(method string, params []byte) *mcp.Error {
	if server := h.server(); server != nil && h.stream.sub.Permit != nil {
		return h.stream.sub.Permit(server, method, params)
	}
	return &mcp.Error{Code: mcp.CodeMethodNotFound, Text: "method is not offered here", Offset: -1}
}

// server returns the server as the node knows it now; nil if it is gone.
func (h *hearing) server() *gate.Server {
	if index := h.stream.board.config.Current(); index != nil {
		server, _ := index.Server(h.wanted.server.GetName())
		return server
	}
	return nil
}
