package upstream

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// maxBackground bounds the small requests that nobody waits for. When all places are taken, one more is not sent:
	// each is a courtesy that a server must be able to do without.
	maxBackground = 128

	// courtesyTimeout bounds each of them.
	courtesyTimeout = 5 * time.Second
)

// background runs courtesies: cancellations, the end of sessions, and answers to what servers may not ask.
type background struct {
	slots chan struct{}
}

// try runs do in a goroutine of its own, if there is a place.
func (b *background) try(do func(ctx context.Context)) {
	select {
	case b.slots <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-b.slots }()
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

// post sends one message that has no answer.
func (e *endpoint) post(ctx context.Context, header http.Header, message []byte) (status int, err error) {
	return e.send(e.request(ctx, http.MethodPost, header, message))
}

// send makes a request whose answer is nothing but a status.
func (e *endpoint) send(r *http.Request) (status int, err error) {
	response, err := e.transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	io.CopyN(io.Discard, response.Body, smallBuffer) // lets the connection be used again
	return response.StatusCode, nil
}

// cancelled tells a legacy server that nobody waits for the answer to a request any more. Modern servers learn it from
// the closed stream.
func (e *endpoint) cancelled(s *session, id []byte, reason string) {
	params := append([]byte(`{"requestId":`), id...)
	params = append(params, `,"reason":`...)
	params = append(mcp.AppendString(params, reason), '}')
	message := mcp.WriteRequest(nil, nil, mcp.MethodCancelled, params)
	e.pool.background.try(func(ctx context.Context) { e.post(ctx, s.header, message) })
}

// decline answers a request of a legacy server. We declared no capability that would let it ask, so everything but ping
// is a method that does not exist here.
func (e *endpoint) decline(s *session, id []byte, method string) {
	message := mcp.WriteError(nil, id, mcp.CodeMethodNotFound, "the client has no such capability", nil)
	if method == mcp.MethodPing {
		message = mcp.WriteResult(nil, id, []byte("{}"))
	}
	e.pool.background.try(func(ctx context.Context) { e.post(ctx, s.header, message) })
}

// end tells a server that a session is over, if there is one.
func (e *endpoint) end(s *session) {
	if s.id == "" {
		return
	}
	e.pool.background.try(func(ctx context.Context) {
		r := e.request(ctx, http.MethodDelete, s.header, nil)
		r.Close = true // the endpoint may be gone
		e.send(r)
	})
}
