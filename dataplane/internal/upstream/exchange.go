package upstream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// exchange is one call on its way through the pool. It belongs to one goroutine, or to the table of parked calls.
//
//	run ──▶ attempt ──▶ speak ──▶ modern ──▶ converse ──▶ conclude ──▶ Answer
//	                      │  └──▶ legacy ──┘    │  ▲          │
//	                      └ errOtherEra: once   │  │          └ input_required to a legacy client: ask it, converse again
//	                                            ▼  │ resume
//	                                          parked: a legacy server asks a modern client
type exchange struct {
	pool     *Pool
	endpoint *endpoint
	call     *Call
	sink     Sink
	watch    watch
	admitted admission

	era    mcp.Era // of the server
	own    session // the client's own, if it has one
	lease  lease   // with a legacy server
	id     []byte  // of our request
	asked  bool    // the request may have reached the server
	heard  bool    // the server said something before its answer
	over   bool    // nobody else knows of the exchange any more
	talk   conversation
	steps  progress
	pace   pace
	late   late
	inputs holding // of the server's budget: what it asks of a legacy client, and what that answers

	wanted    *question            // what a legacy server asks of a modern client, while that is asked
	questions int                  // that it has asked
	place     string               // where the exchange is to be parked; empty: nowhere
	caller    string               // whose place that is
	owner     *principal.Principal // who asked when it was parked
	reopens   int                  // of a stream, without anything new in it

	idSpace     [20]byte
	fieldsSpace [12]transport.Field
}

// run makes the call.
func (x *exchange) run(ctx context.Context) (*Answer, error) {
	started := time.Now()
	answer, err := x.attempt(ctx)
	return x.report(ctx, answer, err, time.Since(started))
}

// report makes what Do returns of how an attempt ended.
func (x *exchange) report(ctx context.Context, answer *Answer, err error, latency time.Duration) (*Answer, error) {
	switch {
	case err == nil:
		answer.ServerLatency = latency
		return answer, nil
	case ctx.Err() != nil:
		return x.abandoned(context.Cause(ctx), latency)
	case errors.Is(err, errSink):
		return x.abandoned(err, latency)
	}
	return x.failed(err, latency), nil
}

// attempt returns what the server answered, or why it did not.
func (x *exchange) attempt(ctx context.Context) (answer *Answer, err error) {
	if x.endpoint, err = x.pool.endpoint(x.call.Server); err != nil {
		return nil, err
	}
	if x.admitted, err = x.endpoint.enter(); err != nil {
		return nil, err
	}
	x.watch.start(ctx, x.endpoint.limits)
	answer, err = x.speak()
	x.settle(err)
	return answer, err
}

// settle gives back what the exchange holds, or parks it. In either case the caller is done with it, but for reporting
// an error.
func (x *exchange) settle(err error) {
	x.admitted.settle(verdictOf(err))
	x.endpoint.leave()
	if x.place != "" {
		x.call, x.sink = nil, nil
		x.pool.parked.put(x, x.place)
		return
	}
	x.talk.close()
	x.lease.release()
	x.inputs.release()
	quiet := x.watch.close()
	x.over = quiet && err == nil && !x.heard && !x.talk.resumed && x.ownConnection()
}

// ownConnection reports whether the call went over a connection of which nothing is left running: what net/http does in
// the background may know of the watch for longer than the call lasts.
func (x *exchange) ownConnection() bool {
	return x.endpoint.carrier.Plain() && (x.talk.session == nil || x.talk.session.line == nil)
}

// verdictOf says what an error shows of a server's health. Whatever was answered, somebody answered.
func verdictOf(err error) verdict {
	f, ok := errors.AsType[*failure](err)
	switch {
	case err == nil, ok && f.code == mcp.CodeBadServerAnswer:
		return alive
	case ok && f.dead:
		return dead
	}
	return inconclusive
}

// speak makes the call in the server's era. A server that shows to speak the other one has not executed the call, and is
// spoken to in that from then on.
func (x *exchange) speak() (*Answer, error) {
	for turned := false; ; turned = true {
		var err error
		if x.era, err = x.endpoint.era(&x.watch); err != nil {
			return nil, err
		}
		var answer *Answer
		if x.era == mcp.Modern {
			answer, err = x.modern()
		} else {
			answer, err = x.legacy()
		}
		if !errors.Is(err, errOtherEra) {
			return answer, err
		}
		if turned {
			return nil, x.endpoint.fail(mcp.CodeBadServerAnswer, err, "server %q speaks another protocol version each time")
		}
		x.endpoint.turns(x.era)
	}
}

// Why a server did not execute a call, so that it may be made again.
var (
	errSessionLost   = errors.New("the server does not know the session")
	errHeadersAtOdds = errors.New("the server found the headers at odds with the body")
)

// converse sends the call and makes an answer of what comes back.
func (x *exchange) converse(fields []transport.Field, hop *mcp.Hop) (*Answer, error) {
	x.id = x.call.ID
	if x.id == nil || x.era == mcp.Modern { // whose retries need new ids
		x.id = x.pool.nextID(x.idSpace[:0])
	}
	hop.ID = x.id
	hop.Meta.Era = x.era
	hop.Meta.TraceParent = x.call.TraceParent
	hop.Meta.ProgressToken = x.id // unique, as the protocol demands; hear gives the client its own back
	x.aim(hop)
	if x.call.TraceParent != "" {
		fields = append(fields, transport.Field{Name: headerTraceParent, Value: x.call.TraceParent})
	}
	body := newBuffer()
	defer body.release()
	body.bytes = mcp.RewriteRequest(body.bytes, x.call.Body, x.call.Request, hop)

	x.talk = conversation{endpoint: x.endpoint, watch: &x.watch, id: x.id, session: x.lease.session, caller: x.endpoint.caller(x.call.Principal), listener: x}
	x.steps, x.late = progress{}, late{}
	x.asked = true
	x.talk.admitted = &x.admitted
	return x.conclude(x.talk.ask(fields, body.bytes))
}

// aim puts the server's own name or URI where the method has one.
func (x *exchange) aim(hop *mcp.Hop) {
	switch r := x.call.Request; {
	case r.Method == mcp.MethodToolsCall, r.Method == mcp.MethodPromptsGet, r.Method == mcp.MethodComplete && !r.RefNameSpan.Empty():
		hop.Name = x.call.Target
	default:
		hop.URI = x.call.Target
	}
}

// conclude makes an answer of how a conversation went. A stream that ended too early goes on for as long as the server
// lets it; one that waits for the client is parked.
func (x *exchange) conclude(message []byte, err error) (*Answer, error) {
	for errors.Is(err, errDetached) {
		if err = x.catchUp(); err != nil {
			break
		}
		if x.call.Era == mcp.Legacy && x.talk.session.id != "" {
			return x.detached(), nil
		}
		message, err = x.readOn()
	}
	if err == nil || errors.Is(err, errPark) {
		if gone := x.catchUp(); gone != nil {
			err = gone
		}
	}
	if errors.Is(err, errPark) {
		return x.park()
	}
	if x.era == mcp.Legacy {
		err = x.checkSession(err)
	}
	if err == nil {
		err = x.checkAnswer()
	}
	if err != nil {
		x.talk.close()
		return nil, err
	}
	if x.era == mcp.Modern && x.talk.scan.ResultType == mcp.ResultInputRequired {
		return x.inputRequired(message)
	}
	if x.talk.scan.ErrorCode == mcp.CodeURLElicitationRequired {
		return x.sendsAway(message)
	}
	defer x.talk.finish()
	return x.translate(message)
}

// checkAnswer finds what a client cannot be given: what the server says to us as its client, and results that continue
// in a way that we did not declare. With HTTP 400, and in the first answer, a refusal of the version or of the headers
// means that the call was not executed.
func (x *exchange) checkAnswer() error {
	scan, e := &x.talk.scan, x.endpoint
	refused := x.talk.status == http.StatusBadRequest && !x.talk.resumed
	switch {
	case scan.ErrorCode == mcp.CodeUnsupportedVersion && refused:
		return errOtherEra
	case scan.ErrorCode == mcp.CodeHeaderMismatch && refused && x.era == mcp.Modern:
		return errHeadersAtOdds
	case scan.ErrorCode == mcp.CodeHeaderMismatch && x.era == mcp.Modern:
		return e.headersAtOdds()
	case x.era == mcp.Modern && scan.ResultType == mcp.ResultTask:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q turned the call into a task, which Warder does not carry")
	}
	return nil
}

func (e *endpoint) headersAtOdds() *failure {
	return e.fail(mcp.CodeBadServerAnswer, nil, "server %q found the headers of the request at odds with its body; its tools may have changed")
}

// translate makes the answer for the client.
func (x *exchange) translate(message []byte) (*Answer, error) {
	answer := x.call.Room.answer()
	answer.Outcome, answer.At = outcomeOK, x.talk.at
	switch scan := &x.talk.scan; {
	case !scan.Error.Empty():
		answer.Outcome = outcomeProtocolError
		answer.Error = x.endpoint.fail(scan.ErrorCode, nil, "server %q answered with JSON-RPC error %d", scan.ErrorCode).text
	case scan.IsError:
		answer.Outcome = outcomeToolError
		answer.Error = x.endpoint.fail(0, nil, "the tool of server %q reported an error").text
	}
	return answer, x.rewrite(answer, message, nil)
}

// rewrite gives an answer a response as the client gets it. State takes the place of the server's, if it is not nil.
func (x *exchange) rewrite(answer *Answer, message, state []byte) error {
	reply := mcp.Reply{
		ID: x.clientID(), From: x.era, To: x.call.Era, Method: x.call.Request.Method,
		URIPrefix: x.call.URIPrefix, Asker: x.call.Asker, ServerInfo: x.call.ServerInfo, RequestState: state,
	}
	room := len(message) + len(reply.ID) + len(state) + len(reply.ServerInfo) + 128
	if !x.talk.fits(room) {
		return x.endpoint.overBudget()
	}
	answer.Body = x.call.Room.filled(mcp.RewriteResponse(x.call.Room.body(room), message, &x.talk.scan, &reply))
	answer.hold = x.talk.hold.move()
	answer.hold.resize(cap(answer.Body))
	return nil
}

func (x *exchange) clientID() []byte { return x.call.Request.ID.Of(x.call.Body) }

// failed makes the answer for a call that the server did not answer.
func (x *exchange) failed(err error, latency time.Duration) *Answer {
	if refusal, ok := errors.AsType[*clientError](err); ok {
		return x.refused(refusal, latency)
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{code: mcp.CodeInternal, text: fault.Text(err), cause: err}
	}
	if f.code == mcp.CodeTimeout {
		x.cancelUpstream("timed out")
	}
	x.pool.config.Log.Debug("call failed", "server", x.call.Server.GetName(), "reason", f)
	return x.answerError(f.code, f.text, f.data, outcomeServerFailed, latency)
}

// abandoned ends a call whose client is gone, and tells the server.
func (x *exchange) abandoned(cause error, latency time.Duration) (*Answer, error) {
	x.cancelUpstream(string(errClientGone))
	return x.answerError(mcp.CodeUnavailable, string(errClientGone), nil, outcomeCancelled, latency), cause
}

func (x *exchange) answerError(code int, text string, data []byte, outcome auditv1.Outcome, latency time.Duration) *Answer {
	return &Answer{
		Body:          mcp.WriteError(nil, x.clientID(), code, text, data),
		Outcome:       outcome,
		Error:         text,
		ServerLatency: latency,
	}
}

// cancelUpstream tells a legacy server that nobody waits any more, if it may have the request.
func (x *exchange) cancelUpstream(reason string) {
	if x.asked && x.era == mcp.Legacy && x.lease.session != nil {
		x.endpoint.cancelled(x.lease.session, x.id, reason)
	}
}
