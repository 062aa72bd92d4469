package httpserver

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lull is for how long nobody must have connected, so many times in a row, for a backlog to
	// be looked at: on a busy machine the last packet of a handshake takes its time.
	lull  = 2 * time.Millisecond
	lulls = 3
	// patience bounds how long a backlog is emptied: of a server that more and more clients
	// connect to, it never is.
	patience = 200 * time.Millisecond
)

// Backlog is a TCP listener that can be left in order. Clients that have connected and were
// not accepted yet are reset when a listener is closed: where a plain balancer of connections
// learns that a server stops by its closed socket, those calls would be lost.
//
// Leave accepts whom the kernel has let in, and closes the socket. The server goes on serving
// whom it accepted; its Serve ends when it closes the Backlog, as Shutdown does. What connects
// between the last look and the close, some microseconds, is reset all the same.
type Backlog struct {
	*net.TCPListener
	leaving atomic.Bool
	since   time.Time     // when it began to leave; set before leaving
	told    chan struct{} // closed once Accept was woken for it
	left    chan struct{} // closed with the socket
	closed  chan struct{} // closed by Close
	leave   func()
	end     func() error
}

// NewBacklog returns a Backlog of a listener, which is its own from then on.
func NewBacklog(l *net.TCPListener) *Backlog {
	b := &Backlog{TCPListener: l, told: make(chan struct{}), left: make(chan struct{}), closed: make(chan struct{})}
	b.leave = sync.OnceFunc(func() {
		b.since = time.Now()
		b.leaving.Store(true)
		_ = l.SetDeadline(b.since) // Whoever waits in Accept looks what to do; a closed one does anyhow.
		close(b.told)
	})
	b.end = sync.OnceValue(func() error {
		close(b.closed)
		return l.Close()
	})
	return b
}

// Accept implements net.Listener, for one goroutine.
func (b *Backlog) Accept() (net.Conn, error) {
	if !b.leaving.Load() {
		conn, err := b.TCPListener.Accept()
		if err == nil || !b.leaving.Load() {
			return conn, err
		}
	}
	if conn := b.remaining(); conn != nil {
		return conn, nil
	}
	<-b.closed
	return nil, net.ErrClosed
}

// remaining returns who connected before the end; nil when there is nobody left, and the socket closed.
func (b *Backlog) remaining() net.Conn {
	<-b.told // Its deadline must not be set after the one below.
	select {
	case <-b.left:
		return nil
	default:
	}
	// Of a goroutine that does not run for as long as its deadline, Accept says that it is late,
	// whoever waits.
	for n := 0; time.Since(b.since) < patience && (n < lulls || waits(b.TCPListener)); n++ {
		if b.SetDeadline(time.Now().Add(lull)) != nil {
			break
		}
		if conn, err := b.TCPListener.Accept(); err == nil {
			return conn
		}
	}
	_ = b.TCPListener.Close() // It may be closed already.
	close(b.left)
	return nil
}

// Leave waits until the socket is closed, for a second at most. There must be a goroutine in
// Accept, as while a server serves. It may be called more than once.
func (b *Backlog) Leave() {
	b.leave()
	select {
	case <-b.left:
	case <-b.closed:
	case <-time.After(time.Second): // Nobody accepts; Close will do.
	}
}

// Close implements net.Listener.
func (b *Backlog) Close() error {
	err := b.end()
	if b.leaving.Load() {
		return nil // It is closed, or was in part.
	}
	return err
}
