package listener

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/socket"
)

// restAfter is how long a connection is quiet between two requests before it rests.
const restAfter = time.Second

// Most of the time, most clients say nothing: whoever uses one thinks. Net/http keeps two
// buffers of 4 KiB for such a connection, and a goroutine whose stack has served a
// request. So a connection that was quiet for restAfter is taken out of its hands, and
// given back as a new one when there is something to read:
//
//	Accept ──▶ net/http serves ──quiet──▶ its read fails, it closes ──▶ rests ──readable──▶ Accept
//	                                                                      └── its client leaves, idle time is over, server ends ──▶ closed
//
// accepting is the socket of such connections. At rest there may be as many as net/http
// would hold idle, for as long.
type accepting struct {
	net.Listener
	rest     resting
	begin    sync.Once
	accepted chan accepted
}

// accepted is what the socket below came with.
type accepted struct {
	conn net.Conn
	err  error
}

func newAccepting(plain net.Listener) *accepting {
	return &accepting{
		Listener: plain, accepted: make(chan accepted),
		rest: resting{after: restAfter, conns: make(map[*socket.Conn]struct{}), woken: make(chan *socket.Conn), over: make(chan struct{})},
	}
}

// Accept returns who comes, and who comes back.
func (s *accepting) Accept() (net.Conn, error) {
	s.begin.Do(func() { go s.pump() })
	select {
	case a := <-s.accepted:
		if plain, ok := a.conn.(*net.TCPConn); ok {
			return newConnection(socket.New(plain), &s.rest), a.err
		}
		return a.conn, a.err
	case c := <-s.rest.woken:
		return newConnection(c, &s.rest), nil
	case <-s.rest.over:
		return nil, net.ErrClosed
	}
}

// pump accepts from the socket below, until Close.
func (s *accepting) pump() {
	for {
		conn, err := s.Listener.Accept()
		select {
		case s.accepted <- accepted{conn, err}:
		case <-s.rest.over:
			if conn != nil {
				_ = conn.Close() // Nobody serves it.
			}
			return
		}
	}
}

// Close implements net.Listener. What rests is closed with it, as an http.Server does
// with what is idle.
func (s *accepting) Close() error {
	err := s.Listener.Close()
	s.rest.end()
	return err
}

// resting are the connections at rest of one socket.
type resting struct {
	after time.Duration
	mu    sync.Mutex
	conns map[*socket.Conn]struct{}
	ended bool
	woken chan *socket.Conn // those that have something to read
	over  chan struct{}     // closed at the end
}

// take lets a connection rest until a time, or reports that it is too late for that.
func (r *resting) take(c *socket.Conn, until time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.conns[c] = struct{}{}
	go r.watch(c, until)
	return true
}

// watch waits until there is something to read. It is all that a connection at rest has.
func (r *resting) watch(c *socket.Conn, until time.Time) {
	err := c.SetReadDeadline(until)
	if err == nil {
		err = c.Await()
	}
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	if err != nil {
		_ = c.Close() // Its client has gone, or was quiet for too long.
		return
	}
	select {
	case r.woken <- c:
	case <-r.over:
		_ = c.Close()
	}
}

// end closes all that rests, and lets nothing rest any more.
func (r *resting) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	close(r.over)
	for c := range r.conns {
		_ = c.Close() // There is nobody to tell.
	}
}

// idleness tells when net/http waits for the next request on a connection, and has
// nothing of it yet: only then it may rest. It goes by what net/http does, in this order:
//
//	ConnState(StateIdle)          the answer is out
//	SetReadDeadline(idle time)
//	Read(its whole buffer)        or a smaller part, if it has bytes of the request
//	SetReadDeadline               the request has begun
//
// All of that is done by the one goroutine that serves the connection. What it does in
// another order does no harm: the connection does not rest.
type idleness struct {
	at    *resting // nil: it never rests
	phase phase
	whole int       // size of net/http's buffer, which is empty when it reads first
	until time.Time // end of the idle time

	mu    sync.Mutex
	rests bool // it is quiet, and net/http will close it
	given bool // it is another's now
}

type phase byte

const (
	busy phase = iota
	answered
	waiting
)

// tellState tells a connection when its answer is out.
func tellState(c net.Conn, state http.ConnState) {
	if own, ok := c.(*connection); ok && state == http.StateIdle && own.idle.at != nil && socket.CanAwait {
		own.idle.phase = answered
	}
}

// bound shortens the time of the first read that waits for a request.
func (i *idleness) bound(t time.Time) time.Time {
	switch i.phase {
	case answered:
		i.phase, i.until = waiting, t
		if soon := time.Now().Add(i.at.after); t.IsZero() || soon.Before(t) {
			return soon
		}
	case waiting:
		i.phase = busy
	case busy:
	}
	return t
}

// heard notes a read of so many bytes at most that brought some.
func (i *idleness) heard(room int) {
	if i.whole == 0 {
		i.whole = room
	}
	if i.phase == waiting {
		i.phase = busy
	}
}

// goesOn is asked when the time of a read is over, and reports whether it was cut short
// and must go on. If not so, and nothing of a request is there, the connection rests.
func (i *idleness) goesOn(room int) bool {
	if i.phase != waiting || !i.until.IsZero() && !time.Now().Before(i.until) {
		return false
	}
	i.phase = busy
	if room != i.whole {
		return true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rests = true
	return false
}

// rest is asked when net/http closes the connection, and reports that it must stay open.
// Net/http may close it twice, when its server ends.
func (i *idleness) rest(c *socket.Conn) bool {
	if i.at == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rests && !i.given {
		i.given = i.at.take(c, i.until)
	}
	return i.given
}
