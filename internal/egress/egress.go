// Package egress is how the planes speak HTTP to addresses that administrators
// name, or that the metadata of these names: MCP servers seen by the catalogue,
// providers of identity, and the keys of issuers.
//
//	name ─▶ resolve ─▶ guard (special-purpose addresses are refused) ─▶ dial ─▶ TLS ─▶ HTTP, no redirects
//
// The guard stands at the dial, after the name was resolved, so that a name which
// resolves to one address now and to another later gains nothing (security.md
// T-19). Proxies of the environment are not used: the guard would see theirs.
package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"code.dny.dev/ssrf"
)

const dialTimeout = 5 * time.Second

// guard refuses special-purpose addresses of IANA's registries, on any port.
var guard = ssrf.New(ssrf.WithAnyPort())

// NewClient returns an HTTP client with a transport of its own, which the caller
// closes when idle connections are of no more use. Private lets it dial
// special-purpose addresses; nil authorities are those of the system. It follows
// no redirect, and bounds nothing that is sent in a body.
func NewClient(private bool, authorities *x509.CertPool) (*http.Client, *http.Transport) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if !private {
		dialer.Control = guard.Safe
	}
	transport := &http.Transport{
		Proxy:                  nil, // the guard would see the proxy's address only
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities},
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // what is counted is what is read
	}
	client := &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	return client, transport
}

// Special reports whether the host of a URL is plainly a special-purpose
// address: what it resolves to is seen at dial only.
func Special(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && guard.SafeAddr(ip.WithZone("")) != nil
}

// Prohibited reports whether the guard stopped a dial.
func Prohibited(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrProhibitedPort)
}
