package listener

import (
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
)

// NewServer returns an HTTP server whose bounds fit a Listener.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(quiet{logger}, "", 0),
	}
}

// quiet passes on what net/http has to say of connections, most of which is
// about strangers who send what is not HTTP.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(line []byte) (int, error) {
	q.log.Debug("connection", "text", string(line))
	return len(line), nil
}
