package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/warder-gateway/warder/agent/internal/bridge"
	"github.com/warder-gateway/warder/agent/internal/process"
	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Config says where a server is. The zero value of each field but Name and URL means its default.
type Config struct {
	Name string
	// URL is of scheme http or https, without user and fragment.
	URL string
	// Header is sent with each request, in the place of what comes by the tunnel. The values are secret.
	Header map[string]string
	// DialTimeout bounds connecting. Default 5 s.
	DialTimeout time.Duration
	// Changed is called after Status changed. It must not block. Default: nobody wants to know.
	Changed func()
	Log     *slog.Logger
	// Budget bounds what messages hold in memory. Default: none.
	Budget *budget.Budget
}

// Server is one server. It is a tunnel.Handler. It may be used from many goroutines, and must be closed.
type Server struct {
	config    Config
	url       *url.URL
	transport *http.Transport
	pace      process.Pace
	ending    context.Context
	end       context.CancelFunc
	all       sync.WaitGroup
	failures  atomic.Uint64

	older   atomic.Pointer[bridge.Server] // where the server has turned out to be one of 2024-11-05
	finding chan struct{}                 // holds a token while that is found out, which guards doubted
	doubted time.Time

	mu       sync.Mutex
	away     bool
	failure  string
	failedAt time.Time // when failure was noted
}

// New returns a server that nobody has spoken to yet.
func New(config Config) (*Server, error) {
	target, err := CheckURL(config.URL)
	if err != nil {
		return nil, err
	}
	for name, value := range config.Header {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || reserved(name) {
			return nil, fmt.Errorf("header %q cannot be set", name)
		}
	}
	config.DialTimeout = cmp.Or(config.DialTimeout, 5*time.Second)
	if config.Changed == nil {
		config.Changed = func() {}
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: config, url: target, finding: make(chan struct{}, 1)}
	s.ending, s.end = context.WithCancel(context.Background())
	s.transport = &http.Transport{
		DialContext:         s.dial,
		TLSHandshakeTimeout: config.DialTimeout,
		DisableCompression:  true,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
	}
	return s, nil
}

// CheckURL holds a server's URL to what can be spoken to.
func CheckURL(text string) (*url.URL, error) {
	target, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be read") // The text of err has the URL, which may hold a secret.
	case target.Scheme != "http" && target.Scheme != "https", target.Host == "", target.Opaque != "":
		return nil, errors.New("the URL must begin with http:// or https://, and name a host")
	case target.User != nil:
		return nil, errors.New("the URL must not hold a user or password; give a header instead")
	case target.Fragment != "":
		return nil, errors.New("the URL must not have a fragment")
	}
	return target, nil
}

// reserved reports whether a header is the protocol's or HTTP's own.
func reserved(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "accept", "content-type", "content-length", "connection", "transfer-encoding", "host", "upgrade", "te", "trailer",
		"expect", "last-event-id", "keep-alive", "proxy-connection", "accept-encoding", "idempotency-key", "x-idempotency-key":
		return true
	}
	return strings.HasPrefix(name, "mcp-")
}

// Status is what people see of a server.
type Status struct {
	Ready bool
	// Failures is how often it could not be connected to, and LastError why the last time. A server that has been
	// well for a minute has none.
	Failures  uint64
	LastError string
}

// Status returns how the server is.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Ready: !s.away, Failures: s.failures.Load()}
	if s.away || time.Since(s.failedAt) < bridge.RecentTime {
		status.LastError = s.failure
	}
	if older := s.older.Load(); older != nil {
		over := older.Status()
		status.Ready = status.Ready && over.Ready
		status.Failures += over.Restarts
		status.LastError = cmp.Or(over.LastError, status.LastError)
	}
	return status
}

// Close ends all connections.
func (s *Server) Close() {
	s.mu.Lock() // What runs on is noted with it, or not begun.
	s.end()
	s.mu.Unlock()
	if older := s.older.Load(); older != nil {
		older.Close()
	}
	s.all.Wait()
	s.transport.CloseIdleConnections()
}

// maxRequest bounds a message of a client, in bytes. Nodes hold clients to less.
const maxRequest = 16 << 20

// Serve implements tunnel.Handler.
func (s *Server) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	if older := s.older.Load(); older != nil {
		older.Serve(ctx, r, w)
		return
	}
	metered := &budget.Metered{Reader: io.LimitReader(r.Body, maxRequest+1), Budget: s.config.Budget}
	defer metered.Release()
	body, err := io.ReadAll(metered)
	if errors.Is(err, budget.ErrFull) {
		_ = w.Head(http.StatusServiceUnavailable, []tunnel.Field{{Name: "retry-after", Value: "1"}})
		return
	}
	if err != nil || len(body) > maxRequest {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "the request could not be read")
		return
	}
	request, err := s.request(ctx, r, body)
	if err != nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, err.Error())
		return
	}
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		s.config.Log.Debug("server did not answer", "server", s.config.Name, "error", err)
		if _, unreached := errors.AsType[*dialError](err); unreached {
			_ = w.Head(http.StatusBadGateway, nil)
			return
		}
		w.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "the server did not answer")
		return
	}
	defer response.Body.Close()
	if older := s.takesForOlder(ctx, r, body, response.StatusCode); older != nil {
		older.Serve(ctx, again(r, body), w)
		return
	}
	if err := pass(response, w); err != nil && ctx.Err() == nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "the server's answer broke off")
	}
}

// request makes the request to the server.
func (s *Server) request(ctx context.Context, r *tunnel.Incoming, body []byte) (*http.Request, error) {
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodDelete:
	default:
		return nil, errors.New("the method is none of MCP's")
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if len(body) == 0 {
		request.Body = http.NoBody
	}
	for _, field := range r.Header {
		if passes(field.Name) {
			request.Header.Add(field.Name, field.Value)
		}
	}
	for name, value := range s.config.Header {
		request.Header.Set(name, value)
	}
	return request, nil
}

// passes reports whether a header of a request is the server's business.
func passes(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "accept", "content-type", "last-event-id", "user-agent", "traceparent", "tracestate":
		return true
	}
	return strings.HasPrefix(name, "mcp-")
}

// returns reports whether a header of an answer is the client's business.
func returns(name string) bool {
	switch name {
	case "Content-Type", "Retry-After", "Allow", "Cache-Control", "Mcp-Session-Id", "Mcp-Protocol-Version":
		return true
	}
	return false
}

// pass passes an answer on, each piece as it comes.
func pass(response *http.Response, w tunnel.Answer) error {
	var header []tunnel.Field
	for name, values := range response.Header {
		for _, value := range values {
			if returns(name) {
				header = append(header, tunnel.Field{Name: strings.ToLower(name), Value: value})
			}
		}
	}
	if err := w.Head(response.StatusCode, header); err != nil {
		return fmt.Errorf("send head: %w", err)
	}
	piece := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(piece)
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return fmt.Errorf("send body: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read body: %w", err)
		}
	}
}

// dialError is why a server could not be connected to.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func (s *Server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.DialTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		s.reached()
		return conn, nil
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.unreached(err)
	}
	return nil, &dialError{err}
}

// reached notes that the server is there.
func (s *Server) reached() {
	s.mu.Lock()
	back := s.away
	s.away = false
	s.mu.Unlock()
	if back {
		s.config.Changed()
	}
}

// unreached notes that it is not, and looks for it from then on.
func (s *Server) unreached(err error) {
	s.failures.Add(1)
	s.pace.Failed(time.Now(), 0)
	s.mu.Lock()
	first := !s.away
	s.away, s.failure, s.failedAt = true, err.Error(), time.Now()
	if first && s.ending.Err() == nil {
		s.all.Go(s.look)
	}
	s.mu.Unlock()
	s.config.Changed()
}

// address is where the server listens.
func (s *Server) address() string {
	if s.url.Port() != "" {
		return s.url.Host
	}
	return net.JoinHostPort(s.url.Hostname(), map[string]string{"http": "80", "https": "443"}[s.url.Scheme])
}

// look tries to connect, at the pace of crashes, until that succeeds.
func (s *Server) look() {
	for !s.Status().Ready {
		timer := time.NewTimer(s.pace.Wait(time.Now()))
		select {
		case <-s.ending.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if conn, err := s.dial(s.ending, "tcp", s.address()); err == nil {
			_ = conn.Close() // It was for a look.
		}
	}
}
