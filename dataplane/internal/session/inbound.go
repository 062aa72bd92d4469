package session

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// passTime is how long servers may take to be told what a client says beside its
// requests.
const passTime = 2 * time.Second

// soon returns a context for telling a server something, which ends also if
// nobody listens any more.
func (x *exchange) soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), passTime)
}

// response takes what a client answers to a request of a server. The id, which we
// made, says who asked: a server, which is told from whichever node this is, or a
// call that waits on one node.
//
// The protocol has 202 for what was accepted, and an error for what cannot be. So an
// id that we did not make, or of a call that no longer waits, is 400. Whether a
// question of a server has been answered before, no node knows but by asking it:
// each answer is passed on, and 202 says that the server took it.
func (x *exchange) response(ctx context.Context) Answer {
	var to handle.ServerRequest
	if err := x.openAsked(&to); err != nil {
		return x.refuseStatus(http.StatusBadRequest, kindMessage, invalidRequest("no request is waiting for this response"))
	}
	if to.Pending != "" {
		return x.answerWait(ctx, &to)
	}
	server, ok := x.in.Index.Server(to.Server)
	if !ok || !x.profile().Sees(server) {
		return x.refuseStatus(http.StatusBadRequest, kindMessage, invalidRequest("no request is waiting for this response"))
	}
	message := mcp.Splice(nil, x.in.Body, mcp.Edit{Span: x.req.ID, With: to.ID})
	ref := upstream.SessionRef{ID: to.SessionID, Version: to.Version}
	if err := x.upstream.Respond(ctx, server.Item, ref, message); err != nil {
		x.log.DebugContext(ctx, "an answer of a client was not taken", "server", to.Server, "error", err)
		x.failure = "server_failed"
		return reply(http.StatusBadGateway, mcp.WriteError(nil, x.id(), mcp.CodeUnavailable, "the server did not take the answer", nil))
	}
	return Answer{Status: http.StatusAccepted}
}

// openAsked opens the id of a posted response.
func (x *exchange) openAsked(to *handle.ServerRequest) error {
	token, err := mcp.String(x.id())
	if err != nil {
		return err
	}
	if err := x.in.Index.Sealer().OpenServerRequest(token, x.owner, x.in.Received, to); err != nil {
		return err
	}
	if to.Session != x.legacy.ID {
		return handle.ErrOpen
	}
	return nil
}

// answerWait hands an answer to the call that waits for it.
func (x *exchange) answerWait(ctx context.Context, to *handle.ServerRequest) Answer {
	if to.Node != x.node && x.config.Peers == nil {
		return x.refuseStatus(http.StatusServiceUnavailable, kindNode, &mcp.Error{
			Code: mcp.CodeUnavailable, Offset: -1,
			Text: "another node, which was not reached, waits for this response; make the original request again",
		})
	}
	got, err := x.given()
	if err != nil {
		return x.refuseStatus(http.StatusBadRequest, kindMessage, invalidRequest("the error of the response is not one"))
	}
	if to.Node != x.node {
		return x.answerElsewhere(ctx, to, got)
	}
	if !x.Answered(to.Pending, x.legacy.ID, got.result, got.refused) {
		return x.refuseStatus(http.StatusBadRequest, kindMessage, invalidRequest("no request is waiting for this response"))
	}
	return Answer{Status: http.StatusAccepted}
}

// answerElsewhere hands an answer to a call that waits at another node.
func (x *exchange) answerElsewhere(ctx context.Context, to *handle.ServerRequest, got given) Answer {
	err := x.config.Peers.Answer(ctx, to.Node, to.Pending, x.legacy.ID, got.result, got.refused)
	switch {
	case err == nil:
		return Answer{Status: http.StatusAccepted}
	case fault.Is(err, fault.NotFound):
		return x.refuseStatus(http.StatusBadRequest, kindMessage, invalidRequest("no request is waiting for this response"))
	}
	x.log.DebugContext(ctx, "another node was not told of an answer", "node", to.Node, "error", err)
	return x.refuseStatus(http.StatusServiceUnavailable, kindNode, &mcp.Error{
		Code: mcp.CodeUnavailable, Offset: -1,
		Text: "another node, which was not reached, waits for this response; make the original request again",
	})
}

// given copies the answer out of the message. The code of an error may be any number: SDKs send 0 where a client's own
// function failed.
func (x *exchange) given() (given, error) {
	if !x.req.Result.Empty() {
		return given{result: bytes.Clone(x.req.Result.Of(x.in.Body))}, nil
	}
	refused, coded := &mcp.Error{Offset: -1}, false
	object := x.req.Error.Of(x.in.Body)
	err := mcp.Members(object, func(name string, value mcp.Span) (err error) {
		switch name {
		case "code":
			coded = true
			refused.Code, err = strconv.Atoi(string(value.Of(object)))
		case "message":
			refused.Text, err = mcp.String(value.Of(object))
		case "data":
			refused.Data = bytes.Clone(value.Of(object))
		}
		return err
	})
	if err == nil && !coded {
		err = errors.New("error without a code")
	}
	return given{refused: refused}, err
}

// notification takes what a client says without wanting an answer. A method that
// is none is not run without an answer.
func (x *exchange) notification(ctx context.Context) Answer {
	if !strings.HasPrefix(x.req.Method, "notifications/") {
		return x.refuse(kindMessage, invalidRequest("method "+shown(x.req.Method)+" is a request and needs an id"))
	}
	if x.attached {
		switch x.req.Method {
		case mcp.MethodCancelled:
			x.cancel(ctx)
		case mcp.MethodRootsChanged:
			x.tellServers(ctx, x.legacyServers())
		case mcp.MethodProgress:
			x.progress(ctx)
		}
	}
	return Answer{Status: http.StatusAccepted}
}

// cancel ends the client's own call: here if it runs here, else wherever it runs,
// by telling the servers that may run it. The id towards a server follows from the
// session and the client's id, and so one that has no such call knows nothing of it.
func (x *exchange) cancel(ctx context.Context) {
	id := x.req.RequestID.Of(x.in.Body)
	if len(id) == 0 || x.flights.cancel(x.legacy.ID, id) || !x.mayTell() {
		return
	}
	if x.config.Peers != nil {
		x.config.Peers.Cancel(ctx, x.legacy.ID, id)
	}
	upstreamID := handle.UpstreamID(nil, x.legacy.ID, id)
	x.each(ctx, x.legacyServers(), func(ctx context.Context, server *gate.Server, ref upstream.SessionRef) {
		if err := x.upstream.Cancel(ctx, server.Item, ref, upstreamID, "the client cancelled the request"); err != nil {
			x.log.DebugContext(ctx, "a cancellation was not taken", "server", server.Name(), "error", err)
		}
	})
}

// progress passes on how far a client is with what a server asked for. The token
// is the server's own, which says nothing of which server: it is told if there is
// only one that it can be.
func (x *exchange) progress(ctx context.Context) {
	if servers := x.legacyServers(); len(servers) == 1 {
		x.tellServers(ctx, servers)
	}
}

// mayTell reports whether the servers may be told something once more. A
// notification too many is dropped: a client is promised nothing for one.
func (x *exchange) mayTell() bool {
	return x.tellings.take(paced{caller: x.in.Caller.ID}, x.now())
}

// tellServers passes a notification on as it is.
func (x *exchange) tellServers(ctx context.Context, servers []*gate.Server) {
	if !x.mayTell() {
		return
	}
	x.each(ctx, servers, func(ctx context.Context, server *gate.Server, ref upstream.SessionRef) {
		if err := x.upstream.Notify(ctx, server.Item, ref, x.in.Body); err != nil {
			x.log.DebugContext(ctx, "a notification of a client was not taken", "server", server.Name(), "error", err)
		}
	})
}

// legacyServers returns the servers of the session that the caller still sees.
func (x *exchange) legacyServers() []*gate.Server {
	var servers []*gate.Server
	profile := x.profile()
	for i := range x.legacy.Servers {
		if server, ok := x.in.Index.Server(x.legacy.Servers[i].Server); ok && profile.Sees(server) {
			servers = append(servers, server)
		}
	}
	return servers
}

// each calls do for each server with which the client has a session, at the same
// time, and waits for passTime at most: do must end when its context does.
func (x *exchange) each(ctx context.Context, servers []*gate.Server, do func(context.Context, *gate.Server, upstream.SessionRef)) {
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	var wait sync.WaitGroup
	for _, server := range servers {
		if ref, ok := sessionWith(&x.legacy, server.Name()); ok {
			wait.Go(func() { do(ctx, server, ref) })
		}
	}
	wait.Wait()
}

// setLevel says from which level on a client wants log messages: to the servers of
// its session, and to all nodes for what they hear of others. It is recorded as a
// call is, and has an answer of ours: a server that does not take the level sends
// what it sends.
func (x *exchange) setLevel(ctx context.Context) Answer {
	if !x.mayTell() {
		return x.refuse(kindTells, &mcp.Error{Code: mcp.CodeRateLimited, Text: "the level of the log is set too often", Offset: -1})
	}
	event := x.begin()
	event.Kind = auditv1.EventKind_EVENT_KIND_INTENT
	event.Decision = auditv1.Decision_DECISION_ALLOW
	event.Reason = "log messages from " + x.req.Level + " on"
	ticket, err := x.audit.Intent(event)
	if err != nil {
		return x.unrecorded(event, err)
	}
	answer := &upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED, Error: "internal error"}
	defer func() { ticket.Result(x.ended(answer)) }()
	_ = x.wish(ctx, notice.Wish{Level: x.req.Level}) // Setting a level cannot fail.
	x.each(ctx, x.legacyServers(), func(ctx context.Context, server *gate.Server, ref upstream.SessionRef) {
		if !server.Capabilities.Logging {
			return
		}
		call := &upstream.Call{
			Server: server.Item, Principal: x.in.Caller.Principal, Era: x.era, ClientVersion: x.legacy.Version,
			Body: x.in.Body, Request: &x.req, Header: x.in.Header, Capabilities: x.legacy.Capabilities,
			Session: &ref, SessionKey: notice.SessionKey(x.legacy.ID),
		}
		answer, err := x.upstream.Do(ctx, call, nil)
		if answer != nil {
			answer.Release()
		}
		if err != nil {
			x.log.DebugContext(ctx, "a log level was not taken", "server", server.Name(), "error", err)
		}
	})
	answer = &upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_OK, Body: mcp.WriteResult(nil, x.id(), []byte("{}"))}
	return reply(http.StatusOK, answer.Body)
}
