package upstream

import (
	"cmp"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/internal/build"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Config bounds a Pool. The zero value of each field means its default.
type Config struct {
	// DialTimeout bounds connecting, and the TLS handshake after it. Default 5 s.
	DialTimeout time.Duration
	// HeaderTimeout is how long a server may take to begin its answer. Default 60 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long an answer that has begun may pause. Default 60 s.
	IdleTimeout time.Duration
	// CallTimeout bounds a call as a whole, whatever its server sends meanwhile. It does not run while the client is asked
	// for something. Default 5 min. A server may have another one, which then stands for the two above as well if it is
	// longer.
	CallTimeout time.Duration

	// MessageBytes bounds one message of a server: a JSON answer, or an event of a stream. Default 16 MiB.
	MessageBytes int
	// StreamBytes bounds all events of one stream together. Default 64 MiB.
	StreamBytes int64
	// AnswerBytes bounds what the messages of one server may hold at a time, beyond 256 KiB for each of them, until their
	// clients have taken them; a call whose answer finds no room fails. Default: 512 KiB for each call that the server may
	// have at a time, up to 1 GiB, but four times MessageBytes at the least.
	AnswerBytes int64
	// InFlight is how many calls one server may have at a time, if it has no bound of its own; one more fails at once.
	// Default 512.
	InFlight int
	// IdleConnections is how many connections to one server are kept open for the next call. Default 256.
	IdleConnections int
	// Sessions is how many sessions are kept with legacy servers, all servers together; the one that was not used for
	// longest makes room. Default 10,000.
	Sessions int
	// SessionIdle is after how long without a call a session is ended. Default 30 min.
	SessionIdle time.Duration
	// Parked is how many calls may wait at a time for what modern clients are asked by legacy servers; in one more, the
	// server is told that it gets no answer. Default 1,024.
	Parked int
	// ParkTime is for how long each of them waits. Default 5 min.
	ParkTime time.Duration

	// RootCAs verifies servers that have no authorities of their own. Nil: those of the system.
	RootCAs *x509.CertPool
	// Proxy chooses an egress proxy; nil means none, and the environment is never asked. With a proxy, the guard on
	// addresses sees the proxy's, so the proxy must guard.
	Proxy func(*http.Request) (*url.URL, error)

	// Agents returns what carries requests to a server that an agent has. It must not wait. Nil: such servers cannot be
	// called.
	Agents func(server *snapshotv1.Server) Carrier

	// Keepers lets nodes agree on the sessions that they open for legacy clients. Nil: this node is alone.
	Keepers Keepers

	// Changed is called with the name of a server that says, or shows, that what it offers has changed. It must not block.
	// Nil: nobody wants to know.
	Changed func(server string)
	// Version is what servers are told of us. Default: that of the build.
	Version string
	// Log gets causes that no client may see, at level debug. Default: nowhere.
	Log *slog.Logger
	// Registerer gets the metrics. Nil: nobody does.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, time.Minute)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Minute)
	c.CallTimeout = cmp.Or(c.CallTimeout, 5*time.Minute)
	c.MessageBytes = cmp.Or(c.MessageBytes, 16<<20)
	c.StreamBytes = cmp.Or(c.StreamBytes, 64<<20)
	c.InFlight = cmp.Or(c.InFlight, 512)
	c.IdleConnections = cmp.Or(c.IdleConnections, 256)
	c.Sessions = cmp.Or(c.Sessions, 10_000)
	c.SessionIdle = cmp.Or(c.SessionIdle, 30*time.Minute)
	c.Parked = cmp.Or(c.Parked, 1024)
	c.ParkTime = cmp.Or(c.ParkTime, 5*time.Minute)
	c.Version = cmp.Or(c.Version, build.Version)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// limits returns the times of a call to a server that has none of its own.
func (c *Config) limits() limits {
	return limits{header: c.HeaderTimeout, idle: c.IdleTimeout, whole: c.CallTimeout}
}
