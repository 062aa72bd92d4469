package listener

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/memfile"
	"github.com/warder-gateway/warder/dataplane/internal/socket"
)

// Socket prepares a server for a Listener, and returns the socket that it is to serve
// from. Its connections do what net/http does not: they say that their client has gone
// at less cost than the context of a request, send an answer in one piece, and take
// little memory while their client says nothing. The server must have neither
// ConnContext nor ConnState. A Listener works without all this, and over TLS it has to.
func Socket(server *http.Server, plain net.Listener) net.Listener {
	server.ConnContext, server.ConnState = tellRequest, tellState
	return newAccepting(plain)
}

// connectionKey is where a context has the connection of its request.
type connectionKey struct{}

// tellRequest tells the requests of a connection of it.
func tellRequest(ctx context.Context, c net.Conn) context.Context {
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
// Net/http writes an answer of more than 4 KiB in two pieces or three. What is written
// between gather and send leaves in one: the pieces wait for each other. A large one
// that lies in a file of memory (package memfile) is not copied. Both are
// called by the handler, which is the only one to write then, and which does not
// touch what it wrote before send returns.
type connection struct {
	*socket.Conn
	over lifetime.Lifetime
	held *piece // nil: nothing is gathered
	idle idleness
}

// piece is what waits: copies of what is short, since net/http uses its buffers again,
// and what is longer than those by itself.
type piece struct {
	bytes [buffered + room]byte
	used  int // of bytes
	from  int // where the copies begin that are in no part yet
	parts [5][]byte
	count int
	large net.Buffers // of the parts, while they are written

	source *memfile.Source // of one of the parts, perhaps; nil: of none
}

const (
	// buffered is how much net/http writes of its own memory at most, in bytes.
	buffered = 4 << 10
	// room is for the end of an answer, in bytes: that of a list has a cursor.
	room = 1 << 10
)

var pieces = sync.Pool{New: func() any { return new(piece) }}

// newConnection returns one that rests where the others of its socket do; nil: it never does.
func newConnection(c *socket.Conn, at *resting) *connection {
	return &connection{Conn: c, idle: idleness{at: at}}
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.idle.goesOn(len(p)) {
		// Net/http has bytes of the next request, and waits for the others.
		_ = c.Conn.SetReadDeadline(c.idle.until)
		n, err = c.Conn.Read(p)
	}
	switch {
	case err == nil:
		c.idle.heard(len(p))
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.over.End(nil)
	}
	return n, err
}

// SetReadDeadline implements net.Conn.
func (c *connection) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(c.idle.bound(t))
}

// Close implements net.Conn. One that goes to rest stays open.
func (c *connection) Close() error {
	c.over.End(nil)
	if c.idle.rest(c.Conn) {
		return nil
	}
	return c.Conn.Close()
}

// gather begins to hold what is written back, until send. What a source has of it is
// sent from there; it may be nil.
func (c *connection) gather(source *memfile.Source) {
	if c.held == nil {
		c.held = pieces.Get().(*piece)
		c.held.source = source
	}
}

// send ends that, and writes what was held. A connection of which nobody can say how
// much was written is closed.
func (c *connection) send() error {
	held := c.held
	if held == nil {
		return nil
	}
	c.held = nil
	err := held.writeTo(c.Conn)
	held.source = nil
	if err != nil {
		_ = c.Close() // There is an error to tell already.
	}
	pieces.Put(held)
	return err
}

func (c *connection) Write(p []byte) (int, error) {
	held := c.held
	if held == nil {
		return c.Conn.Write(p)
	}
	if !held.take(p) {
		if err := held.writeTo(c.Conn); err != nil {
			return 0, err
		}
		if !held.take(p) {
			return c.Conn.Write(p)
		}
	}
	return len(p), nil
}

// take keeps p until it is written, or reports that there is no room.
func (h *piece) take(p []byte) bool {
	if len(p) <= buffered {
		if h.used+len(p) > len(h.bytes) {
			return false
		}
		h.used += copy(h.bytes[h.used:], p)
		return true
	}
	if h.count+3 > len(h.parts) { // with the copies before it, and those after
		return false
	}
	h.cut()
	h.parts[h.count] = p
	h.count++
	return true
}

// cut makes the copies since the last part a part.
func (h *piece) cut() {
	if h.used > h.from {
		h.parts[h.count] = h.bytes[h.from:h.used]
		h.count++
		h.from = h.used
	}
}

// writeTo writes all that was taken, and forgets it.
func (h *piece) writeTo(c *socket.Conn) error {
	h.cut()
	err := h.writeParts(c)
	clear(h.bytes[:h.used]) // nobody finds another's answer in it
	clear(h.parts[:])
	h.used, h.from, h.count, h.large = 0, 0, 0, nil
	return err
}

// writeParts sends the part that the source lends a file for from there, with the one before it, and copies the others.
func (h *piece) writeParts(c *socket.Conn) error {
	parts := h.parts[:h.count]
	for i, part := range parts {
		file, at := h.source.Lend(part)
		if file == nil {
			continue
		}
		first, before := parts[:max(i-1, 0)], []byte(nil)
		if i > 0 {
			before = parts[i-1]
		}
		if err := h.copyParts(c, first); err != nil {
			return err
		}
		if err := c.WriteLent(before, part, file, at); err != nil {
			return err
		}
		return h.copyParts(c, parts[i+1:])
	}
	return h.copyParts(c, parts)
}

// copyParts writes parts of the heap, all at once.
func (h *piece) copyParts(c *socket.Conn, parts [][]byte) (err error) {
	switch len(parts) {
	case 0:
	case 1:
		_, err = c.Write(parts[0])
	default:
		h.large = parts
		_, err = h.large.WriteTo(c.TCPConn)
	}
	return err
}
