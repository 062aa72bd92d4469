package httpserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// held gives connections on only when it is let: as if the server were busy while clients connect.
type held struct {
	net.Listener
	let chan struct{}
}

func (h held) Accept() (net.Conn, error) {
	<-h.let
	return h.Listener.Accept()
}

// TestWhoHasConnectedIsServedBeforeTheEnd connects clients that nobody accepts until the server is told to
// leave: all of them are answered, and whoever comes after it is refused.
func TestWhoHasConnectedIsServedBeforeTheEnd(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backlog := NewBacklog(plain.(*net.TCPListener))
	socket := held{backlog, make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()

	var answered atomic.Int64
	var clients sync.WaitGroup
	const count = 20
	connected := make(chan struct{}, count)
	for range count {
		clients.Go(func() {
			conn, err := net.Dial("tcp", plain.Addr().String())
			connected <- struct{}{}
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
				t.Error(err)
				return
			}
			if text, err := io.ReadAll(conn); err == nil && len(text) > 0 {
				answered.Add(1)
			}
		})
	}
	for range count {
		<-connected
	}
	left := make(chan struct{})
	go func() { backlog.Leave(); close(left) }()
	for !backlog.leaving.Load() {
		time.Sleep(time.Millisecond)
	}
	close(socket.let)
	<-left
	if conn, err := net.Dial("tcp", plain.Addr().String()); err == nil {
		conn.Close()
		t.Error("somebody connected after the end")
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	clients.Wait()
	if n := answered.Load(); n != count {
		t.Errorf("%d of %d clients were answered", n, count)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the server ended with %v", err)
	}
}

// TestABacklogThatIsClosedAtOnceIsAnyListener holds the ways without Leave.
func TestABacklogThatIsClosedAtOnceIsAnyListener(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backlog := NewBacklog(plain.(*net.TCPListener))
	accepted := make(chan error, 1)
	go func() { _, err := backlog.Accept(); accepted <- err }()
	if err := backlog.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ends with %v", err)
	}
	backlog.Leave() // Nothing is left to wait for.
}
