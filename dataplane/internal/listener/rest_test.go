package listener

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/socket"
	"github.com/warder-gateway/warder/internal/httpserver"
)

// resters is a server whose connections rest after a time, and which answers with what it
// was asked.
type resters struct {
	t      *testing.T
	server *http.Server
	socket *accepting
	addr   string
}

func newResters(t *testing.T, after, idle time.Duration) *resters {
	t.Helper()
	if !socket.CanAwait {
		t.Fatal("connections do not rest on this system")
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resters{t: t, addr: plain.Addr().String()}
	r.server = httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
	}), slog.New(slog.DiscardHandler))
	r.server.IdleTimeout = idle
	r.socket = Socket(r.server, plain).(*accepting)
	r.socket.rest.after = after
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(r.socket) }()
	t.Cleanup(func() {
		r.server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return r
}

// dial returns a connection and what comes from it.
func (r *resters) dial() (net.Conn, *bufio.Reader) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func (r *resters) say(conn io.Writer, text string) {
	r.t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
}

// hears holds the next answer to its text.
func (r *resters) hears(in *bufio.Reader, want string) {
	r.t.Helper()
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		r.t.Fatalf("instead of %q: %v", want, err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != want {
		r.t.Errorf("answered %q (%v), want %q", text, err, want)
	}
}

// resting waits until so many connections rest.
func (r *resters) resting(want int) {
	r.t.Helper()
	count := func() int {
		r.socket.rest.mu.Lock()
		defer r.socket.rest.mu.Unlock()
		return len(r.socket.rest.conns)
	}
	for deadline := time.Now().Add(10 * time.Second); count() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d connections rest, want %d", count(), want)
		}
	}
}

const (
	get  = "GET /get HTTP/1.1\r\nHost: x\r\n\r\n"
	post = "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
)

func TestAConnectionThatIsQuietRestsAndServesOn(t *testing.T) {
	r := newResters(t, time.Millisecond, time.Minute)
	conn, in := r.dial()
	for range 3 {
		r.say(conn, get)
		r.hears(in, "GET /get ")
		r.resting(1)
		r.say(conn, post)
		r.hears(in, "POST /post body")
		r.resting(1)
	}
	conn.Close()
	r.resting(0)
}

// TestNothingOfARequestIsLostToARest cuts requests in two at each place, as clients that do not wait for
// answers send them, and is quiet in between for longer than a connection takes to rest.
func TestNothingOfARequestIsLostToARest(t *testing.T) {
	const rest = 2 * time.Millisecond
	r := newResters(t, rest, time.Minute)
	for at := range len(post) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			r := &resters{t: t, addr: r.addr}
			conn, in := r.dial()
			r.say(conn, get+post[:at])
			r.hears(in, "GET /get ")
			time.Sleep(5 * rest) // Nothing to wait for: what must not happen is not to be seen.
			r.say(conn, post[at:]+get)
			r.hears(in, "POST /post body")
			r.hears(in, "GET /get ")
		})
	}
}

func TestTheEndOfAServerIsThatOfWhatRests(t *testing.T) {
	r := newResters(t, time.Millisecond, time.Minute)
	conn, in := r.dial()
	r.say(conn, get)
	r.hears(in, "GET /get ")
	r.resting(1)
	if err := r.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection says %v", err)
	}
	r.resting(0)
}

func TestARestEndsWithTheIdleTime(t *testing.T) {
	r := newResters(t, time.Millisecond, 50*time.Millisecond)
	conn, in := r.dial()
	r.say(conn, get)
	r.hears(in, "GET /get ")
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection says %v", err)
	}
}

// TestAHandlerIsNotDisturbedByARest has a body and an answer that take longer than a connection takes to rest.
func TestAHandlerIsNotDisturbedByARest(t *testing.T) {
	r := newResters(t, time.Millisecond, time.Minute)
	conn, in := r.dial()
	r.say(conn, get)
	r.hears(in, "GET /get ")
	r.say(conn, strings.TrimSuffix(post, "dy"))
	time.Sleep(20 * time.Millisecond) // As above.
	r.say(conn, "dy")
	r.hears(in, "POST /post body")
}

// TestAConnectionAtRestHoldsLittle has many, with both their ends in this process. Net/http alone would hold some 17 KiB
// for each.
func TestAConnectionAtRestHoldsLittle(t *testing.T) {
	const many = 200
	r := newResters(t, time.Millisecond, time.Minute)
	before := held()
	for range many {
		conn, in := r.dial()
		r.say(conn, post)
		r.hears(in, "POST /post body")
	}
	r.resting(many)
	if each := (held() - before) / many; each > restHolds {
		t.Errorf("%d bytes for each connection, want at most %d", each, restHolds)
	}
}

// held returns what this process holds after collections enough for pools to be empty and stacks to have shrunk.
func held() int64 {
	for range 5 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
