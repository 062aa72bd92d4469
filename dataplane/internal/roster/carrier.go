package roster

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Carrier carries requests to one server of an agent, wherever that is attached. It is an upstream.Carrier.
type Carrier struct {
	roster        *Roster
	agent, server string
}

// Carrier returns that of a server which an agent has.
func (r *Roster) Carrier(server *snapshotv1.Server) *Carrier {
	return &Carrier{roster: r, agent: server.GetAgent(), server: server.GetName()}
}

// Plain is false: until a streamed answer is closed, its tunnel watches the context of the call.
func (c *Carrier) Plain() bool { return false }

// CloseIdle does nothing: tunnels are the agent's.
func (c *Carrier) CloseIdle() {}

// Do makes a request, as transport.Transport does. The time that it may take is not told to the agent, because it stands
// still while a person is asked; its end is, at once.
func (c *Carrier) Do(ctx context.Context, q *transport.Request) (*transport.Response, error) {
	if err := q.Check(); err != nil {
		return nil, &transport.Error{Err: err}
	}
	if q.Path != "" {
		return nil, &transport.Error{Err: transport.ErrInvalidRequest} // An agent knows the address of its server alone.
	}
	if ctx.Err() != nil {
		return nil, &transport.Error{Err: context.Cause(ctx)}
	}
	common := q.Common.Fields()
	header := make([]tunnel.Field, 0, len(common)+len(q.Header))
	for _, f := range common {
		header = append(header, tunnel.Field(f))
	}
	for _, f := range q.Header {
		header = append(header, tunnel.Field(f))
	}
	request := &tunnel.Request{Server: c.server, Method: q.Method, Header: header, Body: q.Body}
	if q.Caller != (transport.Caller{}) {
		request.Caller = q.Caller[:]
	}
	response, err := c.roster.do(ctx, c.agent, request)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return transport.NewResponse(response.Status, response.ContentLength, &exchange{c, ctx, response}), nil
}

// explain makes an error of a Transport of one of a tunnel, with a text for clients.
func (c *Carrier) explain(ctx context.Context, err error) error {
	sent := true
	if failed, ok := errors.AsType[*tunnel.Error](err); ok {
		sent = failed.Sent
	}
	var text string
	switch {
	case ctx.Err() != nil, fault.KindOf(err) == fault.Unavailable, errors.Is(err, tunnel.ErrInvalid):
		return &transport.Error{Sent: sent, Err: err}
	case errors.Is(err, tunnel.ErrLost) && sent:
		text = "the connection to agent %q was lost before the answer was complete"
	case errors.Is(err, tunnel.ErrFull):
		text = "agent %q has as many calls in flight as it may have"
	case sent:
		text = "agent %q has no whole answer of it"
	default:
		text = "agent %q is not connected, or takes no calls at the moment"
	}
	return &transport.Error{Sent: sent, Err: fault.Wrap(fault.Unavailable, strings.Replace(text, "%q", quoted(c.agent), 1), err)}
}

// quoted puts a name into quotes; names of agents have nothing that needs escapes.
func quoted(name string) string { return `"` + name + `"` }

// exchange is an answer that comes through a tunnel.
type exchange struct {
	carrier  *Carrier
	ctx      context.Context
	response *tunnel.Response
}

// Read implements transport.Exchange.
func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.response.Body.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, x.carrier.explain(x.ctx, err)
}

// Close implements transport.Exchange.
func (x *exchange) Close() error { return x.response.Body.Close() }

// Finish implements transport.Exchange. To give up a stream costs nothing that is worth waiting for.
func (x *exchange) Finish() { x.response.Body.Close() }

// Header implements transport.Exchange.
func (x *exchange) Header(name string) string {
	for _, f := range x.response.Header {
		if strings.EqualFold(f.Name, name) {
			return strings.Trim(f.Value, " \t")
		}
	}
	return ""
}
