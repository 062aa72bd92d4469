package upstream

import (
	"cmp"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Headers that are not in mcp.
const (
	headerAccept      = "Accept"
	headerContentType = "Content-Type"
	headerTraceParent = "Traceparent"
	headerUserAgent   = "User-Agent"
	headerLastEvent   = "Last-Event-ID"
)

// endpoint is one server as it is registered now: address, credentials, connections, and what was learnt by talking to
// it. A server that changes gets another endpoint.
type endpoint struct {
	pool    *Pool
	name    string
	url     *url.URL // nil if broken, or reached through an agent
	carrier Carrier  // nil if broken
	atAgent bool     // the carrier leads to an agent
	broken  string   // why it cannot be used, for people; empty if it can
	// post and get are what every request of the kind has: ours, and what is configured for the server.
	post, get *transport.Block
	limits    limits // of a call

	inFlight    atomic.Int64
	courtesies  atomic.Int64 // small requests that nobody waits for
	maxInFlight int64
	breaker     breaker
	budget      budget        // of what its answers hold
	leftOut     atomic.Uint64 // messages that came too fast

	// spoken is the era (mcp.Era) that the server is known to speak; 0 means that it has to be detected.
	spoken    atomic.Uint32
	detection flight[mcp.Era]
	// rawNames says that the server compares Mcp-Name as it stands, see exchange.nameHeader.
	rawNames atomic.Bool
	// overSSE says that the server speaks HTTP+SSE of 2024-11-05.
	overSSE atomic.Bool

	// shared are the handshakes with a legacy server that has no sessions: each serves everybody of its dialect. The map is
	// replaced, never edited. Nil: not known, or the server has sessions.
	shared atomic.Pointer[map[dialect]*session]
	// stateful says that the server is known to have sessions. Guarded by the lock of sessions.
	stateful  bool
	held      sync.Map     // string → *held: sessions in the table, by who shares them
	replaced  sync.Map     // string → *held: what took the place of a client's own session, by its id
	replaces  atomic.Int64 // how many there are
	forgotten forgotten    // sessions of this node that the server has lost
	lines     sync.Map     // string → line: sessions of 2024-11-05, by the id that we gave them
}

func newEndpoint(pool *Pool, server *snapshotv1.Server) *endpoint {
	e := &endpoint{pool: pool, name: server.GetName(), limits: pool.config.limits()}
	e.spoken.Store(uint32(eraOf(server.GetProtocolVersion())))
	e.maxInFlight = cmp.Or(int64(server.GetMaxInFlight()), int64(pool.config.InFlight))
	e.budget = newBudget(&pool.config, e.maxInFlight)
	if whole := server.GetCallTimeout().AsDuration(); whole > 0 {
		// Whoever says how long a call may take also says how long it may be silent.
		e.limits = limits{header: max(e.limits.header, whole), idle: max(e.limits.idle, whole), whole: whole}
	}
	e.connect(server)
	return e
}

// connect prepares what leads to the server.
func (e *endpoint) connect(server *snapshotv1.Server) {
	if server.GetAgent() != "" {
		e.reachAgent(server)
		return
	}
	config := &e.pool.config
	address, err := url.Parse(server.GetUrl())
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" {
		e.broken = e.fail(0, nil, "the registered address of server %q is not an http or https URL").text
		return
	}
	roots, ok := authorities(server.GetCaCertificates(), config.RootCAs)
	if !ok {
		e.broken = e.fail(0, nil, "the certificates of authorities that are configured for server %q cannot be read").text
		return
	}
	e.url = address
	fields, host := e.fields(server.GetHeaders())
	var errs [3]error
	e.post, errs[0] = transport.NewBlock(fields)
	e.get, errs[1] = transport.NewBlock(fields[1:])
	own, err := transport.New(transport.Config{
		URL: address, Host: host, Private: server.GetPrivate(), RootCAs: roots,
		DialTimeout: config.DialTimeout, IdleConnections: config.IdleConnections, Proxy: config.Proxy,
	})
	e.carrier, errs[2] = own, err
	if err := errors.Join(errs[:]...); err != nil {
		e.carrier = nil // also where it is a nil *Transport
		e.broken = e.fail(0, nil, "the registered address of server %q, or one of the headers configured for it, cannot be sent").text
	}
}

// authorities returns who may sign for a server.
func authorities(pem []byte, usual *x509.CertPool) (*x509.CertPool, bool) {
	if len(pem) == 0 {
		return usual, true
	}
	own := x509.NewCertPool()
	return own, own.AppendCertsFromPEM(pem)
}

// eraOf returns the era of a version as discovery recorded it; versions order as text.
func eraOf(version string) mcp.Era {
	switch {
	case version == "":
		return 0
	case version >= mcp.Version20260728:
		return mcp.Modern
	}
	return mcp.Legacy
}

// fields returns what every POST carries, the type of its content first, and the host if one is configured. A configured
// header cannot take the place of one that the protocol or HTTP itself sets.
func (e *endpoint) fields(configured []*snapshotv1.Header) (fields []transport.Field, host string) {
	agent := "warder/" + e.pool.config.Version
	fields = []transport.Field{
		{Name: headerContentType, Value: "application/json"},
		{Name: headerAccept, Value: "application/json, text/event-stream"},
	}
	for _, h := range configured {
		name, value := http.CanonicalHeaderKey(h.GetName()), h.GetValue()
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || reserved(name):
		case name == "Host":
			host = value
		case name == headerUserAgent:
			agent = value
		default:
			fields = append(fields, transport.Field{Name: name, Value: value})
		}
	}
	return append(fields, transport.Field{Name: headerUserAgent, Value: agent}), host
}

// reserved reports whether a header is not for configuration. With an idempotency key, net/http would take a call for one
// that may be sent again.
func reserved(name string) bool {
	switch name {
	case headerAccept, headerContentType, headerTraceParent, "Accept-Encoding", "Connection", "Content-Length",
		"Expect", "Idempotency-Key", "X-Idempotency-Key", "Keep-Alive", "Last-Event-Id", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Mcp-")
}

// enter takes a place among the server's calls, if the server may be called. The admission is to be settled, and the
// place given back with leave.
func (e *endpoint) enter() (admission, error) {
	if e.broken != "" {
		return admission{}, &failure{code: mcp.CodeUnavailable, text: e.broken}
	}
	if e.inFlight.Add(1) > e.maxInFlight {
		e.leave()
		return admission{}, e.fail(mcp.CodeUnavailable, nil, "server %q has as many calls in flight as it may have (%d); try again in a moment", e.maxInFlight)
	}
	admitted, refused := e.breaker.admit()
	if refused != nil {
		e.leave()
		return admission{}, e.leftAlone(refused)
	}
	return admitted, nil
}

func (e *endpoint) leave() { e.inFlight.Add(-1) }

// reenter takes back a place that was given back while a person was asked. It is granted even beyond the bound: the server
// has the request already.
func (e *endpoint) reenter() { e.inFlight.Add(1) }

// leftAlone explains a breaker that is open.
func (e *endpoint) leftAlone(r *refused) *failure {
	f := e.fail(mcp.CodeUnavailable, nil, "server %q could not be reached since %s and is left alone; the next attempt is made at %s",
		r.since.UTC().Format(time.RFC3339), r.next.UTC().Format(time.RFC3339))
	f.data = retryAfter(time.Until(r.next))
	return f
}

// changed says that the server may offer something else than before.
func (e *endpoint) changed() {
	if e.pool.config.Changed != nil {
		e.pool.config.Changed(e.name)
	}
}

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
