package listener

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/socket"
)

// Socket returns a socket whose connections do for a Listener what net/http does
// not: they say that their client has gone at less cost than the context of a
// request, and send an answer in one piece. ConnContext must be that of the
// http.Server then. A Listener works without both, and over TLS it has to.
func Socket(plain net.Listener) net.Listener { return accepting{plain} }

type accepting struct{ net.Listener }

func (s accepting) Accept() (net.Conn, error) {
	accepted, err := s.Listener.Accept()
	if plain, ok := accepted.(*net.TCPConn); ok {
		return &connection{Conn: socket.New(plain)}, err
	}
	return accepted, err
}

// connectionKey is where a context has the connection of its request.
type connectionKey struct{}

// ConnContext tells the requests of a connection of it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if own, ok := c.(*connection); ok {
		return context.WithValue(ctx, connectionKey{}, own)
	}
	return ctx
}

// connection is one of a Socket.
//
// Net/http reads from it for as long as a handler runs, to learn whether the client
// is still there: over ends when that fails, which is also when net/http ends the
// context of the request.
//
// Net/http writes an answer of more than 4 KiB in two pieces. What is written
// between gather and send leaves in one: the first piece waits for the second. Both
// are called by the handler, which is the only one to write then.
type connection struct {
	*socket.Conn
	over lifetime.Lifetime

	held  *piece // nil: nothing is gathered
	large net.Buffers
	parts [2][]byte
}

// piece is what waits, as much as net/http writes at first.
type piece struct {
	bytes [4 << 10]byte
	used  int
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.over.End(nil)
	}
	return n, err
}

func (c *connection) Close() error {
	c.over.End(nil)
	return c.Conn.Close()
}

// gather begins to hold what is written back, until send.
func (c *connection) gather() {
	if c.held == nil {
		c.held = pieces.Get().(*piece)
	}
}

// send ends that, and writes what was held.
func (c *connection) send() error {
	held := c.held
	if held == nil {
		return nil
	}
	c.held = nil
	var err error
	if held.used > 0 {
		_, err = c.Conn.Write(held.bytes[:held.used])
	}
	held.giveBack()
	return err
}

func (h *piece) giveBack() {
	clear(h.bytes[:h.used]) // nobody finds another's answer in it
	h.used = 0
	pieces.Put(h)
}

func (c *connection) Write(p []byte) (int, error) {
	held := c.held
	switch {
	case held == nil || held.used == 0 && len(p) > len(held.bytes):
		return c.Conn.Write(p)
	case held.used+len(p) <= len(held.bytes):
		held.used += copy(held.bytes[held.used:], p)
		return len(p), nil
	}
	c.parts = [2][]byte{held.bytes[:held.used], p}
	c.large = c.parts[:]
	n, err := c.large.WriteTo(c.TCPConn)
	n -= int64(held.used)
	c.large, c.parts = nil, [2][]byte{}
	clear(held.bytes[:held.used])
	held.used = 0
	return int(max(0, n)), err
}
