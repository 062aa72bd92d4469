package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// forward makes the call and records its result, also if the call panics.
func (x *exchange) forward(ticket Ticket) Answer {
	var answer *upstream.Answer
	defer func() {
		if answer == nil { // the call panics
			answer = &upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED, Error: "internal error"}
		}
		x.settle(ticket, answer)
	}()
	x.prepareCall()
	if x.kept() {
		answer = x.keepSubscription()
		return reply(http.StatusOK, answer.Body)
	}
	answer = x.do()
	return x.answered(answer)
}

// do makes the call. That of a modern client ends when the client goes away, as the
// context of its request does, at less cost than to watch that. That of a legacy client
// goes on for a while when the client is gone (mcp.md 2.6), and can be cancelled.
func (x *exchange) do() *upstream.Answer {
	ctx := x.lifetime()
	defer ctx.End(nil)
	x.flights.enter(x, ctx)
	defer x.flights.leave(&x.flight)
	if answer := x.withheld(ctx); answer != nil {
		return answer
	}
	got, err := x.ask(ctx)
	for err == nil && got != nil && got.Detached && x.sink.given == 0 {
		got, err = x.readOn(ctx, got)
	}
	if err == nil && got != nil {
		return got
	}
	answer := x.cancelled(ctx, err)
	if got != nil {
		answer.ServerLatency = got.ServerLatency
	}
	return answer
}

// withheld waits until the intent of a call that has entered flights is as safe as its
// category needs (security.md P-01). Where it is not, or the call ended before, it
// returns the answer to the call, which is not made; else nil.
func (x *exchange) withheld(ctx context.Context) *upstream.Answer {
	if index := x.config.Current(); index != nil && index != x.in.Index {
		x.flight.review(index) // What came since it was decided on was not told to it.
	}
	if ctx.Err() != nil {
		return x.cancelled(ctx, ctx.Err())
	}
	err := x.audit.Sync(ctx, x.entry.Risk)
	if ended := context.Cause(ctx); ended != nil && (err == nil || err == ended) { //nolint:errorlint // Sync returns it bare.
		answer := x.cancelled(ctx, ended)
		answer.Error = notMade + answer.Error
		return answer
	}
	if err == nil {
		return nil
	}
	x.log.DebugContext(ctx, "a call is not made because its record is not safe on the disk", "server", x.call.Server.GetName(), "error", err)
	return &upstream.Answer{
		Body:    unrecordable(err).Append(nil, x.id()),
		Outcome: auditv1.Outcome_OUTCOME_REFUSED,
		Error:   notMade + fault.Text(err),
	}
}

// notMade begins what is recorded of a call that was let through and never left.
const notMade = "the call was not made: "

// ask has the server asked: from here, or, if the call is parked at another node, from there.
func (x *exchange) ask(ctx context.Context) (*upstream.Answer, error) {
	if x.parkedAt == "" {
		return x.upstream.Do(ctx, &x.call, &x.sink)
	}
	got, err := x.config.Peers.Resume(ctx, x.parkedAt, &x.call, &x.sink)
	if err == nil || ctx.Err() != nil || fault.KindOf(err) == fault.Internal {
		return got, err
	}
	x.log.DebugContext(ctx, "a call does not go on at another node", "node", x.parkedAt, "error", err)
	return &upstream.Answer{
		Body:    mcp.WriteError(nil, x.id(), mcp.CodeUnavailable, keptElsewhere, nil),
		Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED,
		Error:   keptElsewhere,
	}, nil
}

// lifetime returns how long the call may go on.
func (x *exchange) lifetime() *lifetime.Lifetime {
	if x.attached {
		return x.client.Outlive()
	}
	return x.client.Attend()
}

// cancelled is the answer to a call whose client went away or cancelled it, or
// whose node is going to: most of the time nobody is there to read it.
func (x *exchange) cancelled(ctx context.Context, err error) *upstream.Answer {
	code, text := mcp.CodeUnavailable, "the client went away before the answer came"
	if revoked, ok := errors.AsType[*revocation](context.Cause(ctx)); ok {
		code, text = revoked.code, revoked.text
	} else if cause := context.Cause(ctx); cause != nil && fault.KindOf(cause) != fault.Internal {
		text = fault.Text(cause)
	}
	x.log.DebugContext(ctx, "call ended early", "server", x.call.Server.GetName(), "error", err)
	return &upstream.Answer{
		Body:    mcp.WriteError(nil, x.id(), code, text, nil),
		Outcome: auditv1.Outcome_OUTCOME_CANCELLED,
		Error:   text,
	}
}

// answered puts a server's answer into the client's terms.
func (x *exchange) answered(answer *upstream.Answer) Answer {
	out := reply(x.status(answer), answer.Body)
	out.of = answer
	if x.sink.given > 0 {
		out.EventID, out.Retry = x.sink.eventID(&answer.At), answer.At.Retry
	}
	return out
}

// status returns the HTTP status of an answer: an error of a server is told to a
// modern client as one of ours would be.
func (x *exchange) status(answer *upstream.Answer) int {
	if x.era != mcp.Modern || answer.Outcome != auditv1.Outcome_OUTCOME_PROTOCOL_ERROR {
		return http.StatusOK
	}
	var scan mcp.Response
	if err := mcp.ScanResponse(answer.Body, mcp.Limits{}, &scan); err != nil || scan.Error.Empty() {
		return http.StatusOK
	}
	return mcp.StatusOf(scan.ErrorCode, x.era)
}

// prepareCall fills in the call, except for what begin and openState have set.
func (x *exchange) prepareCall() {
	server := x.entry.Server
	call := &x.call
	call.Server = server.Item
	call.Principal = x.in.Caller.Principal
	call.Era = x.era
	call.ClientVersion = x.record.event.ProtocolVersion
	call.Body = x.in.Body
	call.Request = &x.req
	call.Target = x.own
	call.Params = x.entry.Params
	call.Header = x.in.Header
	call.Room = x.in.Room
	if x.server == nil {
		call.URIPrefix, call.Asker = server.URIPrefix(), server.Name()
	}
	x.sink.x = x
	if x.era == mcp.Modern {
		x.prepareModern()
	} else {
		x.prepareLegacy(server)
	}
	// Also for a client that declared nothing: a server can ask it by an error.
	call.Permit = x.made.permit
}

func (x *exchange) prepareModern() {
	call := &x.call
	call.ServerInfo = x.words.serverInfo
	if raw := x.req.ClientCapabilities.Of(x.in.Body); len(raw) > len("{}") {
		// What cannot be read is not there: the server must not ask for it.
		call.Capabilities, _ = mcp.ParseCapabilities(raw)
	}
	if x.entry.Server.Era() != mcp.Modern {
		call.SessionKey = modernKey(x.in.Caller.ID, call.Capabilities)
	}
	call.SealState = x.made.sealState
}

// untoldLevel is from which level on a modern server is asked for log messages for a legacy client that has not said to
// this node what it wants. It may have told another node, and without a level the server would send none; where it has
// told nobody, the choice is ours.
const untoldLevel = "info"

// prepareLegacy names the client's own session with the server, or else whom it
// shares one with on this node: nobody. Either way the request has the id by which
// any node can cancel it, or find its answer in a stream that is resumed.
func (x *exchange) prepareLegacy(server *gate.Server) {
	call := &x.call
	call.Capabilities = x.legacy.Capabilities
	call.LogLevel = x.board.Level(x.legacy.ID) // A server that has lost the client's session is told in the next.
	if server.Era() == mcp.Modern {
		call.LogLevel = cmp.Or(call.LogLevel, untoldLevel)
	} else {
		call.SessionKey = x.sessionKey
		call.ID = handle.UpstreamID(x.text[:0], x.legacy.ID, x.id())
		if ref, ok := sessionWith(&x.legacy, server.Name()); ok {
			x.ref = ref
			call.Session = &x.ref
		}
	}
}

// sessionWith returns the session that a client has with a server of its own.
func sessionWith(session *handle.Session, server string) (upstream.SessionRef, bool) {
	for i := range session.Servers {
		if s := &session.Servers[i]; s.Server == server {
			return upstream.SessionRef{ID: s.ID, Version: s.Version}, true
		}
	}
	return upstream.SessionRef{}, false
}

// settle records the result of a call, now or, if the client is to resume it,
// later.
func (x *exchange) settle(ticket Ticket, answer *upstream.Answer) {
	if !answer.Detached {
		ticket.Result(x.ended(answer))
		x.plain = answer.Outcome == auditv1.Outcome_OUTCOME_OK && x.permits.methods[0] == "" && x.parkedAt == ""
		return
	}
	late := &late{ticket: ticket, now: x.now, received: x.in.Received, trace: x.record.event.TraceId}
	late.callID = x.record.callID
	x.detached.keep(late, serverClosed, x.config.ResumeTime)
}

// ended makes the result event: the intent has all that went before.
func (x *exchange) ended(answer *upstream.Answer) *auditv1.Event {
	r := &x.record
	now := x.now()
	setTime(&r.ended, now)
	setDuration(&r.latency, max(0, now.Sub(x.in.Received)))
	setDuration(&r.served, max(0, answer.ServerLatency))
	event := &r.result
	event.Kind = auditv1.EventKind_EVENT_KIND_RESULT
	event.CallId, event.At = r.callID[:], &r.ended
	event.Outcome = answer.Outcome
	event.Error = answer.Error
	event.Latency, event.ServerLatency = &r.latency, &r.served
	event.ResponseBytes = uint64(len(answer.Body))
	event.TraceId = r.event.TraceId
	x.failure = failureOf(answer.Outcome)
	return event
}

// failureOf returns the error_type of an outcome, empty for a success.
func failureOf(outcome auditv1.Outcome) string {
	switch outcome {
	case auditv1.Outcome_OUTCOME_OK, auditv1.Outcome_OUTCOME_INPUT_REQUIRED:
		return ""
	case auditv1.Outcome_OUTCOME_TOOL_ERROR:
		return "tool_error"
	case auditv1.Outcome_OUTCOME_PROTOCOL_ERROR:
		return "protocol_error"
	case auditv1.Outcome_OUTCOME_CANCELLED:
		return "cancelled"
	case auditv1.Outcome_OUTCOME_REFUSED:
		return kindAudit
	}
	return "server_failed"
}

// readOn goes on with a call whose server closed the stream to have it resumed,
// for a client that cannot do that itself. However often that is, the call has
// the time of one call.
func (x *exchange) readOn(ctx context.Context, before *upstream.Answer) (*upstream.Answer, error) {
	at := x.sink.last
	if before.At.EventID != "" {
		at = before.At
	}
	if at.EventID == "" || x.sink.resumed >= maxResumes {
		return x.unfinished(before, mcp.CodeBadServerAnswer, "ended its stream before the answer"), nil
	}
	x.sink.resumed++
	wait := min(max(at.Retry, minRetry), maxRetry)
	if time.Until(before.Until) <= wait {
		x.giveUp(&at)
		return x.unfinished(before, mcp.CodeTimeout, "did not finish the call in the time that one call has"), nil
	}
	if !lifetime.Sleep(ctx, wait) {
		return before, ctx.Err()
	}
	resume := x.resumption(&at)
	resume.Until = before.Until
	got, err := x.upstream.Resume(ctx, resume, &x.sink)
	if got != nil {
		got.ServerLatency += before.ServerLatency
	}
	return got, err
}

// giveUp tells the server that nobody waits for the call any more.
func (x *exchange) giveUp(at *upstream.Mark) {
	ctx, cancel := x.soon()
	defer cancel()
	if err := x.upstream.Cancel(ctx, x.call.Server, at.Session, x.call.ID, "timed out"); err != nil {
		x.log.Debug("a cancellation was not taken", "server", x.call.Server.GetName(), "error", err)
	}
}

// unfinished is the answer to a call whose server never came to its own.
func (x *exchange) unfinished(before *upstream.Answer, code int, what string) *upstream.Answer {
	text := fmt.Sprintf("server %q %s", x.call.Server.GetName(), what)
	return &upstream.Answer{
		Body:          mcp.WriteError(nil, x.id(), code, text, nil),
		Outcome:       auditv1.Outcome_OUTCOME_SERVER_FAILED,
		Error:         text,
		ServerLatency: before.ServerLatency,
	}
}

// How often, and after how long, the stream of a server is resumed here. A server
// that goes on closing it has until the call's own time is over (mcp.md 2.6:
// whatever progress it reports).
const (
	maxResumes = 1000
	minRetry   = 10 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// resumption continues the call at hand.
func (x *exchange) resumption(at *upstream.Mark) *upstream.Resume {
	call := &x.call
	return &upstream.Resume{
		Server: call.Server, Session: at.Session, EventID: at.EventID, ID: call.ID, ClientID: x.id(),
		ProgressToken: x.req.ProgressToken.Of(x.in.Body), Method: x.req.Method, Era: x.era, ClientVersion: call.ClientVersion,
		Capabilities: call.Capabilities, LogLevel: call.LogLevel, URIPrefix: call.URIPrefix, ServerInfo: call.ServerInfo, Permit: call.Permit,
	}
}
