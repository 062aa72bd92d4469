package session

import (
	"context"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// sink takes what a server says before its answer, and passes it to the client of
// an exchange. It is used by one goroutine.
type sink struct {
	x       *exchange
	last    upstream.Mark // the latest that can be resumed from
	given   int           // event ids that the client got
	resumed int
	relayed upstream.Relayed
	// origin is the event that the stream is resumed from; nil: the stream is that of
	// the request itself.
	origin *handle.Event
}

// eventLife is how long a client may take to resume a stream.
const eventLife = time.Hour

// Notification implements upstream.Sink.
func (k *sink) Notification(message []byte, at upstream.Mark) error {
	return k.send(message, &at)
}

// Prime implements upstream.Sink. Clients of older versions take an event without
// data for a broken message.
func (k *sink) Prime(at upstream.Mark) error {
	if k.x.legacy.Version < mcp.Version20251125 {
		k.see(&at)
		return nil
	}
	return k.send(nil, &at)
}

// Relay implements upstream.Sink.
func (k *sink) Relay(r *upstream.ServerRequest, at upstream.Mark) error {
	x := k.x
	if !x.client.Streams() {
		x.decline(r, errNoStream)
		return nil
	}
	message, id, err := x.relay(x.call.Server.GetName(), x.server == nil, &x.legacy, x.owner, r)
	if err != nil {
		x.decline(r, err)
		return nil
	}
	k.relayed.Add(r, id)
	return k.send(message, &at)
}

// Withdraw implements upstream.Sink. What was asked before the stream was resumed
// stands until the client has answered: the server takes no notice then.
func (k *sink) Withdraw(w *upstream.Withdrawal, at upstream.Mark) error {
	message := k.relayed.Withdraw(w)
	if message == nil {
		k.see(&at)
		return nil
	}
	return k.send(message, &at)
}

// errNoStream says that a client took no streams, and so cannot be asked.
var errNoStream = fault.New(fault.Invalid, "the client takes no event streams")

// Ask implements upstream.Sink: what the server wants is asked on the client's own
// stream, and the answer is posted to this node.
func (k *sink) Ask(ctx context.Context, method string, params []byte) ([]byte, *mcp.Error, error) {
	x := k.x
	if !x.attached || !x.client.Streams() {
		return nil, &mcp.Error{Code: mcp.CodeMethodNotFound, Text: fault.Text(errNoStream), Offset: -1}, nil
	}
	waiting := x.waits.open(x.legacy.ID)
	if waiting == nil {
		return nil, &mcp.Error{Code: mcp.CodeUnavailable, Text: "too many questions to clients are open", Offset: -1}, nil
	}
	defer x.waits.take(waiting.name, waiting.session)
	now := x.now()
	id, err := x.in.Index.Sealer().SealServerRequest(&handle.ServerRequest{
		Server: x.call.Server.GetName(), Pending: waiting.name, Node: x.node, Method: method,
		Session: x.legacy.ID, Expires: x.life(x.config.AskTime),
	}, x.owner, now)
	if err != nil {
		return nil, nil, err
	}
	if err := x.client.Send(mcp.WriteRequest(nil, mcp.AppendString(nil, id), method, params), "", 0); err != nil {
		return nil, nil, err
	}
	got, err := waiting.await(ctx, x.config.AskTime)
	return got.result, got.refused, err
}

// see remembers from where the stream can be resumed.
func (k *sink) see(at *upstream.Mark) {
	if at.EventID != "" {
		k.last = *at
	}
}

// send passes a message on. A legacy client that is gone has not cancelled its
// call: it misses what is sent meanwhile.
func (k *sink) send(message []byte, at *upstream.Mark) error {
	k.see(at)
	id := k.eventID(at)
	if id != "" {
		k.given++
	}
	err := k.x.client.Send(message, id, at.Retry)
	if k.x.attached {
		return nil
	}
	return err
}

// eventID returns the id under which a legacy client gets an event, empty if it
// cannot be resumed from there: because the server gave none, or the client takes
// no streams, or the stream is of a whole batch.
func (k *sink) eventID(at *upstream.Mark) string {
	x := k.x
	if at.EventID == "" || at.Session.ID == "" || !x.attached || x.batched || !x.client.Streams() {
		return ""
	}
	event := handle.Event{ClientID: x.id(), ProgressToken: x.req.ProgressToken.Of(x.in.Body), Method: x.req.Method}
	if k.origin != nil {
		event = *k.origin
	}
	event.Server, event.SessionID, event.Version, event.EventID = x.call.Server.GetName(), at.Session.ID, at.Session.Version, at.EventID
	event.CallID, event.Session, event.Expires = x.record.callID, x.legacy.ID, x.life(eventLife)
	id, err := x.in.Index.Sealer().SealEvent(&event, x.owner, x.now())
	if err != nil {
		x.log.Debug("an event has no id for the client", "server", x.call.Server.GetName(), "error", err)
		return ""
	}
	return id
}
