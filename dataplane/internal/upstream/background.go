package upstream

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// maxBackground bounds the small requests that nobody waits for, and maxCourtesies those to one server, so that one
	// that does not take them keeps none from the others. When all places are taken, one more is not sent: each is a
	// courtesy that a server must be able to do without.
	maxBackground = 1024
	maxCourtesies = 64

	// courtesyTimeout bounds each of them.
	courtesyTimeout = 5 * time.Second

	// maxRemainder bounds, in bytes, what is read of a body that nobody wants, so that its connection can be used again.
	maxRemainder = 4 << 10
)

// background runs courtesies: cancellations, the end of sessions, and refusals of what servers may not ask.
type background struct {
	slots chan struct{}
}

// courtesy runs do, which is about the endpoint's server, in a goroutine of its own, if there is a place.
func (e *endpoint) courtesy(do func(ctx context.Context)) {
	slots := e.pool.background.slots
	if e.courtesies.Add(1) > maxCourtesies {
		e.courtesies.Add(-1)
		return
	}
	select {
	case slots <- struct{}{}:
	default:
		e.courtesies.Add(-1)
		return
	}
	go func() {
		defer func() {
			e.courtesies.Add(-1)
			<-slots
		}()
		ctx, cancel := context.WithTimeout(context.Background(), courtesyTimeout)
		defer cancel()
		do(ctx)
	}()
}

// wait returns when nothing runs, or ctx ends. Nothing may be started any more.
func (b *background) wait(ctx context.Context) {
	taken := 0
	defer func() {
		for range taken {
			<-b.slots
		}
	}()
	for ; taken < cap(b.slots); taken++ {
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// tell posts a message that has no answer: a notification, or the answer to a request of the server. All errors are
// failures.
func (e *endpoint) tell(ctx context.Context, s *session, message []byte) error {
	if s.line != nil {
		if err := s.line.tell(ctx, message); err != nil {
			return e.explain(ctx, err)
		}
		return nil
	}
	var space [3]transport.Field
	status, err := e.send(ctx, &transport.Request{Method: http.MethodPost, Common: e.post, Header: s.fields(space[:0]), Body: message})
	if err != nil {
		return e.explain(ctx, err)
	}
	if status < 200 || status >= 300 {
		return e.refusal(status, "")
	}
	return nil
}

// send makes a request whose answer is nothing but a status.
func (e *endpoint) send(ctx context.Context, r *transport.Request) (status int, err error) {
	response, err := e.carrier.Do(ctx, r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.ContentLength != 0 {
		io.CopyN(io.Discard, response.Body, maxRemainder)
	}
	return response.Status, nil
}

// cancelled tells a legacy server that nobody waits for the answer to a request any more. Modern servers learn it from
// the closed stream.
func (e *endpoint) cancelled(s *session, id []byte, reason string) {
	message := cancellation(id, reason)
	e.courtesy(func(ctx context.Context) { e.tell(ctx, s, message) })
}

// cancellation returns notifications/cancelled for a raw id.
func cancellation(id []byte, reason string) []byte {
	params := append([]byte(`{"requestId":`), id...)
	params = append(params, `,"reason":`...)
	params = append(mcp.AppendString(params, reason), '}')
	return mcp.WriteNotification(nil, mcp.MethodCancelled, params)
}

// end tells a server that a session is over, if there is one.
func (e *endpoint) end(s *session) {
	switch {
	case s.line != nil:
		s.line.close()
	case s.id != "":
		e.courtesy(func(ctx context.Context) {
			e.send(ctx, &transport.Request{Method: http.MethodDelete, Common: e.get, Header: s.fields(nil)})
		})
	}
}
