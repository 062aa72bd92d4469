package transport

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Config says where a Transport leads. URL is needed; the zero value of each other field means its default.
type Config struct {
	// URL is an absolute http or https URL. User and fragment are ignored.
	URL *url.URL
	// Host is sent as the Host header. Default: that of the URL.
	Host string
	// Private allows addresses that are not public ones.
	Private bool
	// RootCAs verifies servers. Nil: those of the system.
	RootCAs *x509.CertPool
	// DialTimeout bounds connecting, and the TLS handshake after it. Default 5 s.
	DialTimeout time.Duration
	// IdleConnections is how many connections are kept open for the next call; one more is closed. Default 256.
	IdleConnections int
	// IdleTime is how long. A server's own hint shortens it. Default 30 s, which is shorter than most servers keep them.
	IdleTime time.Duration
	// Proxy chooses an egress proxy; nil means none, and the environment is never asked. With a proxy, the guard on
	// addresses sees the proxy's, so the proxy must guard.
	Proxy func(*http.Request) (*url.URL, error)
}

func (c Config) withDefaults() Config {
	c.Host = cmp.Or(c.Host, c.URL.Host)
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.IdleConnections = cmp.Or(c.IdleConnections, 256)
	c.IdleTime = cmp.Or(c.IdleTime, 30*time.Second)
	return c
}

// check returns why the configuration cannot be used.
func (c *Config) check() error {
	switch {
	case c.URL == nil || c.URL.Host == "" || c.URL.Hostname() == "":
		return invalid("the URL has no host")
	case c.URL.Scheme != "http" && c.URL.Scheme != "https":
		return invalid("the URL is not an http or https one")
	case !validPath(c.URL.RequestURI()):
		return invalid("the URL's path cannot be sent")
	}
	return nil
}

// Transport speaks to one origin. Its methods may be called from many goroutines.
type Transport struct {
	origin   origin
	dialer   dialer
	pool     pool
	standard *standard // nil: our own client
}

// Plain reports whether this package's own client is used: nothing then knows of a call, or of its context, once its
// answer was closed.
func (t *Transport) Plain() bool { return t.standard == nil }

// origin is what the URL of a transport puts into each request.
type origin struct {
	address string // host:port to dial
	line    string // from the blank after the method to the end of the Host field
	version string // the same without blank and path
}

// New returns a Transport without connecting. It fails with ErrInvalidRequest if the configuration cannot be used.
func New(config Config) (*Transport, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	if !httpguts.ValidHostHeader(config.Host) || !httpguts.ValidHeaderFieldValue(config.Host) {
		return nil, invalid("%q cannot be a Host header", config.Host)
	}
	t := &Transport{dialer: newDialer(&config)}
	if config.URL.Scheme == "https" || config.Proxy != nil {
		t.standard = newStandard(&config, &t.dialer)
		return t, nil
	}
	t.origin = newOrigin(&config)
	t.pool.limit, t.pool.idleTime = config.IdleConnections, config.IdleTime
	return t, nil
}

func newOrigin(config *Config) origin {
	version := " HTTP/1.1\r\nHost: " + config.Host + "\r\n"
	return origin{address: hostPort(config.URL), version: version, line: " " + config.URL.RequestURI() + version}
}

// Do sends a request and returns the answer once its head is there. The context reaches to the end of the body, and is
// watched by a lifetime.Hook. All errors are of type *Error. An answer with any status is not an error.
func (t *Transport) Do(ctx context.Context, r *Request) (*Response, error) {
	if err := r.Check(); err != nil {
		return nil, &Error{Err: err}
	}
	if ctx.Err() != nil {
		return nil, &Error{Err: context.Cause(ctx)}
	}
	if t.standard != nil {
		return t.standard.do(ctx, r)
	}
	if c := t.pool.get(); c != nil {
		response, err := c.exchange(ctx, r)
		if err == nil || err.Sent || ctx.Err() != nil {
			return response, orNil(err)
		}
	}
	c, err := t.dial(ctx)
	if err != nil {
		return nil, &Error{Err: causeOf(ctx, err)}
	}
	response, failed := c.exchange(ctx, r)
	return response, orNil(failed)
}

// orNil keeps a nil *Error from becoming an error that is not nil.
func orNil(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}

// causeOf puts the cause of an ended context before what it led to on the wire.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return errors.Join(cause, err)
	}
	return err
}

func (t *Transport) dial(ctx context.Context) (*conn, error) {
	connection, err := t.dialer.dial(ctx, "tcp", t.origin.address)
	if err != nil {
		return nil, err
	}
	return newConn(t, connection), nil
}

// CloseIdle closes the connections that no call is using, and those in use as soon as their calls end unless another call
// begins meanwhile.
func (t *Transport) CloseIdle() {
	if t.standard != nil {
		t.standard.closeIdle()
		return
	}
	t.pool.closeIdle()
}
