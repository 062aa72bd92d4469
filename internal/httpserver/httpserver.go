// Package httpserver makes the HTTP servers of all planes, with bounds on what a
// client may make one hold: header, time, and a body that never comes.
//
// net/http reads what a handler left of a body before it answers, without a
// deadline of its own, so a stranger who announces a body and holds it back would
// keep a goroutine and a connection for ever. Here each body must arrive in time:
//
//	request ──deadline set──▶ handler reads the body to its end ──deadline lifted──▶ handler goes on, or streams
//	                             └── does not ──▶ net/http waits for the rest, until the deadline
package httpserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	maxHeaderBytes = 64 << 10
	headerTime     = 10 * time.Second
	// idleTime is longer than that of usual load balancers, so that it is never
	// this end that closes a connection on which a request is under way.
	idleTime = 120 * time.Second
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
)

// New returns a server for a handler. Its log gets what net/http says of
// connections at debug, and of panics as errors.
func New(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           bounded{handler, bodyTime},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(quiet{logger}, "", 0),
	}
}

// Serve has a server serve a socket, over TLS if it has a TLSConfig. It returns an
// error as soon as the server can serve no more, and nil once that was told to stop.
func Serve(s *http.Server, socket net.Listener) error {
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(socket, "", "")
	} else {
		err = s.Serve(socket)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Bounder is a handler that bounds the time of some bodies itself, whatever it
// answers: whoever reads a body anyway does it at less cost.
type Bounder interface {
	http.Handler
	// BoundsBody reports whether the request is one of those.
	BoundsBody(r *http.Request) bool
}

// bounded bounds the time in which a body may arrive. A handler may set other
// deadlines.
type bounded struct {
	handler http.Handler
	body    time.Duration
}

func (b bounded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if own, ok := b.handler.(Bounder); ok && own.BoundsBody(r) {
		b.handler.ServeHTTP(w, r)
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		timed := &body{r.Body, *http.NewResponseController(w), b.body}
		// The writers of a real server have deadlines.
		_ = timed.control.SetReadDeadline(time.Now().Add(b.body))
		r.Body = timed
	}
	b.handler.ServeHTTP(w, r)
}

// body lifts the deadline at its end: otherwise it would end a handler that takes
// longer, since net/http reads on to learn whether the client is still there.
type body struct {
	io.ReadCloser
	control http.ResponseController
	within  time.Duration
}

// Within returns how long the body may take to arrive, so that a handler with the
// same bound, or a longer one, need not set it again.
func (b *body) Within() time.Duration { return b.within }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// quiet passes on what net/http has to say of connections, most of which is
// about strangers who send what is not HTTP. A panic is a fault of ours.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: panic serving")) || bytes.HasPrefix(line, []byte("http2: panic serving")) {
		level = slog.LevelError
	}
	q.log.Log(context.Background(), level, "connection", "text", string(line))
	return len(line), nil
}
