package listener

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Session answers messages, as session.Session does.
type Session interface {
	Serve(ctx context.Context, in *session.Request, client session.Client) session.Answer
	Listen(ctx context.Context, in *session.Request, client session.Client) session.Answer
	End(ctx context.Context, in *session.Request) session.Answer
}

// Refusals records what never became a message, as session.Refusals does.
type Refusals interface{ AtDoor(*session.Door) }

// Config is what a Listener needs. Of the fields below Registerer, the zero
// value means the default.
type Config struct {
	// Current returns what the node knows, nil before the first snapshot.
	Current  func() *gate.Index
	Session  Session
	Refusals Refusals
	// Hosts are the names, without port, that clients may call this node by.
	Hosts []string
	// Origins are the web origins (scheme://host[:port]) that may call besides
	// the node's own.
	Origins []string
	// PublicURLs are scheme://host[:port] of the node as clients know it, in lower
	// case. What tokens and their clients are told of endpoints is made of them. The
	// zero value believes the Host header on loopback, and knows none elsewhere.
	PublicURLs []string
	// Loopback says that only this machine reaches the node, and without a proxy.
	Loopback   bool
	Log        *slog.Logger
	Registerer prometheus.Registerer

	// MaxBody bounds a message, in bytes. Default 4 MiB.
	MaxBody int64
	// MaxRequests bounds the requests at once. Default 4,096.
	MaxRequests int64
	// MaxPerKey bounds those of one key, or of one user and application by token.
	// Default 256.
	MaxPerKey int64
	// BodyTime is how long a body may take to arrive. Default 30 s.
	BodyTime time.Duration
	// WriteTime is how long a client may take to take one write. Default 30 s.
	WriteTime time.Duration
	// KeepAlive is how long a client waits without a sign of life. Default 15 s.
	KeepAlive time.Duration
	// Grace is how long the call of a legacy client goes on after the client was
	// found to be gone, which takes KeepAlive at most. Default 30 s.
	Grace time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.MaxBody = cmp.Or(c.MaxBody, 4<<20)
	c.MaxRequests = cmp.Or(c.MaxRequests, 4096)
	c.MaxPerKey = cmp.Or(c.MaxPerKey, 256)
	c.BodyTime = cmp.Or(c.BodyTime, 30*time.Second)
	c.WriteTime = cmp.Or(c.WriteTime, 30*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, 15*time.Second)
	c.Grace = cmp.Or(c.Grace, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Listener is the http.Handler of /mcp.
type Listener struct {
	config   Config
	hosts    hosts
	origins  origins
	bodies   bodies
	kept     sync.Pool // of *exchange, zero but for a timer and a function
	loans    loans
	lengths  knownLengths
	inflight atomic.Int64
	turned   prometheus.Counter
}

// Inflight returns the number of requests that are being served, notification
// streams not counted.
func (l *Listener) Inflight() int64 { return l.inflight.Load() }

// New returns a listener.
func New(config Config) *Listener {
	l := &Listener{
		config:  config.withDefaults(),
		hosts:   newHosts(config.Hosts),
		origins: newOrigins(config.Origins),
		turned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warder_requests_turned_away_total",
			Help: "Requests that found the node full.",
		}),
	}
	config.Registerer.MustRegister(l.turned, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "warder_inflight_requests",
		Help: "Requests that are being served.",
	}, func() float64 { return float64(l.inflight.Load()) }))
	return l
}

// exchange is one request on its way. It is one allocation for all that the
// listener needs.
type exchange struct {
	*Listener
	w        http.ResponseWriter
	r        *http.Request
	control  http.ResponseController
	received time.Time
	index    *gate.Index
	caller   *credential.Caller
	gone     bool   // the request has given its place up
	counted  bool   // the request has a place among those of its key
	server   string // slug of the path
	accepts  accepts
	body     *body            // nil if there is none
	loan     *loan            // by itself, because calls that wait for a person refer to it
	in       *session.Request // of the loan
	free     bool             // nobody does, and the loan can be used again
	out      output
}

// ServeHTTP answers one request.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := l.borrow()
	x.Listener, x.w, x.r, x.control, x.received = l, w, r, *http.NewResponseController(w), l.config.Now()
	x.serve()
	l.giveBack(x)
}

// BoundsBody makes a Listener an httpserver.Bounder: of a POST it reads the body in
// BodyTime, or abandons it.
func (l *Listener) BoundsBody(r *http.Request) bool { return r.Method == http.MethodPost }

// borrow returns an exchange in its initial state, but for the timer of its
// output and what that does when its client goes.
func (l *Listener) borrow() *exchange {
	if x, ok := l.kept.Get().(*exchange); ok {
		return x
	}
	return new(exchange)
}

// giveBack takes an exchange back of which nobody knows any more. One that became
// a stream, or whose timer came, is left to the collector.
func (l *Listener) giveBack(x *exchange) {
	if x.free {
		l.loans.put(x.loan)
	}
	if !x.out.quiet || x.out.stream {
		return
	}
	timer, onGone := x.out.timer, x.out.onGone
	*x = exchange{}
	x.out.timer, x.out.onGone = timer, onGone
	l.kept.Put(x)
}

func (x *exchange) serve() {
	l, r := x.Listener, x.r
	defer x.leave()
	if l.inflight.Add(1) > l.config.MaxRequests {
		l.turned.Inc()
		x.refuse(full)
		return
	}
	if refusal := x.enter(); refusal != nil {
		x.refuse(refusal)
		return
	}
	if r.Method == http.MethodOptions {
		x.preflight()
		return
	}
	if refusal := x.identify(); refusal != nil {
		x.refuse(refusal)
		return
	}
	x.answer()
}

// leave gives the places of the request up, once.
func (x *exchange) leave() {
	if x.gone {
		return
	}
	x.gone = true
	x.inflight.Add(-1)
	if x.counted {
		x.caller.Leave()
	}
}

// enter passes the gates that need neither a snapshot nor a credential.
func (x *exchange) enter() *refusal {
	server, ok := endpoint(x.r.URL.Path)
	switch {
	case !ok:
		return notFound
	case !x.hosts.allow(x.r.Host):
		return wrongHost
	case !x.origins.allow(x.r):
		return wrongOrigin
	}
	x.server = server
	x.allowOrigin()
	return x.checkMethod()
}

// checkMethod lets the methods of MCP pass. GET and DELETE are of the legacy eras
// only; a client that claims another is told so before anything else.
func (x *exchange) checkMethod() *refusal {
	switch x.r.Method {
	case http.MethodPost, http.MethodOptions:
		return nil
	case http.MethodGet, http.MethodDelete:
		for _, version := range x.r.Header[mcp.HeaderVersion] {
			if version >= mcp.Version20260728 {
				return wrongEra
			}
		}
		return nil
	}
	return wrongMethod
}

// identify loads the snapshot, once for the whole request, and finds the caller.
func (x *exchange) identify() *refusal {
	if x.index = x.config.Current(); x.index == nil {
		return notReady
	}
	caller, refused := x.index.Credentials().Authenticate(x.r, x.Listener, x.received)
	if refused != nil {
		x.caller = refused.Caller
		return x.unauthenticated(refused)
	}
	x.caller = caller
	if x.counted = caller.Enter(x.config.MaxPerKey); !x.counted {
		return keyBusy
	}
	return x.checkMedia()
}

// checkMedia holds the request to the media types that its method goes with.
func (x *exchange) checkMedia() *refusal {
	x.accepts = acceptsOf(x.r.Header["Accept"])
	switch x.r.Method {
	case http.MethodGet:
		if !x.accepts.stream {
			return notAStream
		}
		x.accepts.json = false // whatever else it says: there is a stream, or an error
	case http.MethodPost:
		if x.accepts == (accepts{}) {
			return notAcceptable
		}
		if !isJSON(x.r.Header) {
			return wrongType
		}
	}
	return nil
}

// answer has the request answered, and writes the answer.
func (x *exchange) answer() {
	x.loan = x.loans.get()
	x.in = &x.loan.request
	*x.in = session.Request{
		Index:    x.index,
		Caller:   x.caller,
		Server:   x.server,
		Header:   x.r.Header,
		Remote:   x.r.RemoteAddr,
		Received: x.received,
		Room:     &x.loan.room,
	}
	var answer session.Answer
	switch x.r.Method {
	case http.MethodDelete:
		answer = x.config.Session.End(x.r.Context(), x.in)
		x.writeAnswer(&answer)
	case http.MethodGet:
		x.out.open(x)
		defer x.out.close()
		answer = x.config.Session.Listen(x.r.Context(), x.in, &x.out)
		defer answer.Release()
		x.out.finish(&answer)
	default:
		x.message()
	}
}

// message reads the body, has it answered, and writes the answer.
func (x *exchange) message() {
	var refusal *refusal
	if x.body, refusal = x.readBody(); refusal != nil {
		x.refuse(refusal)
		return
	}
	defer x.dropBody()
	if credential.Carried(x.r, x.body.bytes) {
		x.refuse(carried)
		return
	}
	x.in.Body = x.body.bytes
	x.out.open(x)
	defer x.out.close()
	answer := x.config.Session.Serve(x.r.Context(), x.in, &x.out)
	defer answer.Release()
	x.out.finish(&answer)
	x.free = answer.Free
}

// dropBody gives the buffer of the body back, once.
func (x *exchange) dropBody() {
	if x.body != nil {
		x.bodies.put(x.body)
		x.body, x.in.Body = nil, nil
	}
}

// endpoint returns the slug in a path, empty for the aggregate. What follows
// /mcp/ is a slug as a whole, valid or not: one that is not names no server.
func endpoint(path string) (server string, ok bool) {
	if path == "/mcp" {
		return "", true
	}
	server, ok = strings.CutPrefix(path, "/mcp/")
	return server, ok && server != ""
}
