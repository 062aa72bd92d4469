package session

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// subscription is a notification stream that was let through: all that is kept of
// a request while its stream waits.
type subscription struct {
	notice.Subscription
	ticket Ticket // of a modern client's request; nil once it was used
	callID []byte
	begun  time.Time
}

// listen lets a modern client's subscriptions/listen through. Which of the
// resources it names may be heard, the board decides, now and with each snapshot.
func (x *exchange) listen() Answer {
	if !x.client.Streams() {
		return x.refuseStatus(http.StatusNotAcceptable, kindMessage, invalidRequest(
			"subscriptions/listen is answered with an event stream; the Accept header must allow text/event-stream"))
	}
	filter, refusal := x.req.ListenFilter(x.in.Body)
	if refusal != nil {
		return x.refuse(kindMessage, refusal)
	}
	event := x.begin()
	event.Kind = auditv1.EventKind_EVENT_KIND_INTENT
	event.Decision = auditv1.Decision_DECISION_ALLOW
	event.Reason = "notifications are of what the caller may see"
	ticket, err := x.audit.Intent(event)
	if err != nil {
		return x.unrecorded(event, err)
	}
	x.sub = &subscription{
		Subscription: notice.Subscription{
			Caller: x.in.Caller, Server: x.in.Server, Era: x.era, Filter: filter, ID: bytes.Clone(x.id()),
			Client: x.claims(),
		},
		ticket: ticket, callID: bytes.Clone(x.record.callID[:]), begun: x.in.Received,
	}
	return Answer{}
}

// Listen serves the stream of a legacy session (GET), until it ends: what its
// servers say unasked, or the rest of a call's stream if the client names the last
// event that it has. An answer with a message means that there is no stream.
func (s *Session) Listen(ctx context.Context, in *Request, client Client) Answer {
	answer, sub, resume := s.enterStream(in, client)
	switch {
	case sub != nil:
		return s.hear(ctx, sub, client)
	case resume != nil:
		return resume.resume(ctx)
	}
	return answer
}

func (s *Session) enterStream(in *Request, client Client) (Answer, *subscription, *resumption) {
	x := &exchange{Session: s, in: in, client: client}
	defer x.observe()
	x.req.Method = http.MethodGet
	answer, ok := x.enterBare()
	switch {
	case !ok:
		return answer, nil, nil
	case len(in.Header[headerLastEventID]) > 0:
		return x.enterResume()
	}
	session, aggregate := x.legacy, x.server == nil
	owner := x.owner
	who := x.begin()
	asker := &asker{Session: s, caller: in.Caller, client: x.claims(), about: &auditv1.Event{
		User: who.GetUser(), Application: who.GetApplication(), KeyId: who.GetKeyId(),
		Issuer: who.GetIssuer(), TokenId: who.GetTokenId(), ClientName: who.GetClientName(), ClientVersion: who.GetClientVersion(),
		RemoteAddress: who.GetRemoteAddress(), ProtocolVersion: who.GetProtocolVersion(), TraceId: who.GetTraceId(),
	}}
	return Answer{}, &subscription{Subscription: notice.Subscription{
		Caller: in.Caller, Server: in.Server, Era: mcp.Legacy, Session: &session, Client: asker.client,
		Permit: asker.permit,
		Relay: func(server *gate.Server, r *upstream.ServerRequest) (message, id []byte, err error) {
			return s.relay(server.Name(), aggregate, &session, owner, r)
		},
	}}, nil
}

// hear serves a notification stream until it ends.
func (s *Session) hear(ctx context.Context, sub *subscription, client Client) Answer {
	sub.Opened = func() {
		s.opened(sub, auditv1.Outcome_OUTCOME_OK, "")
		// A client that cannot be written to has gone, which the board will notice.
		_ = client.Stay()
	}
	err := s.board.Open(ctx, &sub.Subscription, client)
	if err == nil {
		return Answer{Status: http.StatusOK}
	}
	s.opened(sub, auditv1.Outcome_OUTCOME_PROTOCOL_ERROR, fault.Text(err))
	status, code := unopened(err, sub.Era)
	return reply(status, mcp.WriteError(nil, sub.ID, code, fault.Text(err), nil))
}

// unopened returns what the request for a stream is refused with: the same as if
// what ended meanwhile had ended before the request.
func unopened(err error, era mcp.Era) (status, code int) {
	switch kind := fault.KindOf(err); {
	case kind == fault.Unauthenticated:
		return http.StatusUnauthorized, mcp.CodeUnauthenticated
	case kind == fault.NotFound && era == mcp.Legacy:
		return http.StatusNotFound, mcp.CodeInvalidRequest
	case kind == fault.NotFound:
		return http.StatusNotFound, mcp.CodeInvalidParams
	}
	return http.StatusServiceUnavailable, mcp.CodeUnavailable
}

// opened records how the request for a stream ended: with a stream, or without.
func (s *Session) opened(sub *subscription, outcome auditv1.Outcome, text string) {
	if sub.ticket == nil {
		return
	}
	ticket := sub.ticket
	sub.ticket = nil
	now := s.now()
	event := &auditv1.Event{Kind: auditv1.EventKind_EVENT_KIND_RESULT, CallId: sub.callID, Outcome: outcome, Error: text}
	event.At, event.Latency = newTime(now), newDuration(now.Sub(sub.begun))
	ticket.Result(event)
}

// resumption is the rest of a call's stream that a client asks for.
type resumption struct {
	x      *exchange
	server *gate.Server
	event  handle.Event
}

// enterResume opens the id of the last event that the client has. It must be of
// this very session.
func (x *exchange) enterResume() (Answer, *subscription, *resumption) {
	r := &resumption{x: x}
	ids := x.in.Header[headerLastEventID]
	err := x.in.Index.Sealer().OpenEvent(ids[0], x.owner, x.in.Received, &r.event)
	server, known := x.in.Index.Server(r.event.Server)
	if err != nil || len(ids) > 1 || r.event.Session != x.legacy.ID || !known || !x.profile().Sees(server) {
		return x.refuseStatus(http.StatusBadRequest, kindEvent, invalidRequest(
			"Last-Event-ID is of no stream that this session can resume; make the request again")), nil, nil
	}
	r.server = server
	x.call.Server = server.Item
	return Answer{}, nil, r
}

// resume passes on what the server sends after the event, up to the answer. The
// result belongs to the call that is resumed, if this is the node that made it;
// another node records the rest as a call of its own.
func (r *resumption) resume(ctx context.Context) Answer {
	x := r.x
	x.sink.x, x.sink.origin = x, &r.event
	waiting := x.detached.take(r.event.CallID)
	if waiting == nil {
		var answer Answer
		if waiting, answer = r.begin(); waiting == nil {
			return answer
		}
	}
	x.record.callID = waiting.callID
	answer := &upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED, Error: "internal error"}
	why := serverClosed
	defer func() {
		if answer.Detached {
			x.detached.keep(waiting, why, x.config.ResumeTime)
			return
		}
		waiting.result(answer)
	}()
	// The client waits for a stream, and is to see at once that it has one: the
	// server may be silent for long. One that cannot be written to has gone, which
	// the call notices by itself.
	_ = x.client.Begin()
	got, err := x.upstream.Resume(ctx, r.upstream(), &x.sink)
	if err != nil || got == nil {
		// The client may come again for the rest.
		answer, why = &upstream.Answer{Detached: true}, clientLeft
		return Answer{Status: http.StatusOK}
	}
	answer = got
	return x.answered(answer)
}

// begin records that a call of another node goes on here.
func (r *resumption) begin() (*late, Answer) {
	x := r.x
	event := x.begin()
	event.Server, event.Tool, event.Method = r.event.Server, "", r.event.Method
	event.Kind, event.Decision = auditv1.EventKind_EVENT_KIND_INTENT, auditv1.Decision_DECISION_ALLOW
	event.Reason = "the client resumes the stream of a call that was let through"
	ticket, err := x.audit.Intent(event)
	if err != nil {
		return nil, x.unrecorded(event, err)
	}
	return &late{ticket: ticket, callID: x.record.callID, trace: event.TraceId, received: x.in.Received, now: x.now}, Answer{}
}

func (r *resumption) upstream() *upstream.Resume {
	x, e := r.x, &r.event
	resume := &upstream.Resume{
		Server: x.call.Server, Session: upstream.SessionRef{ID: e.SessionID, Version: e.Version}, EventID: e.EventID,
		ClientID: e.ClientID, ProgressToken: e.ProgressToken, Method: e.Method, Era: mcp.Legacy,
		ClientVersion: x.legacy.Version, Capabilities: x.legacy.Capabilities, LogLevel: x.board.Level(x.legacy.ID),
	}
	if x.server == nil {
		resume.URIPrefix = mcp.URIPrefix(e.Server)
	}
	if len(e.ClientID) > 0 {
		resume.ID = handle.UpstreamID(nil, x.legacy.ID, e.ClientID)
	}
	if resume.Capabilities != 0 {
		resume.Permit = r.permit
	}
	return resume
}

// permit decides on what the server asks while it is read on. What was called is
// not known here; the question is about the server as a whole.
func (r *resumption) permit(method string, _ []byte) *mcp.Error {
	x := r.x
	event := &x.record.event
	if event.GetCallId() == nil {
		x.begin()
	}
	event.Server, event.Tool = r.event.Server, ""
	return x.recordAsk(event, method, x.in.Index.DecideServer(x.in.Caller, r.server, method, x))
}
