package session

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
)

// initialize opens a legacy session: it agrees on a version, initialises the
// legacy servers of the route for the client, and seals all of it into the
// session's id. A server that is slow or down is left out; it gets a session at
// the node that first calls it. So do all, for a client that initialises too often.
func (x *exchange) initialize(ctx context.Context) Answer {
	requested, err := mcp.String(x.req.Param(x.in.Body, "protocolVersion").Of(x.in.Body))
	if err != nil {
		return x.refuse(kindMessage, invalidParams("initialize needs params.protocolVersion to be a string"))
	}
	session := &x.legacy
	if raw := x.req.Param(x.in.Body, "capabilities"); !raw.Empty() {
		if session.Capabilities, err = mcp.ParseCapabilities(raw.Of(x.in.Body)); err != nil {
			return x.refuse(kindMessage, asRefusal(err))
		}
	}
	rand.Read(session.ID[:]) // never fails
	session.Route = x.in.Server
	session.Version = mcp.NegotiateVersion(requested)
	if info := x.req.Param(x.in.Body, "clientInfo").Of(x.in.Body); len(info) > 0 && info[0] == '{' {
		session.ClientName, session.ClientVersion = clientInfo(info)
	}
	session.Issued = x.now()
	session.Expires = session.Issued.Add(handle.SessionLife)
	if x.openings.take(paced{caller: x.in.Caller.ID}, session.Issued) {
		session.Servers = x.openServers(ctx)
	}
	token, err := x.sealSession(ctx)
	if err != nil {
		if ctx.Err() == nil {
			x.log.ErrorContext(ctx, "a session cannot be sealed", "error", err)
		}
		x.endServers(session)
		return x.refuse(kindSession, &mcp.Error{Code: mcp.CodeInternal, Text: "the session cannot be opened", Offset: -1})
	}
	x.note("begins a session; what is called in it is decided each time")
	answer := x.result(x.initialized())
	answer.SessionID = token
	return answer
}

// sealSession returns the session's id. Sessions of servers that it has no room
// for are ended again, as are all if the client has gone meanwhile.
func (x *exchange) sealSession(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	token, left, err := x.in.Index.Sealer().SealSession(&x.legacy, x.owner, x.legacy.Issued)
	for _, slug := range left {
		if server, ok := x.in.Index.Server(slug); ok {
			if ref, ok := sessionWith(&x.legacy, slug); ok {
				x.upstream.End(server.Item, ref)
			}
		}
	}
	return token, err
}

// initialized is the result of initialize.
func (x *exchange) initialized() []byte {
	result := append([]byte(nil), `{"protocolVersion":`...)
	result = mcp.AppendString(result, x.legacy.Version)
	result = append(result, `,"capabilities":`...)
	result = append(result, x.profile().Capabilities(x.server, x.era)...)
	result = append(result, `,"serverInfo":`...)
	result = append(result, x.words.serverInfo...)
	return append(x.appendInstructions(result), '}')
}

func (x *exchange) appendInstructions(result []byte) []byte {
	if text := x.profile().Instructions(x.server); text != "" {
		result = mcp.AppendString(append(result, `,"instructions":`...), text)
	}
	return result
}

// maxOpening bounds the servers that are initialised at the same time for one
// client.
const maxOpening = 32

// openServers initialises the legacy servers of the route, all at once, in the
// time that they have together.
func (x *exchange) openServers(ctx context.Context) []handle.ServerSession {
	ctx, cancel := context.WithTimeout(ctx, x.config.OpenTime)
	defer cancel()
	var servers []*gate.Server
	for _, server := range x.profile().Servers(x.server) {
		if server.Era() != mcp.Modern {
			servers = append(servers, server)
		}
	}
	opened := make([]upstream.SessionRef, len(servers))
	places := make(chan struct{}, maxOpening)
	var wait sync.WaitGroup
	for i, server := range servers {
		wait.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			opened[i] = x.openServer(ctx, server)
		})
	}
	wait.Wait()
	sessions := make([]handle.ServerSession, 0, len(servers))
	for i, server := range servers {
		if ref := opened[i]; ref.ID != "" {
			sessions = append(sessions, handle.ServerSession{Server: server.Name(), ID: ref.ID, Version: ref.Version})
		}
	}
	return sessions
}

func (x *exchange) openServer(ctx context.Context, server *gate.Server) upstream.SessionRef {
	if ctx.Err() != nil {
		return upstream.SessionRef{}
	}
	ref, err := x.upstream.Open(ctx, server.Item, x.in.Caller.Principal, x.legacy.Capabilities, x.legacy.Version)
	if err != nil {
		x.log.DebugContext(ctx, "a server is not part of a session", "server", server.Name(), "error", err)
		return upstream.SessionRef{}
	}
	return ref
}

// endServers ends the sessions with servers.
func (x *exchange) endServers(session *handle.Session) {
	for i := range session.Servers {
		if server, ok := x.in.Index.Server(session.Servers[i].Server); ok {
			x.upstream.End(server.Item, upstream.SessionRef{ID: session.Servers[i].ID, Version: session.Servers[i].Version})
		}
	}
}

// End ends a legacy session, at this node and at all others. That of a key that ends
// too many lives on until it expires: only what servers keep for it is ended.
func (s *Session) End(_ context.Context, in *Request) Answer {
	x := &exchange{Session: s, in: in}
	defer x.observe()
	x.req.Method = http.MethodDelete
	if answer, ok := x.enterBare(); !ok {
		return answer
	}
	if !x.endings.take(paced{caller: x.in.Caller.ID}, x.now()) {
		x.upstream.EndKey(notice.SessionKey(x.legacy.ID))
		x.endServers(&x.legacy)
		return x.refuseStatus(http.StatusTooManyRequests, kindEnds, &mcp.Error{
			Code: mcp.CodeRateLimited, Offset: -1, Data: []byte(`{"retryAfterMs":12000}`),
			Text: "this key ended more sessions than are kept apart; the session lives on until it expires",
		})
	}
	x.Ended(x.legacy.ID, x.legacy.Expires)
	if x.config.Ended != nil {
		x.config.Ended(x.legacy.ID, x.legacy.Expires)
	}
	x.endServers(&x.legacy)
	x.note("ends its session")
	return Answer{Status: http.StatusNoContent}
}

// Ended lets go of a session that its client ended, at this node or at another: of
// its streams, and of what this node opened with servers for it. What the client
// carries, the node ends that the client told. Doing so again does no harm.
func (s *Session) Ended(id [16]byte, expires time.Time) {
	s.board.End(id, expires)
	s.upstream.EndKey(notice.SessionKey(id))
}

// enterBare lets a request without a message in: only legacy clients send them.
func (x *exchange) enterBare() (Answer, bool) {
	x.era = mcp.Legacy
	if refusal := x.readVersion(); refusal != nil {
		return x.refuse(kindMessage, refusal), false
	}
	if x.version != "" && mcp.EraOf(x.version) != mcp.Legacy {
		refusal := invalidRequest("MCP-Protocol-Version " + shown(x.version) + " is not supported")
		refusal.Reason = mcp.ReasonVersion
		return x.refuse(kindMessage, refusal), false
	}
	return x.enter()
}

// life is how long what is sealed for a session may be used: no longer than it.
func (x *exchange) life(want time.Duration) time.Time {
	until := x.now().Add(want)
	if x.attached && x.legacy.Expires.Before(until) {
		return x.legacy.Expires
	}
	return until
}
