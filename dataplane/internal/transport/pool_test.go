package transport

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/socket"
)

func TestAServerThatClosesAfterSomeRequestsCausesNoErrorIfItSaysSo(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) {
		if s.n == 3 {
			return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false
		}
		return plain, true
	})
	tr := transportTo(t, server.url)
	for range 30 {
		if _, err := call(t, tr); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.connections.Load(); n != 10 {
		t.Errorf("%d connections", n)
	}
}

// TestAConnectionThatTheServerClosedWhenIdleIsNotUsed is what Node does after five seconds.
func TestAConnectionThatTheServerClosedWhenIdleIsNotUsed(t *testing.T) {
	closed := make(chan struct{})
	server := serve(t, func(s *step) (string, bool) {
		io.WriteString(s.conn, plain)
		s.conn.Close()
		closed <- struct{}{}
		return "", false
	})
	tr := transportTo(t, server.url)
	for i := range 20 {
		done := make(chan error)
		go func() { _, err := call(t, tr); done <- err }()
		<-closed
		if err := <-done; err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		await(t, "an end to be seen", func() bool { return !tr.pool.idle[0].alive(time.Now().Add(probeAge)) })
		tr.pool.idle[0].since = time.Now().Add(-probeAge) // a probe is due
	}
	if n := server.connections.Load(); n != 20 || server.requests.Load() != 20 {
		t.Errorf("%d connections, %d requests", n, server.requests.Load())
	}
}

// TestAConnectionLostUnderARequestIsAnErrorThatSaysSent: the request may have been executed, so it is not sent again.
func TestAConnectionLostUnderARequestIsAnErrorThatSaysSent(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) {
		if s.n == 2 {
			return "", false
		}
		return plain, true
	})
	tr := transportTo(t, server.url)
	if _, err := call(t, tr); err != nil {
		t.Fatal(err)
	}
	_, err := call(t, tr)
	if err == nil || !wantError(t, err).Sent {
		t.Errorf("the error is %v", err)
	}
	if n := server.requests.Load(); n != 2 {
		t.Errorf("the server got %d requests", n)
	}
}

// TestADeadConnectionIsReplacedBeforeAnythingIsSent resets connections, so that the first write fails.
func TestADeadConnectionIsReplacedBeforeAnythingIsSent(t *testing.T) {
	server := serve(t, func(*step) (string, bool) { return plain, true })
	tr := transportTo(t, server.url)
	if _, err := call(t, tr); err != nil {
		t.Fatal(err)
	}
	c := tr.pool.idle[0]
	c.net.(*socket.Conn).CloseWrite() // a write fails with nothing written, and nothing shows to a probe
	if got, err := call(t, tr); err != nil || got.Body != "ok" {
		t.Errorf("%v, %v", got, err)
	}
	if server.requests.Load() != 2 || server.connections.Load() != 2 {
		t.Errorf("%d requests over %d connections", server.requests.Load(), server.connections.Load())
	}
}

func TestUnaskedBytesOnAnIdleConnectionEndIt(t *testing.T) {
	unasked := make(chan struct{})
	server := serve(t, func(s *step) (string, bool) {
		if s.k == 1 && s.n == 1 {
			io.WriteString(s.conn, plain)
			<-unasked
			return strings.ReplaceAll(plain, "ok", "no"), true
		}
		return plain, true
	})
	tr := transportTo(t, server.url)
	if _, err := call(t, tr); err != nil {
		t.Fatal(err)
	}
	close(unasked)
	await(t, "the bytes to be there", func() bool { return !tr.pool.idle[0].alive(time.Now().Add(probeAge)) })
	tr.pool.idle[0].since = time.Now().Add(-probeAge) // a probe is due
	if got, err := call(t, tr); err != nil || got.Body != "ok" || server.connections.Load() != 2 {
		t.Errorf("%v, %v over connection %d", got, err, server.connections.Load())
	}
}

// stream is an answer whose last bytes come later.
const stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"

// TestAFinishedAnswerGivesItsConnectionBackOnceItsEndIsThere covers ends that come before, and after, the next call.
func TestAFinishedAnswerGivesItsConnectionBackOnceItsEndIsThere(t *testing.T) {
	ends := make(chan string)
	server := serve(t, func(s *step) (string, bool) {
		io.WriteString(s.conn, stream)
		return <-ends, true
	})
	tr := transportTo(t, server.url)
	finish := func() {
		t.Helper()
		response, err := tr.Do(t.Context(), &Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 9)); err != nil {
			t.Fatal(err)
		}
		response.Finish()
	}
	ended := func() { await(t, "an end", func() bool { return tr.pool.ending[0].peekable() }) }
	finish()
	ends <- "2\r\n:\n\r\n0\r\n\r\n"
	ended()
	finish() // over the same connection
	if n := server.connections.Load(); n != 1 {
		t.Fatalf("%d connections after an end was there", n)
	}
	finish() // over another one
	if n := server.connections.Load(); n != 2 {
		t.Fatalf("%d connections while no end was there", n)
	}
	ends <- "0\r\n\r\n"
	ends <- "0\r\n\r\nHTTP/1.1 200 OK\r\n" // odd: closed
	await(t, "one connection to be used again, and the other closed", func() bool {
		tr.pool.sweep()
		tr.pool.mu.Lock()
		defer tr.pool.mu.Unlock()
		for _, c := range tr.pool.ending {
			c.since = c.since.Add(-lingerTime)
		}
		return len(tr.pool.idle) == 1 && len(tr.pool.ending) == 0
	})
}

// peekable reports whether there is something to read. It is read.
func (c *conn) peekable() bool {
	c.now = true
	defer func() { c.now = false }()
	return c.src.fill() == nil
}

func TestAnAnswerThatDoesNotEndIsClosed(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) { return stream, true })
	tr := transportTo(t, server.url)
	response, err := tr.Do(t.Context(), &Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	response.Finish()
	server.settled(t) // the sweep comes by itself
}

func TestAnAnswerClosedBeforeItsEndClosesTheConnection(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) { return stream, true })
	tr := transportTo(t, server.url)
	response, err := tr.Do(t.Context(), &Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	server.settled(t)
}

func TestIdleConnectionsAreBoundedAndGrowOld(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int64
	server := serve(t, func(s *step) (string, bool) {
		waiting.Add(1)
		<-release
		return plain, true
	})
	tr := newTransport(t, Config{URL: server.url, Private: true, IdleConnections: 3, IdleTime: 50 * time.Millisecond})
	done := make(chan error)
	for range 8 {
		go func() { _, err := call(t, tr); done <- err }()
	}
	await(t, "eight calls", func() bool { return waiting.Load() == 8 })
	close(release)
	for range 8 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	tr.pool.mu.Lock()
	if n := len(tr.pool.idle); n > 3 {
		t.Errorf("%d idle connections", n)
	}
	tr.pool.mu.Unlock()
	server.settled(t)
}

// TestAServersHintShortensTheIdleTime is about Keep-Alive, which Node sends.
func TestAServersHintShortensTheIdleTime(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"timeout=5": 4 * time.Second, "max=100, Timeout=60": 30 * time.Second, "timeout=0": 0, "timeout=x": 30 * time.Second,
		"max=1": 30 * time.Second, "timeout=99999999999999999": 30 * time.Second, "timeout=99999999999999999999": 30 * time.Second,
	} {
		c := &conn{keep: keepTime([]byte(value)), since: time.Unix(1000, 0)}
		if c.expired(c.since.Add(want-1), 30*time.Second) || !c.expired(c.since.Add(want), 30*time.Second) {
			t.Errorf("%s: not after %v", value, want)
		}
	}
	server := serve(t, func(s *step) (string, bool) {
		return "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok", true
	})
	tr := transportTo(t, server.url)
	for range 3 {
		if _, err := call(t, tr); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.connections.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

func TestCloseIdleAlsoClosesWhatComesBackLater(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	server := serve(t, func(s *step) (string, bool) {
		started <- struct{}{}
		<-release
		return plain, true
	})
	tr := transportTo(t, server.url)
	done := make(chan error)
	go func() { _, err := call(t, tr); done <- err }()
	<-started
	tr.CloseIdle()
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	server.settled(t)
}

// TestAnswersNeverCrossBetweenCalls has 64 callers, each of which wants its own number back, and servers with all the
// ways to end an answer.
func TestAnswersNeverCrossBetweenCalls(t *testing.T) {
	const callers, calls = 64, 40
	server := serve(t, func(s *step) (string, bool) {
		switch s.n % 5 {
		case 0:
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(s.body), s.body), false
		case 1:
			return fmt.Sprintf("HTTP/1.1 200 OK\r\n\r\n%s", s.body), false
		case 2, 3:
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(s.body), s.body), true
		}
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(s.body), s.body), true
	})
	tr := transportTo(t, server.url)
	failures := make(chan error, callers)
	for i := range callers {
		go func() {
			for j := range calls {
				want := fmt.Sprintf("%d of %d %s", j, i, strings.Repeat("x", (i*j)%9000+1))
				got, err := send(t, tr, &Request{Method: http.MethodPost, Body: []byte(want)})
				if err != nil || got.Body != want {
					failures <- fmt.Errorf("call %d of %d: got %.40q, %w", j, i, got.Body, err)
					return
				}
			}
			failures <- nil
		}()
	}
	for range callers {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	tr.CloseIdle()
	server.settled(t)
}
