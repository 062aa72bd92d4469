package upstream

import (
	"bytes"
	"errors"

	"github.com/warder-gateway/warder/internal/mcp"
)

// hear takes what the server says before its answer. Progress and log messages go to the client, with the client's own
// token; other notifications concern our session with the server, not the client's with us.
func (x *exchange) hear(message []byte, scan *mcp.Response) error {
	switch {
	case !scan.IsNotification():
		if x.session != nil {
			x.endpoint.decline(x.session, bytes.Clone(scan.ID.Of(message)), scan.Method)
		}
		return nil // a modern server must not ask, and has no way to be answered
	case x.sink == nil:
		return nil
	case scan.Method == mcp.MethodProgress:
		return x.progress(message, scan)
	case scan.Method == mcp.MethodMessage && x.wantsLog():
		return x.notify(message)
	}
	return nil
}

// wantsLog reports whether the client may get log messages: a modern one only if the call asked for them.
func (x *exchange) wantsLog() bool {
	return x.call.Era == mcp.Legacy || !x.call.Request.LogLevel.Empty()
}

// progress passes a progress notification on, with the client's token in place of ours. One with another token is not
// about this call.
func (x *exchange) progress(message []byte, scan *mcp.Response) error {
	own := x.call.Request.ProgressToken
	if own.Empty() || scan.Params.Empty() {
		return nil
	}
	token, err := memberOf(message, scan.Params, "progressToken")
	if err != nil || !bytes.Equal(token.Of(message), x.id) {
		return nil
	}
	rewritten := newBuffer()
	defer rewritten.release()
	rewritten.bytes = mcp.Splice(rewritten.bytes, message, mcp.Edit{Span: token, With: own.Of(x.call.Body)})
	return x.notify(rewritten.bytes)
}

// memberOf returns where in message the member of an object stands; the object's span is given.
func memberOf(message []byte, object mcp.Span, name string) (found mcp.Span, err error) {
	err = mcp.Members(object.Of(message), func(member string, value mcp.Span) error {
		if member == name {
			found = mcp.Span{Start: object.Start + value.Start, End: object.Start + value.End}
		}
		return nil
	})
	return found, err
}

// errSink says that the client can no longer be written to.
var errSink = errors.New("the client went away")

// notify passes a message to the client. If that fails, the server's stream is cut at once, which tells a modern server
// to stop.
func (x *exchange) notify(message []byte) error {
	if err := x.sink.Notification(message); err != nil {
		x.watch.cancel(errClientGone)
		return errSink
	}
	return nil
}
