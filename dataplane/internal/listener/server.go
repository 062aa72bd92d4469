package listener

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net/http"
	"time"
)

// Bounds of a connection. Reading and writing a body have deadlines of their
// own, because an event stream may live long.
const (
	maxHeaderBytes = 64 << 10
	headerTime     = 10 * time.Second
	// idleTime is longer than that of usual load balancers, so that it is never
	// this end that closes a connection on which a request is under way.
	idleTime = 120 * time.Second
	// restTime is how long a body may take to arrive that no handler reads.
	restTime = 10 * time.Second
)

// NewServer returns an HTTP server whose bounds fit a Listener. What else it
// serves must not need the body of a request.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           bounded{handler, restTime},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(quiet{logger}, "", 0),
	}
}

// bounded bounds the time in which a body may arrive. A Listener has bounds of its
// own; other handlers know nothing of bodies, but HTTP reads to their end all the
// same.
type bounded struct {
	handler http.Handler
	rest    time.Duration
}

func (b bounded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The writers of a real server have deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(b.rest))
	b.handler.ServeHTTP(w, r)
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
