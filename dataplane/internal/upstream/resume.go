package upstream

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Resume reads the stream of a call on, of which a legacy client has lost the rest, or was told to ask for it: from after
// the event that the client got last, at the server that knows that event. What comes goes to the sink with its marks. It
// ends as Do does, with the answer, or detached again.
//
// A client that leaves does not cancel the call: it may come back.
func (p *Pool) Resume(ctx context.Context, r *Resume, sink Sink) (*Answer, error) {
	started := time.Now()
	x := &exchange{pool: p, call: r.call(), sink: sink, era: mcp.Legacy, id: r.ID}
	answer, err := x.readFrom(ctx, r)
	return x.report(ctx, answer, err, time.Since(started))
}

// call returns what the exchange has to know of the call that was made before.
func (r *Resume) call() *Call {
	id := len(r.ClientID)
	request := &mcp.Request{Method: r.Method, ID: mcp.Span{Start: 0, End: id}}
	if len(r.ProgressToken) > 0 {
		request.ProgressToken = mcp.Span{Start: id, End: id + len(r.ProgressToken)}
	}
	return &Call{
		Server: r.Server, Era: r.Era, ClientVersion: r.ClientVersion, Body: slices.Concat(r.ClientID, r.ProgressToken), Request: request,
		Capabilities: r.Capabilities, LogLevel: r.LogLevel, URIPrefix: r.URIPrefix, ServerInfo: r.ServerInfo, Permit: r.Permit,
	}
}

// readFrom is attempt for a stream that is resumed.
func (x *exchange) readFrom(ctx context.Context, r *Resume) (answer *Answer, err error) {
	if x.endpoint, err = x.pool.endpoint(r.Server); err != nil {
		return nil, err
	}
	if x.admitted, err = x.endpoint.enter(); err != nil {
		return nil, err
	}
	limits := x.endpoint.limits
	if x.asked = !r.Until.IsZero(); x.asked {
		limits.whole = max(min(orNever(limits.whole), time.Until(r.Until)), 1) // 0 is no bound
	}
	x.watch.start(ctx, limits)
	x.own.id, x.own.version = r.Session.ID, r.Session.Version
	x.lease = lease{session: &x.own, endpoint: x.endpoint}
	x.talk = conversation{endpoint: x.endpoint, watch: &x.watch, id: r.ID, session: &x.own, listener: x, last: r.EventID}
	answer, err = x.rest()
	x.settle(err)
	return answer, err
}

// rest asks for the events after the last one, and reads them.
func (x *exchange) rest() (*Answer, error) {
	fields := append(x.own.fields(x.fieldsSpace[:0]), transport.Field{Name: headerLastEvent, Value: x.talk.last})
	if err := x.talk.send(http.MethodGet, fields, nil); err != nil {
		return nil, err
	}
	if x.talk.status != http.StatusOK || !strings.EqualFold(x.talk.media(), "text/event-stream") {
		return nil, x.endpoint.fail(mcp.CodeUnavailable, nil, "server %q does not let the stream of the call be resumed (HTTP %d)", x.talk.status)
	}
	x.talk.begin()
	return x.conclude(x.talk.read())
}
