package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"runtime"
	"testing"
	"time"
)

var errEnough = errors.New("enough")

// TestACallEndsWithItsContext covers each place where a call can wait.
func TestACallEndsWithItsContext(t *testing.T) {
	tests := map[string]func(*step) (string, bool){
		"nothing is answered":         func(s *step) (string, bool) { return "", true },
		"in the middle of the head":   func(s *step) (string, bool) { return plain[:20], true },
		"in the middle of the body":   func(s *step) (string, bool) { return plain[:len(plain)-1], true },
		"in the middle of the chunks": func(s *step) (string, bool) { return stream, true },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			server := serve(t, func(s *step) (string, bool) {
				reply, keep := answer(s)
				time.AfterFunc(20*time.Millisecond, func() { cancel(errEnough) })
				return reply, keep
			})
			begin := time.Now()
			response, err := transportTo(t, server.url).Do(ctx, &Request{Method: "POST"})
			if err == nil {
				defer response.Body.Close()
				_, err = io.ReadAll(response.Body)
			}
			if !errors.Is(err, errEnough) || !wantError(t, err).Sent {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if response != nil {
				response.Body.Close()
			}
			server.settled(t)
		})
	}
}

// TestWritingEndsWithTheContext has a server that does not read.
func TestWritingEndsWithTheContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tr := transportTo(t, &url.URL{Scheme: "http", Host: listener.Addr().String()})
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = tr.Do(ctx, &Request{Method: "POST", Body: make([]byte, 64<<20)})
	if !errors.Is(err, context.DeadlineExceeded) || !wantError(t, err).Sent {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAContextThatEndedBeforeSendsNothing(t *testing.T) {
	server := serve(t, func(*step) (string, bool) { return plain, true })
	tr := transportTo(t, server.url)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if _, err := tr.Do(ctx, &Request{Method: "POST"}); !errors.Is(err, errEnough) || wantError(t, err).Sent {
		t.Errorf("the error is %v", err)
	}
	if _, err := call(t, tr); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Do(ctx, &Request{Method: "POST"}); !errors.Is(err, errEnough) || wantError(t, err).Sent {
		t.Errorf("with an idle connection, the error is %v", err)
	}
	if n := server.requests.Load(); n != 1 {
		t.Errorf("the server got %d requests", n)
	}
}

// TestAConnectionWhoseContextEndedIsNotUsedAgain ends contexts when all is read.
func TestAConnectionWhoseContextEndedIsNotUsedAgain(t *testing.T) {
	server := serve(t, func(*step) (string, bool) { return plain, true })
	tr := transportTo(t, server.url)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		response, err := tr.Do(ctx, &Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
		cancel()
		response.Body.Close()
	}
	if n := server.connections.Load(); n != 20 {
		t.Errorf("%d connections", n)
	}
}

// watched is a context with its own AfterFunc.
type watched struct {
	context.Context
	stopped int
	end     chan func()
}

func (w *watched) AfterFunc(f func()) func() bool {
	w.end <- f
	return func() bool { w.stopped++; return true }
}

func TestAContextsOwnAfterFuncIsUsed(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) {
		if s.n == 3 {
			return "", true
		}
		return plain, true
	})
	tr := transportTo(t, server.url)
	parent, cancel := context.WithCancelCause(t.Context())
	w := &watched{Context: parent, end: make(chan func(), 3)}
	for range 2 {
		response, err := tr.Do(w, &Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if w.stopped != 2 || server.connections.Load() != 1 {
		t.Errorf("stopped %d times, %d connections", w.stopped, server.connections.Load())
	}
	<-w.end
	<-w.end
	go func() {
		end := <-w.end
		cancel(errEnough)
		end()
	}()
	if _, err := tr.Do(w, &Request{Method: "POST"}); !errors.Is(err, errEnough) {
		t.Errorf("the error is %v", err)
	}
}

// TestNoGoroutineOutlivesItsCall counts them.
func TestNoGoroutineOutlivesItsCall(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) {
		if s.request.URL.Path == "/hang" {
			return "", true
		}
		return plain, true
	})
	before := runtime.NumGoroutine()
	tr := transportTo(t, server.url)
	for i := range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		r := &Request{Method: "POST"}
		if i%2 == 0 {
			r.Path = "/hang"
		}
		if response, err := tr.Do(ctx, r); err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		cancel()
	}
	tr.CloseIdle()
	server.settled(t)
	await(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// TestALargeRequestArrivesWhole also covers servers that answer while they are sent to.
func TestALargeRequestArrivesWhole(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) {
		if s.body != string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16)) {
			return "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", true
		}
		return plain, true
	})
	tr := transportTo(t, server.url)
	for range 3 {
		got, err := send(t, tr, &Request{Method: "POST", Body: bytes.Repeat([]byte("0123456789abcdef"), 1<<16)})
		if err != nil || got.Status != 200 {
			t.Fatal(got, err)
		}
	}
	if n := server.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestAnAnswerThatComesBeforeTheRequestIsWholeIsRead has servers that refuse a large body without reading it: one waits,
// one closes.
func TestAnAnswerThatComesBeforeTheRequestIsWholeIsRead(t *testing.T) {
	for _, closes := range []bool{false, true} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ends := make(chan struct{})
		go func() {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			io.ReadFull(c, make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			if !closes {
				<-ends
			}
		}()
		tr := transportTo(t, &url.URL{Scheme: "http", Host: listener.Addr().String()})
		got, err := send(t, tr, &Request{Method: "POST", Body: make([]byte, 64<<20)})
		// A reset may overtake the answer; what must not be is a call that hangs, or one that succeeded.
		if err == nil && got.Status != 413 || err != nil && !closes {
			t.Errorf("closes: %v: %v, %v", closes, got, err)
		}
		if len(tr.pool.idle) != 0 {
			t.Error("the connection is used again")
		}
		close(ends)
	}
}
