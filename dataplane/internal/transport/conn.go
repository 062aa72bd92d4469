package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/socket"
)

// conn is a connection of our own client. It belongs to one call, or to the pool; only its abort may be called by others.
type conn struct {
	owner *Transport
	net   net.Conn
	src   source
	head  head
	body  body

	hook    lifetime.Hook // aborts when the call's context ends
	onAbort func()        // abort, made once
	mu      sync.Mutex
	aborted bool
	early   bool // the answer came before the request was written whole

	peek  peek
	probe [1]byte
	now   bool // Read does not wait
	large net.Buffers
	parts [2][]byte

	// Of an idle one.
	since time.Time
	keep  time.Duration
}

func newConn(owner *Transport, connection net.Conn) *conn {
	if tcp, ok := connection.(*net.TCPConn); ok {
		connection = socket.New(tcp)
	}
	c := &conn{owner: owner, net: connection}
	c.src.from = c
	c.onAbort = c.abort
	c.peek.prepare(connection)
	return c
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// abort ends what the connection waits for, now and from now on.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	c.net.SetDeadline(past)
}

// errNoBytes is in the chain when the server closed the connection, or lost it, before it answered.
var errNoBytes = errors.New("the server closed the connection before it answered")

// exchange sends a request and reads the head of its answer. If it fails, the connection is closed.
func (c *conn) exchange(ctx context.Context, r *Request) (*Response, *Error) {
	c.src.buf = newBuffer(r.Quiet)
	c.src.base, c.src.r, c.src.w = 0, 0, 0
	c.hook.Watch(ctx, c.onAbort)
	sent, err := c.send(ctx, r)
	if err == nil {
		err = c.receive()
	}
	if err != nil {
		c.discard()
		return nil, &Error{Sent: sent, Err: causeOf(ctx, err)}
	}
	c.body.begin(&c.head, r.Method)
	c.head.closing = c.head.closing || c.body.phase == until
	a := r.Room.answer()
	*a = answer{conn: c, ctx: ctx}
	a.response = Response{Status: c.head.status, ContentLength: c.contentLength(r.Method), Body: a, exchange: a}
	return &a.response, nil
}

func (c *conn) contentLength(method string) int64 {
	if c.head.bodyless(method) {
		return 0
	}
	return c.head.length
}

// receive reads the head of the answer.
func (c *conn) receive() error {
	err := c.src.readHead(&c.head)
	if errors.Is(err, io.EOF) {
		if c.src.buffered() == 0 {
			return fmt.Errorf("%w: %w", errNoBytes, err)
		}
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read is for the source.
func (c *conn) Read(p []byte) (int, error) {
	if c.now {
		return c.peek.read(c.net, p)
	}
	return c.net.Read(p)
}

// finish gives the connection up after an answer. With patience, the end of its body may be missing.
func (c *conn) finish(patient bool) {
	usable := c.hook.Stop() && !c.early && c.head.reusable()
	if usable && c.body.phase != ended && patient {
		usable = c.readBuffered()
	} else {
		usable = usable && c.body.phase == ended && c.src.buffered() == 0
	}
	// An answer without a body that announces one may be followed by it.
	usable = usable && !(c.head.status == 204 && (c.head.chunked || c.head.length > 0))
	if !usable {
		c.discard()
		return
	}
	c.since, c.keep = time.Now(), c.head.keep
	if c.body.phase == ended {
		c.dropBuffer()
	}
	c.owner.pool.put(c)
}

// readBuffered reads what is there of the end of a body, without waiting. It reports whether the rest may yet come.
func (c *conn) readBuffered() bool {
	if c.src.buffered() == 0 {
		return true
	}
	return c.readEnd() != errOdd
}

var (
	errOdd    = errors.New("the connection cannot be used again")
	errNotYet = errors.New("nothing to read at the moment")
)

// readEnd reads to the end of a body that was left, without waiting: nil if it is there and nothing follows, errNotYet,
// or errOdd.
func (c *conn) readEnd() error {
	c.now = true
	err := c.body.discard(&c.src, maxRemainder)
	c.now = false
	switch {
	case err == nil && c.src.buffered() == 0:
		c.dropBuffer()
		return nil
	case errors.Is(err, errNotYet):
		return errNotYet
	}
	return errOdd
}

// maxRemainder bounds, in bytes, what is read of a body that nobody wants.
const maxRemainder = 64 << 10

// dropBuffer gives the buffer up, if there is one.
func (c *conn) dropBuffer() {
	if c.src.buf == nil {
		return
	}
	c.src.buf.release()
	c.src.buf = nil
	c.src.base, c.src.r, c.src.w = 0, 0, 0
}

// discard closes the connection for good.
func (c *conn) discard() {
	c.hook.Stop()
	c.net.Close()
	c.dropBuffer()
}
