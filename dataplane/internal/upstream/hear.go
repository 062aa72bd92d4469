package upstream

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	"github.com/warder-gateway/warder/internal/mcp"
)

// hear takes what the server says before its answer. Progress and log messages go to the client, with the client's own
// token; what a legacy server asks goes to the client, if it may.
func (x *exchange) hear(message []byte, scan *mcp.Response, at Mark) error {
	x.heard = true
	switch {
	case !scan.IsNotification():
		if x.era == mcp.Legacy {
			return x.asks(message, scan, at)
		}
		return nil // a modern server must not ask, and has no way to be answered
	case listChanged(scan.Method):
		x.endpoint.changed()
		return x.skip(at)
	case x.sink == nil:
		return nil
	case scan.Method == mcp.MethodCancelled && x.era == mcp.Legacy && x.call.Era == mcp.Legacy:
		if err := x.sink.Withdraw(&Withdrawal{Message: message, Scan: scan}, at); err != nil {
			return x.gone()
		}
		return nil
	case scan.Method == mcp.MethodProgress:
		return x.progress(message, scan, at)
	case scan.Method == mcp.MethodMessage && x.wantsLog(message, scan), scan.Method == methodElicited && x.call.Era == mcp.Legacy:
		if x.may() {
			return x.notify(message, at)
		}
		return nil
	}
	return x.skip(at)
}

// prime takes an event that has an id, or a time to wait, and no message.
func (x *exchange) prime(at Mark) error {
	if x.sink == nil || x.call.Era != mcp.Legacy {
		return nil
	}
	if !x.may() {
		x.late.place = at
		return nil
	}
	return x.passPlace(at)
}

func (x *exchange) passPlace(at Mark) error {
	x.late.place = Mark{}
	if err := x.sink.Prime(at); err != nil {
		return x.gone()
	}
	return nil
}

// skip passes on where the stream stands when a message is not for the client.
func (x *exchange) skip(at Mark) error {
	if at.EventID == "" {
		return nil
	}
	return x.prime(at)
}

// methodElicited says, in 2025-11-25, that what a client was sent to a URL for is done.
const methodElicited = "notifications/elicitation/complete"

// listChanged reports whether a notification says that a server offers something else than before.
func listChanged(method string) bool {
	switch method {
	case mcp.MethodToolsChanged, mcp.MethodPromptsChanged, mcp.MethodResourcesChanged:
		return true
	}
	return false
}

// levels are those of a log, by severity.
var levels = map[string]int{
	"debug": 0, "info": 1, "notice": 2, "warning": 3, "error": 4, "critical": 5, "alert": 6, "emergency": 7,
}

// level returns from which level on the client wants log messages; empty if it does not say.
func (x *exchange) level() string {
	if x.call.LogLevel != "" || x.call.Request.LogLevel.Empty() {
		return x.call.LogLevel
	}
	level, err := mcp.String(x.call.Request.LogLevel.Of(x.call.Body))
	if err != nil {
		return ""
	}
	return level
}

// wantsLog reports whether the client may get a log message: a modern one only if the call asked for messages of that
// level. A legacy one has told the server by itself.
func (x *exchange) wantsLog(message []byte, scan *mcp.Response) bool {
	if x.call.Era == mcp.Legacy {
		return true
	}
	wanted := x.level()
	if wanted == "" {
		return false
	}
	level, err := mcp.String(scan.Level.Of(message))
	severity, known := levels[level]
	return err != nil || !known || severity >= levels[wanted]
}

// progress holds the progress of one request to what the protocol says of it.
type progress struct {
	last  float64
	token []byte // of last, raw
}

// advances reports whether a raw number is a step forward, and notes it.
func (p *progress) advances(token []byte) bool {
	value, err := strconv.ParseFloat(string(token), 64)
	if err != nil {
		return false
	}
	if p.token != nil && (value < p.last || bytes.Equal(token, p.token)) {
		return false
	}
	p.last, p.token = value, append(p.token[:0], token...)
	return true
}

// progress passes a progress notification on, with the client's token in place of ours. One with another token is not
// about this call, and one that goes back is of no use.
func (x *exchange) progress(message []byte, scan *mcp.Response, at Mark) error {
	own := x.call.Request.ProgressToken
	if own.Empty() || !bytes.Equal(scan.ProgressToken.Of(message), x.id) || !x.steps.advances(rawMember(scan.Params.Of(message), "progress")) {
		return x.skip(at)
	}
	rewritten := newBuffer()
	defer rewritten.release()
	rewritten.bytes = mcp.RewriteNotification(rewritten.bytes, message, scan, &mcp.Note{ProgressToken: own.Of(x.call.Body)})
	if !x.may() {
		if len(rewritten.bytes) <= maxLate {
			x.late = late{progress: append(x.late.progress[:0], rewritten.bytes...), at: at}
		}
		return nil
	}
	x.late.progress = x.late.progress[:0] // there is a newer one
	return x.notify(rewritten.bytes, at)
}

// errSink says that the client can no longer be written to.
var errSink = errors.New("the client went away")

// notify passes a message to the client.
func (x *exchange) notify(message []byte, at Mark) error {
	x.late.place = Mark{} // the client learns of a later one
	if err := x.sink.Notification(message, at); err != nil {
		return x.gone()
	}
	return nil
}

// gone ends the call because the client is gone. The server's stream is cut at once, which tells a modern server to stop.
func (x *exchange) gone() error {
	x.watch.End(errClientGone)
	return errSink
}

// asks takes a request of a legacy server. What the client cannot do, or what is not permitted, the server is told at
// once; it may go on without.
func (x *exchange) asks(message []byte, scan *mcp.Response, at Mark) error {
	id, params := scan.ID.Of(message), scan.Params.Of(message)
	if refusal := x.refuses(scan.Method, params); refusal != nil {
		return x.answerServer(refusal(bytes.Clone(id)), at)
	}
	if x.call.Era == mcp.Modern {
		return x.parks(id, scan.Method, params, at)
	}
	request := ServerRequest{Session: x.lease.ref(), ID: id, Method: scan.Method, Message: message, Scan: scan}
	if err := x.sink.Relay(&request, at); err != nil {
		return x.gone()
	}
	return nil
}

// refuses returns what makes the answer to a request of a legacy server that does not go to the client; nil if it does.
func (x *exchange) refuses(method string, params []byte) func(id []byte) []byte {
	url := method == mcp.MethodElicit && mcp.URLMode(params)
	switch {
	case method == mcp.MethodPing:
		return func(id []byte) []byte { return mcp.WriteResult(nil, id, []byte("{}")) }
	case url && !x.call.Capabilities.Allows(method, true) && x.call.Capabilities.Allows(method, false):
		return refusal(mcp.CodeInvalidParams, "the client has no such mode of elicitation")
	case !x.call.Capabilities.Allows(method, url), x.sink == nil && x.call.Era == mcp.Legacy:
		return refusal(mcp.CodeMethodNotFound, "the client has no such capability")
	case x.call.Permit == nil || x.call.Permit(method, params) != nil:
		return refusal(mcp.CodeDenied, "a policy does not permit to ask the client for this")
	}
	return nil
}

func refusal(code int, text string) func(id []byte) []byte {
	return func(id []byte) []byte { return mcp.WriteError(nil, id, code, text, nil) }
}

// answerServer posts an answer of our own without waiting for it: the server's stream is read on meanwhile.
func (x *exchange) answerServer(message []byte, at Mark) error {
	e, s := x.endpoint, x.lease.session
	e.courtesy(func(ctx context.Context) { e.tell(ctx, s, message) })
	return x.skip(at)
}
