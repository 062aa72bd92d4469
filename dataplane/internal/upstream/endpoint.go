package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Headers that are not in mcp, in the canonical spelling of http.Header.
const (
	headerAccept      = "Accept"
	headerContentType = "Content-Type"
	headerTraceParent = "Traceparent"
	headerUserAgent   = "User-Agent"
)

// endpoint is one server as it is registered now: address, credentials, connections, and what was learnt by talking to
// it. A server that changes gets another endpoint.
type endpoint struct {
	pool      *Pool
	name      string
	url       *url.URL // nil if the address is not usable
	host      string   // for the Host header
	transport *http.Transport
	// header is what every request has: ours, and what is configured for the server. It is never edited, and neither are
	// its values: requests share them.
	header http.Header

	inFlight atomic.Int64
	// declared is the era that discovery found; 0 means that it has to be detected.
	declared  mcp.Era
	detection flight[mcp.Era]
	// downgraded says that the server refused to serve the modern era after all.
	downgraded atomic.Bool
	// shared is the handshake with a legacy server that has no sessions: one serves everybody. Nil: not known, or the
	// server has sessions.
	shared atomic.Pointer[session]
	// stateful says that the server is known to have sessions. Guarded by the lock of sessions.
	stateful bool
}

func newEndpoint(pool *Pool, server *snapshotv1.Server) *endpoint {
	e := &endpoint{
		pool:      pool,
		name:      server.GetName(),
		transport: newTransport(&pool.config, server.GetPrivate()),
		declared:  eraOf(server.GetProtocolVersion()),
	}
	if address, err := url.Parse(server.GetUrl()); err == nil && address.Host != "" && (address.Scheme == "https" || address.Scheme == "http") {
		e.url, e.host = address, address.Host
	}
	e.header = e.baseHeader(server.GetHeaders())
	return e
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

// baseHeader returns what every request carries. A configured header cannot take the place of one that the protocol or
// HTTP itself sets.
func (e *endpoint) baseHeader(configured []*snapshotv1.Header) http.Header {
	header := http.Header{
		headerAccept:      {"application/json, text/event-stream"},
		headerContentType: {"application/json"},
		headerUserAgent:   {"warder/" + e.pool.config.Version},
	}
	for _, h := range configured {
		name, value := http.CanonicalHeaderKey(h.GetName()), h.GetValue()
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || reserved(name):
		case name == "Host":
			e.host = value
		case name == headerUserAgent:
			header[name] = []string{value}
		default:
			header[name] = append(header[name], value)
		}
	}
	return header
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

// headerWith returns the base header with room for more, which the caller may add to as a map, never to its values.
func (e *endpoint) headerWith(room int) http.Header {
	header := make(http.Header, len(e.header)+room)
	for name, values := range e.header {
		header[name] = values
	}
	return header
}

// request returns one HTTP request. The body, which may be nil, must not be written to any more.
func (e *endpoint) request(ctx context.Context, method string, header http.Header, body []byte) *http.Request {
	r := (&http.Request{
		Method: method, URL: e.url, Host: e.host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if body != nil {
		// HTTP knows this type, and sends header and body in one packet.
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = open()
		r.ContentLength = int64(len(body))
		// It asks for the body again only where nothing of the request was written, or a server that speaks HTTP/2 said
		// that it did not look at it.
		r.GetBody = open
	}
	return r
}

// enter takes a place among the server's calls, if there is one.
func (e *endpoint) enter() bool {
	if e.inFlight.Add(1) > int64(e.pool.config.InFlight) {
		e.inFlight.Add(-1)
		return false
	}
	return true
}

func (e *endpoint) leave() { e.inFlight.Add(-1) }

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
