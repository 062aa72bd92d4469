package upstream

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// codeLegacyRefusal is what servers made with the older SDKs say, with HTTP 400, to a session or version that they do
// not know.
const codeLegacyRefusal = -32000

// exchange is one call on its way through the pool. It belongs to one goroutine.
type exchange struct {
	pool     *Pool
	endpoint *endpoint
	call     *Call
	sink     Sink
	watch    watch

	era     mcp.Era  // of the server
	session *session // with a legacy server; nil for a modern one
	id      []byte   // of our request
	idSpace [20]byte
	asked   bool // the request may have reached the server
	handed  bool // the watch has been taken over by what finishes the stream
}

// run makes the call.
func (x *exchange) run(ctx context.Context) (*Answer, error) {
	started := time.Now()
	answer, err := x.attempt(ctx)
	latency := time.Since(started)
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
func (x *exchange) attempt(ctx context.Context) (*Answer, error) {
	var err error
	if x.endpoint, err = x.pool.endpoint(x.call.Server); err != nil {
		return nil, err
	}
	e := x.endpoint
	if e.url == nil {
		return nil, e.fail(mcp.CodeUnavailable, nil, "the registered address of server %q is not an http or https URL")
	}
	if !e.enter() {
		return nil, e.fail(mcp.CodeUnavailable, nil, "server %q has as many calls in flight as it may have (%d); try again in a moment", x.pool.config.InFlight)
	}
	defer e.leave()
	x.watch.start(ctx, &x.pool.config)
	answer, err := x.speak()
	if !x.handed {
		x.watch.close()
	}
	return answer, err
}

// speak makes the call in the server's era. A server that refuses the version of the modern era has not executed the
// call, and is spoken to as a legacy one from then on: some answer discover in an era in which they do not serve.
func (x *exchange) speak() (*Answer, error) {
	var err error
	if x.era, err = x.endpoint.era(x.watch.ctx); err != nil {
		return nil, err
	}
	if x.era == mcp.Modern {
		answer, err := x.modern()
		if !errors.Is(err, errVersionRefused) {
			return answer, err
		}
		x.endpoint.downgraded.Store(true)
		x.era = mcp.Legacy
	}
	answer, again, err := x.legacy()
	if again {
		answer, _, err = x.legacy()
	}
	return answer, err
}

// modern makes a call to a server of the modern era: everything it needs to know is in the request.
func (x *exchange) modern() (*Answer, error) {
	header := x.endpoint.headerWith(4 + len(x.call.Header))
	header[mcp.HeaderVersion] = []string{mcp.Version20260728}
	header[mcp.HeaderMethod] = []string{mcp.MethodToolsCall}
	// Servers made with the Go SDK up to 1.8.0 compare the sentinel form as it stands and refuse such names with -32020;
	// only names with characters outside printable ASCII need it.
	header[mcp.HeaderName] = []string{mcp.EncodeHeaderValue(x.call.Tool)}
	x.addParams(header)
	x.addTrace(header)
	return x.converse(header, mcp.MetaRewrite{
		Era: mcp.Modern, ProtocolVersion: mcp.Version20260728, ClientInfo: x.pool.clientInfo,
	}, nil)
}

// addParams passes the Mcp-Param-* headers of a modern client on. Those of a legacy client mean nothing: nobody has
// held them to the body (mcp.md E3).
func (x *exchange) addParams(header http.Header) {
	if x.call.Era != mcp.Modern {
		return
	}
	for name, values := range x.call.Header {
		if strings.HasPrefix(name, mcp.HeaderParamPrefix) {
			header[name] = values
		}
	}
}

func (x *exchange) addTrace(header http.Header) {
	if x.call.TraceParent != "" {
		header[headerTraceParent] = []string{x.call.TraceParent}
	}
}

// legacy makes a call within a session. If the server says that it does not know the session, the call was not executed,
// and again is true: the next try opens a new one. After the second time it is a failure.
func (x *exchange) legacy() (answer *Answer, again bool, err error) {
	lease, err := x.pool.sessions.acquire(x.watch.ctx, x.endpoint, x.call.Principal)
	if err != nil {
		return nil, false, x.endpoint.explain(x.watch.ctx, err)
	}
	defer lease.release()
	retried := x.session != nil
	x.session = lease.session
	header := lease.header
	if x.call.TraceParent != "" {
		header = header.Clone()
		x.addTrace(header)
	}
	answer, err = x.converse(header, mcp.MetaRewrite{Era: mcp.Legacy}, &lease)
	if errors.Is(err, errSessionLost) {
		if !retried {
			return nil, true, nil
		}
		return nil, false, x.endpoint.fail(mcp.CodeBadServerAnswer, err, "server %q forgets each session at once")
	}
	return answer, false, err
}

// Why a server did not execute a call, so that it may be made again.
var (
	errSessionLost    = errors.New("the server does not know the session")
	errVersionRefused = errors.New("the server does not serve this version")
)

// converse sends the call and makes an answer of the response.
func (x *exchange) converse(header http.Header, meta mcp.MetaRewrite, lease *lease) (*Answer, error) {
	x.id = x.pool.nextID(x.idSpace[:0])
	meta.TraceParent = x.call.TraceParent
	meta.ProgressToken = x.id // unique, as the protocol demands; hear gives the client its own back
	body := make([]byte, 0, len(x.call.Body)+x.hopRoom())
	body = mcp.RewriteCall(body, x.call.Body, x.call.Request, x.id, x.call.Tool, meta)

	c := conversation{endpoint: x.endpoint, watch: &x.watch, id: x.id, listener: x}
	x.asked = true
	message, err := c.ask(header, body)
	if lease != nil {
		if lost := x.checkSession(&c, lease, err); lost != nil {
			c.close()
			return nil, lost
		}
	}
	if err == nil {
		err = x.refuseAnswer(&c)
	}
	if errors.Is(err, errVersionRefused) || c.status == 0 {
		c.close()
		return nil, err
	}
	x.handed = true
	defer c.finish()
	if err != nil {
		return nil, err
	}
	return x.translate(&c, message), nil
}

// hopRoom is how many bytes the request may gain by what it says of our hop: an estimate that saves copying.
func (x *exchange) hopRoom() int {
	if x.era == mcp.Modern {
		return 320 + len(x.call.Tool) + len(x.pool.clientInfo)
	}
	return 96 + len(x.call.Tool)
}

// checkSession looks whether a legacy server has lost the session, which means that the call was not executed. HTTP 404
// says so. The older SDKs say it with HTTP 400, a code of their own and no id: they look for the session before they look
// at the message, and whoever has run a request knows its id. With an id, or without a session, it may mean anything: the
// next call gets a new session, this one is over.
func (x *exchange) checkSession(c *conversation, lease *lease, err error) error {
	switch {
	case c.status == http.StatusNotFound && lease.id != "":
		lease.lost()
		return errSessionLost
	case c.status == http.StatusBadRequest && err == nil && c.scan.ErrorCode == codeLegacyRefusal:
		lease.lost()
		if lease.id != "" && nullID(c.scan.ID.Of(c.buffer.bytes)) {
			return errSessionLost
		}
		return x.endpoint.fail(mcp.CodeUnavailable, nil, "server %q refused the session that Warder has with it; call again to open a new one")
	}
	return nil
}

// refuseAnswer finds what a client cannot be given: what the server says to us as its client, and results that continue
// a conversation for which we declared no capability.
func (x *exchange) refuseAnswer(c *conversation) error {
	e := x.endpoint
	switch {
	case c.scan.ErrorCode == mcp.CodeUnsupportedVersion && x.era == mcp.Modern:
		return errVersionRefused
	case c.scan.ErrorCode == mcp.CodeHeaderMismatch:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q found the headers of the request at odds with its body; its tools may have changed")
	case x.era != mcp.Modern:
		return nil
	case c.scan.ResultType == mcp.ResultInputRequired:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q asks for input in the middle of the call, which Warder does not carry yet")
	case c.scan.ResultType == mcp.ResultTask:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q turned the call into a task, which Warder does not carry yet")
	}
	return nil
}

// translate makes the answer for the client.
func (x *exchange) translate(c *conversation, message []byte) *Answer {
	clientID := x.call.Request.ID.Of(x.call.Body)
	answer := &Answer{Outcome: outcomeOK}
	switch {
	case !c.scan.Error.Empty():
		answer.Outcome = outcomeProtocolError
		answer.Error = x.endpoint.fail(c.scan.ErrorCode, nil, "server %q answered with JSON-RPC error %d", c.scan.ErrorCode).text
	case c.scan.IsError:
		answer.Outcome = outcomeToolError
		answer.Error = x.endpoint.fail(0, nil, "the tool of server %q reported an error").text
	}
	room := len(message) + len(clientID) + 32
	answer.Body = mcp.RewriteResult(make([]byte, 0, room), message, &c.scan, clientID, x.era, x.call.Era)
	return answer
}

// failed makes the answer for a call that the server did not answer.
func (x *exchange) failed(err error, latency time.Duration) *Answer {
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
	x.cancelUpstream("the client went away")
	return x.answerError(mcp.CodeUnavailable, errClientGone.Error(), nil, outcomeCancelled, latency), cause
}

func (x *exchange) answerError(code int, text string, data []byte, outcome auditv1.Outcome, latency time.Duration) *Answer {
	return &Answer{
		Body:          mcp.WriteError(nil, x.call.Request.ID.Of(x.call.Body), code, text, data),
		Outcome:       outcome,
		Error:         text,
		ServerLatency: latency,
	}
}

// cancelUpstream tells a legacy server that nobody waits any more, if it may have the request.
func (x *exchange) cancelUpstream(reason string) {
	if x.asked && x.session != nil {
		x.endpoint.cancelled(x.session, x.id, reason)
	}
}
