package login

import (
	"context"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Guard refuses requests that a browser was tricked into (security.md T-37,
// T-38): a Host that is not ours (DNS rebinding), another origin (CSRF), and a
// body that a plain form could have sent. Loopback names are always ours.
type Guard struct {
	// Hosts are further names under which the administration is reached, without
	// port, in lower case.
	Hosts []string
	// Secure says that a TLS proxy stands in front, so that plain HTTP arriving
	// here was HTTPS for the browser.
	Secure bool
}

// Handler wraps next.
func (g Guard) Handler(next http.Handler) http.Handler {
	hosts := make([]string, 0, len(g.Hosts))
	for _, h := range g.Hosts {
		hosts = append(hosts, strings.ToLower(h))
	}
	checked := http.NewCrossOriginProtection().Handler(bodies(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostname(r.Host)
		if !isLoopback(host) && !slices.Contains(hosts, host) {
			http.Error(w, "this address does not serve that host name; add it to the allowed hosts of the control plane", http.StatusMisdirectedRequest)
			return
		}
		if len(r.Header["Origin"]) > 1 {
			http.Error(w, "more than one Origin header", http.StatusForbidden)
			return
		}
		from := origin{
			address: remote(g.peer(r)), agent: agent(r.UserAgent()),
			secure: r.TLS != nil || g.Secure, loopback: isLoopback(host),
		}
		checked.ServeHTTP(w, r.WithContext(withOrigin(r.Context(), from)))
	})
}

// peer returns the address of who asks. Behind a proxy everybody comes from one,
// and one guesser's failures would lock out all: there the address counts that
// the proxy itself added, the last one; what stands before it anybody can write.
func (g Guard) peer(r *http.Request) string {
	chain := r.Header.Values("X-Forwarded-For")
	if !g.Secure || len(chain) == 0 {
		return r.RemoteAddr
	}
	last := chain[len(chain)-1]
	last = strings.TrimSpace(last[strings.LastIndex(last, ",")+1:])
	if ip, err := netip.ParseAddr(last); err == nil {
		return netip.AddrPortFrom(ip, 0).String()
	}
	return r.RemoteAddr
}

// bodies refuses bodies of a type that needs no preflight.
func bodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !knownBody(r.Header.Values("Content-Type")) {
			http.Error(w, "send application/json, application/proto or one of Connect's stream types", http.StatusUnsupportedMediaType)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func knownBody(values []string) bool {
	if len(values) != 1 {
		return false
	}
	media, _, err := mime.ParseMediaType(values[0])
	if err != nil {
		return false
	}
	for _, prefix := range []string{"application/connect+", "application/grpc"} {
		if strings.HasPrefix(media, prefix) {
			return true
		}
	}
	return media == "application/json" || media == "application/proto"
}

// hostname returns the host part of a Host header, in lower case, without port
// and brackets.
func hostname(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(host)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// remote returns the address without its port; IPv6 addresses as their /64,
// because one subscriber has that many.
func remote(hostport string) string {
	ap, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return hostport
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

// origin is what the guard learnt of where a request comes from.
type origin struct {
	address  string
	agent    string
	secure   bool // the browser speaks HTTPS
	loopback bool // the browser asked for a loopback name
}

// maxAgent bounds what is kept of a browser's name, in bytes.
const maxAgent = 256

// agent returns what a browser calls itself, fit to be kept and shown.
func agent(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), maxAgent)], "\x00", ""), "")
}

type originKey struct{}

func withOrigin(ctx context.Context, o origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func originOf(ctx context.Context) origin {
	o, _ := ctx.Value(originKey{}).(origin)
	return o
}
