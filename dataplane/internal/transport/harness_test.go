package transport

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patienceOfTests is how long a test waits for what must happen.
const patienceOfTests = 10 * time.Second

// step is one request as a raw server sees it: the n-th of its connection, from 1, over the k-th connection, from 1.
type step struct {
	k, n    int
	request *http.Request
	body    string
	conn    net.Conn
}

// rawServer answers with bytes of the test's choice.
type rawServer struct {
	url         *url.URL
	connections atomic.Int64
	requests    atomic.Int64
	open        sync.WaitGroup
}

// serve starts a server on loopback. Answer returns the bytes to send, and whether the connection is kept; it may write
// to the connection itself before.
func serve(t testing.TB, answer func(*step) (string, bool)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/mcp", RawQuery: "a=b"}}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			k := int(s.connections.Add(1))
			s.open.Go(func() { s.converse(t, c, k, answer) })
		}
	}()
	return s
}

func (s *rawServer) converse(t testing.TB, c net.Conn, k int, answer func(*step) (string, bool)) {
	defer c.Close()
	r := bufio.NewReader(c)
	for n := 1; ; n++ {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		s.requests.Add(1)
		reply, keep := answer(&step{k: k, n: n, request: request, body: string(body), conn: c})
		if _, err := io.WriteString(c, reply); err != nil || !keep {
			return
		}
	}
}

// settled waits until all connections of the server were closed by the client.
func (s *rawServer) settled(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() { s.open.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patienceOfTests):
		t.Fatal("connections stay open")
	}
}

func transportTo(t testing.TB, u *url.URL) *Transport {
	t.Helper()
	return newTransport(t, Config{URL: u, Private: true})
}

func newTransport(t testing.TB, config Config) *Transport {
	t.Helper()
	tr, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdle)
	return tr
}

// result is a whole answer.
type result struct {
	Status int
	Length int64
	Body   string
}

// call sends a POST and reads the answer to its end.
func call(t testing.TB, tr *Transport) (result, error) {
	t.Helper()
	return send(t, tr, &Request{Method: "POST", Body: []byte("{}")})
}

func send(t testing.TB, tr *Transport, r *Request) (result, error) {
	t.Helper()
	response, err := tr.Do(t.Context(), r)
	if err != nil {
		wantError(t, err)
		return result{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		wantError(t, err)
	}
	return result{response.Status, response.ContentLength, string(body)}, err
}

// wantError checks that an error is one of ours, and returns it.
func wantError(t testing.TB, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Err == nil {
		t.Fatalf("%#v is not an *Error", err)
	}
	return e
}

// await waits for what must come true.
func await(t testing.TB, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patienceOfTests); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patienceOfTests)
		}
	}
}

const plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
