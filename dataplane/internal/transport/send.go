package transport

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
)

const (
	// patience is how long writing a large body may make no progress before the server is asked whether it has answered
	// already.
	patience = 250 * time.Millisecond
	// earlyAnswer is how long an answer may take of a server that stopped reading the request.
	earlyAnswer = 100 * time.Millisecond
)

// send writes the request, in one system call if the network takes it whole. Sent says whether any of it may have
// reached the server. A server that answers and stops reading is no error.
func (c *conn) send(ctx context.Context, r *Request) (sent bool, err error) {
	c.early = false
	b := r.appendHead(c.src.buf.bytes[:0], &c.owner.origin)
	if len(b)+len(r.Body) <= cap(b) {
		b = append(b, r.Body...)
		turns.Gather()
		n, err := c.net.Write(b)
		if err != nil && n > 0 {
			return true, c.answeredEarly(err)
		}
		return n > 0, err
	}
	return c.sendLarge(ctx, b, r.Body)
}

// sendLarge writes head and body without copying them together.
func (c *conn) sendLarge(ctx context.Context, head, body []byte) (sent bool, err error) {
	c.parts = [2][]byte{head, body}
	c.large = c.parts[:]
	defer func() { c.large, c.parts = nil, [2][]byte{} }()
	for {
		c.bound(c.net.SetWriteDeadline, time.Now().Add(patience))
		n, err := c.large.WriteTo(c.net)
		sent = sent || n > 0
		switch {
		case err == nil:
			c.bound(c.net.SetWriteDeadline, time.Time{})
			return true, nil
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			if c.readable() {
				c.early = true
				return true, nil
			}
		case sent:
			return true, c.answeredEarly(err)
		default:
			return false, err
		}
	}
}

// bound sets a deadline, unless the connection was aborted.
func (c *conn) bound(set func(time.Time) error, t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted {
		t = past
	}
	set(t)
}

// readable reports whether the server has said something, or has closed the connection. What it said is in the buffer,
// where the request's head was: nothing is read before that was written.
func (c *conn) readable() bool {
	if len(c.large) > 1 {
		return false
	}
	c.now = true
	err := c.src.fill()
	c.now = false
	c.bound(c.net.SetReadDeadline, time.Time{})
	return !errors.Is(err, errNotYet)
}

// answeredEarly returns nil if the server, which has stopped reading, has answered, and else the error of writing.
func (c *conn) answeredEarly(err error) error {
	c.early = true
	c.bound(c.net.SetReadDeadline, time.Now().Add(earlyAnswer))
	if c.src.fill() != nil {
		return err
	}
	c.bound(c.net.SetReadDeadline, time.Time{})
	return nil
}
