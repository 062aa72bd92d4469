package listener

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// hosts are the names that clients may call the node by, in lower case and
// without port. A web page that has its own name point here (DNS rebinding,
// security.md T-37) calls by another one.
type hosts map[string]bool

func newHosts(names []string) hosts {
	h := make(hosts, len(names))
	for _, name := range names {
		h[hostname(name)] = true
	}
	return h
}

func (h hosts) allow(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i > 0 && h[host[:i]] {
		return isPort(host[i+1:])
	}
	return h[host] || h[hostname(host)]
}

func isPort(s string) bool { return len(s) <= 5 && strings.Trim(s, "0123456789") == "" }

// hostname returns a host without its port, its brackets and its capitals.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String()
	}
	return host
}

// origins are the web origins that may call, beside the node's own.
type origins map[string]bool

func newOrigins(list []string) origins {
	o := make(origins, len(list))
	for _, origin := range list {
		o[strings.ToLower(strings.TrimSuffix(origin, "/"))] = true
	}
	return o
}

// allow reports whether the request may come from where it says it comes from.
// Programs say nothing. The node's own origin is that of the Host header, which
// has been checked before.
func (o origins) allow(r *http.Request) bool {
	values := r.Header["Origin"]
	switch len(values) {
	case 0:
		return true
	case 1:
		return o[strings.ToLower(values[0])] || sameOrigin(values[0], r.Host)
	}
	return false
}

func sameOrigin(origin, host string) bool {
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return false
	}
	return parsed.Scheme+"://"+parsed.Host == origin && strings.EqualFold(parsed.Host, host)
}

// allowOrigin lets the browser hand the answer to the page that asked.
func (x *exchange) allowOrigin() {
	origin := x.r.Header["Origin"]
	if len(origin) == 0 {
		return
	}
	header := x.w.Header()
	header.Set("Access-Control-Allow-Origin", origin[0])
	header.Set("Access-Control-Expose-Headers", exposedHeaders)
	header.Add("Vary", "Origin")
}

// preflight answers a browser that asks before it sends.
func (x *exchange) preflight() {
	header := x.w.Header()
	header.Set("Allow", allowedMethods)
	if len(x.r.Header["Origin"]) > 0 {
		header.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		header.Set("Access-Control-Allow-Headers", allowedHeaders(x.r.Header["Access-Control-Request-Headers"]))
		header.Set("Access-Control-Max-Age", "600")
	}
	x.abandonBody()
	x.w.WriteHeader(http.StatusNoContent)
}

// exposedHeaders are those of an answer that a page may read.
const exposedHeaders = "Mcp-Session-Id, Mcp-Protocol-Version, Retry-After, Www-Authenticate"

// clientHeaders are those that MCP clients send; Mcp-Param-* come on top.
var clientHeaders = []string{
	"authorization", "content-type", "accept", "mcp-protocol-version", "mcp-method", "mcp-name",
	"mcp-session-id", "last-event-id", "traceparent", "tracestate",
}

func allowedHeaders(requested []string) string {
	allowed := append([]string(nil), clientHeaders...)
	for name := range strings.SplitSeq(strings.Join(requested, ","), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.HasPrefix(name, "mcp-param-") && isToken(name) {
			allowed = append(allowed, name)
		}
	}
	return strings.Join(allowed, ", ")
}

func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// Named serves next under the names of the node only, as MCP is: a web page that has
// its own name point here reads nothing (security.md T-37).
func (l *Listener) Named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.hosts.allow(r.Host) {
			http.Error(w, wrongHost.text, wrongHost.status)
			return
		}
		next.ServeHTTP(w, r)
	})
}
