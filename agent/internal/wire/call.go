package wire

import (
	"context"
	"sync"

	"github.com/warder-gateway/warder/internal/mcp"
)

// Call is a request that waits for its answer.
type Call struct {
	Method   string
	LogLevel bool // the request asks for log messages, as modern ones can
	Box      *Box // what the server says before it answers, with the caller's own id and token

	conn     *Conn
	own      []byte // our raw id, and progress token
	clientID []byte // the caller's raw id
	token    []byte // the caller's raw progress token; nil: none
	done     chan struct{}
	answer   []byte
	refused  bool // the answer is an error
	code     int
	err      error

	mu       sync.Mutex
	held     int // bytes of the answer that count for the budget
	released bool
}

// ID returns the caller's raw id.
func (c *Call) ID() []byte { return c.clientID }

// Done is closed when there is an answer, or none will come.
func (c *Call) Done() <-chan struct{} { return c.done }

// Answer returns the answer, once Done is closed: the server's bytes with the caller's id, or why there is none.
func (c *Call) Answer() ([]byte, error) { return c.answer, c.err }

// Refused reports whether the answer is an error, once Done is closed. Its code may be any, also 0.
func (c *Call) Refused() bool { return c.refused }

// ErrorCode returns the code of an answer that is an error, once Done is closed, and else 0.
func (c *Call) ErrorCode() int { return c.code }

// Wait waits for the answer. If ctx ends first, the call is cancelled.
func (c *Call) Wait(ctx context.Context) ([]byte, error) {
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		c.Cancel("")
		return nil, context.Cause(ctx)
	}
}

// Cancel gives the call up and tells the server so, if the call is open. A late answer is dropped. Reason is for people
// and may be empty.
func (c *Call) Cancel(reason string) {
	if !c.conn.remove(c) {
		return
	}
	c.end(nil, context.Canceled)
	if c.Method == mcp.MethodInitialize {
		return // The protocol has it that this one is never cancelled.
	}
	c.conn.Tell(c.cancellation(reason))
}

// Quit asks the server to end the call, which stays open: for whoever must know that it is over. Not all servers answer a
// call that was cancelled. After an error nothing was sent.
func (c *Call) Quit(ctx context.Context, reason string) error {
	return c.conn.Send(ctx, c.cancellation(reason))
}

// cancellation returns the notice that cancels the call.
func (c *Call) cancellation(reason string) []byte {
	params := append([]byte(`{"requestId":`), c.own...)
	if reason != "" {
		params = mcp.AppendString(append(params, `,"reason":`...), reason)
	}
	return mcp.WriteNotification(nil, mcp.MethodCancelled, append(params, '}'))
}

// Release gives up what is kept for the call, once its answer was passed on or nobody wants it. It may be called again.
func (c *Call) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.budget.Give(c.held)
	c.held, c.released = 0, true
	c.Box.Close()
}

// answered settles the call with an answer, if there is room for it.
func (c *Call) answered(answer []byte) {
	c.mu.Lock()
	held := c.released || c.conn.budget.Hold(len(answer))
	if held && !c.released {
		c.held = len(answer)
	}
	c.mu.Unlock()
	if !held {
		c.end(nil, ErrFull)
		return
	}
	c.end(answer, nil)
}

// end settles the call. It is called once, by whoever took it out of the open ones.
func (c *Call) end(answer []byte, err error) {
	c.answer, c.err = answer, err
	close(c.done)
}
