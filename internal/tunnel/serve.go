package tunnel

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Handler serves the streams that the other end opens.
type Handler interface {
	// Serve answers one request; what it has answered when it returns is the whole answer. It is called in a goroutine of its own. ctx
	// ends with the stream, at the deadline that came with it, and with Run; Serve must return soon then. The request, and what was
	// read of its body, are not used after it has returned.
	Serve(ctx context.Context, r *Incoming, w Answer)
}

// Answer is how a Handler answers. Its methods may be called by one goroutine at a time, while another reads the request. They fail if the
// stream is over: then nobody waits for the answer.
type Answer interface {
	// Head sends status and header, once and before all else. A handler that returns without having called it resets the stream with
	// FAILED. The bounds are those of Request; ErrInvalid says that they are broken, and that nothing was sent.
	Head(status int, header []Field) error
	// Write sends a piece of the body. It waits until that is sent, or fits into what is kept here. The bytes are not used after it
	// has returned.
	Write(piece []byte) (int, error)
	// Reply is Head and Write at once, which costs less if there is but one piece.
	Reply(status int, header []Field, body []byte) error
	// Reset ends the stream at once: with REFUSED if nothing was done for it, and FAILED if the answer cannot go on. The reason is for
	// the log of the other end. It is ignored if the stream is over.
	Reset(code tunnelv1.ResetCode, reason string)
}

// Incoming is a request that the other end made. Nothing of it was checked, but that strings are UTF-8 and the method is one of those.
type Incoming struct {
	Server, Agent, Errand, Method string
	// Caller is for whom the request is, in at most 32 bytes; see Open in proto/warder/tunnel/v1. Empty: for the gateway itself.
	Caller []byte
	Header []Field
	// Body is never nil. Its errors are io.EOF or of type *Error.
	Body io.Reader

	body body
}

// ReadAll reads what is left of the body. It fails with ErrTooLarge if that is more than limit bytes, and with budget.ErrFull if Config.Bodies
// has no room for it. What it returns is good, and counts for Config.Bodies, until Serve returns; so does what came before it failed.
func (r *Incoming) ReadAll(limit int) ([]byte, error) { return r.body.all(limit) }

// takeRequest makes the request of an Open.
func (s *stream) takeRequest(f *frame) {
	words := f.texts()
	r := &s.request
	r.Server, r.Agent, r.Errand = words.next(f.server), words.next(f.agent), words.next(f.errand)
	r.Method = methodOf(f.method)
	r.Caller = s.callerSpace[:copy(s.callerSpace[:], f.caller)]
	r.Header = words.header(f.fields)
	r.body.s = s
	r.Body = io.Reader(&r.body)
}

func methodOf(b []byte) string {
	switch string(b) {
	case "POST":
		return "POST"
	case "GET":
		return "GET"
	case "DELETE":
		return "DELETE"
	}
	return ""
}

// serve runs the handler of a stream. One that panics takes down its stream alone.
func (t *Tunnel) serve(ctx context.Context, s *stream) {
	defer t.handlers.Done()
	defer func() {
		if panicked := recover(); panicked != nil {
			t.config.Log.Error("handler of a tunnel's stream panicked", "server", s.request.Server, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
			s.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "")
		}
		s.served()
	}()
	s.request.body.ctx = ctx
	t.config.Handler.Serve(ctx, &s.request, s)
}
