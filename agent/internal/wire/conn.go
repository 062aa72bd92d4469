package wire

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/mcp"
)

// MaxMessage bounds one message of a server, in bytes. It is what nodes take of one.
const MaxMessage = 16 << 20

const (
	// maxCalls bounds the calls that are open on one connection.
	maxCalls = 1024
	// maxGarbage is how many lines in a row may be no message. Some servers greet on their output; one that talks
	// nothing but prose is no MCP server.
	maxGarbage = 100
)

// What a call can fail of, besides the cause that Fail was given.
var (
	// ErrStopped is the cause where the connection was ended by us.
	ErrStopped = errors.New("the server was stopped")
	// ErrOver is the cause where the server ended the session, which says nothing of its health.
	ErrOver = errors.New("the server ended the session")
	// ErrBusy means that too many calls are open. Nothing was sent.
	ErrBusy = errors.New("too many calls are open")
	// ErrGarbage means that the server answered the call with something that is no valid message.
	ErrGarbage = errors.New("the server answered with something that is not a valid MCP message")
	// ErrFull means that there was no room for the answer: the budget was spent, by answers that wait for slow readers.
	ErrFull = errors.New("the agent holds as many answers as it may, for clients that do not take theirs")
	// ErrTooLarge means that the answer was larger than MaxMessage.
	ErrTooLarge = fmt.Errorf("the server's answer was larger than %d bytes", MaxMessage)
)

// Sender hands a message to the connection. Messages are one line, and belong to it then.
type Sender interface {
	// Send waits for room in the queue, until ctx ends or the connection does. After an error nothing was sent.
	Send(ctx context.Context, message []byte) error
	// TrySend is Send that does not wait; it reports whether there was room.
	TrySend(message []byte) bool
}

// Message is one that the server sent unasked: a request of its own, or a notification that no call asked for.
type Message struct {
	Body []byte
	Scan mcp.Response
}

// Hearer takes such messages, one after the other, from the goroutine that reads the connection. It must not block, and
// may keep the message.
type Hearer interface{ Hear(m *Message) }

// Conn is one connection. Receive and Oversize belong to the goroutine that reads it; all else may be used from many.
type Conn struct {
	sender Sender
	hearer Hearer
	budget *budget.Budget
	prefix string // of our ids: nobody can guess it, and it is nowhere by chance
	next   atomic.Uint64
	stray  atomic.Uint64

	garbage int

	mu     sync.Mutex
	calls  map[string]*Call // by our raw id
	failed error
}

// New returns a connection that sends by sender. What it keeps for its callers counts for budget, which may be nil.
func New(sender Sender, hearer Hearer, budget *budget.Budget) *Conn {
	return &Conn{sender: sender, hearer: hearer, budget: budget, prefix: "w" + rand.Text()[:12] + "-", calls: make(map[string]*Call)}
}

// Busy is how many calls are open.
func (c *Conn) Busy() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// Stray is how many messages of the server were nobody's: answers to what was cancelled or never asked, progress of
// what is over, and what is no message.
func (c *Conn) Stray() uint64 { return c.stray.Load() }

// Begin sends a request, and returns the call that waits for its answer, and is to be released. Body and req, its scan, must not change while
// the call is open. After an error nothing was sent, or the connection failed before.
func (c *Conn) Begin(ctx context.Context, body []byte, req *mcp.Request) (*Call, error) {
	call := &Call{
		conn: c, Method: req.Method, Box: NewBox(c.budget), done: make(chan struct{}),
		own:      []byte(`"` + c.prefix + strconv.FormatUint(c.next.Add(1), 10) + `"`),
		clientID: bytes.Clone(req.ID.Of(body)), LogLevel: !req.LogLevel.Empty(),
	}
	edits := []mcp.Edit{{Span: req.ID, With: call.own}}
	if !req.ProgressToken.Empty() {
		call.token = bytes.Clone(req.ProgressToken.Of(body))
		edits = append(edits, mcp.Edit{Span: req.ProgressToken, With: call.own})
		if req.ProgressToken.Start < req.ID.Start {
			edits[0], edits[1] = edits[1], edits[0]
		}
	}
	if err := c.add(call); err != nil {
		return nil, err
	}
	if err := c.sender.Send(ctx, line(mcp.Splice(make([]byte, 0, len(body)+64), body, edits...))); err != nil {
		c.remove(call)
		return nil, err
	}
	return call, nil
}

func (c *Conn) add(call *Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failed != nil:
		return c.failed
	case len(c.calls) >= maxCalls:
		return ErrBusy
	}
	c.calls[string(call.own)] = call
	return nil
}

// remove forgets a call and reports whether it was open.
func (c *Conn) remove(call *Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[string(call.own)] != call {
		return false
	}
	delete(c.calls, string(call.own))
	return true
}

// take forgets the call with this raw id and returns it, or nil.
func (c *Conn) take(own []byte) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.calls[string(own)]
	delete(c.calls, string(own))
	return call
}

// find returns the call with this raw id, or nil.
func (c *Conn) find(own []byte) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[string(own)]
}

// Send sends a notification, or the answer to a request of the server, as it is.
func (c *Conn) Send(ctx context.Context, body []byte) error {
	return c.sender.Send(ctx, line(bytes.Clone(body)))
}

// Tell is Send for whoever must not wait. A message that finds no room is lost; it reports whether there was.
func (c *Conn) Tell(body []byte) bool { return c.sender.TrySend(line(body)) }

// line makes a message one line, which is how connections frame them.
func line(message []byte) []byte {
	if bytes.IndexByte(message, '\n') < 0 && bytes.IndexByte(message, '\r') < 0 {
		return message
	}
	return mcp.AppendCompact(make([]byte, 0, len(message)), message)
}

// Fail ends all calls with err, and all that come later. The first error counts.
func (c *Conn) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return
	}
	c.failed = err
	for _, call := range c.calls {
		call.end(nil, err)
	}
	clear(c.calls)
}
