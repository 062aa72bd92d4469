package catalog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"code.dny.dev/ssrf"

	"github.com/warder-gateway/warder/internal/fault"
)

const dialTimeout = 5 * time.Second

// guard refuses special-purpose addresses of IANA's registries, on any port.
var guard = ssrf.New(ssrf.WithAnyPort())

// newClient returns an HTTP client for one conversation; nil authorities are
// those of the system. Addresses are checked at dial, after the name was resolved, so that a name which resolves to one
// address now and another later gains nothing.
func newClient(private bool, authorities *x509.CertPool) (*http.Client, *http.Transport) {
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

// CheckURL refuses a target that cannot be right, without asking the network:
// fault.Invalid says what to write instead.
func CheckURL(target Target) error {
	u, err := url.Parse(target.URL)
	if err != nil {
		// The cause repeats the URL, which may hold a secret: it is left out.
		return fault.Newf(fault.Invalid, "server %q: the URL cannot be read; it looks like https://host/mcp", target.Name)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fault.Newf(fault.Invalid, "server %q: the URL must begin with https:// (or http://, for a private server)", target.Name)
	case u.Hostname() == "":
		return fault.Newf(fault.Invalid, "server %q: the URL has no host; it looks like https://host/mcp", target.Name)
	case u.User != nil:
		return fault.Newf(fault.Invalid, "server %q: a URL must not carry a user or password; send credentials with --header", target.Name)
	case u.Fragment != "":
		return fault.Newf(fault.Invalid, "server %q: a URL with a fragment (#) cannot be an endpoint", target.Name)
	case target.Private:
		return nil
	case special(u.Hostname()):
		return needsPrivate(target.Name, nil)
	case u.Scheme == "http":
		return fault.Newf(fault.Invalid, "server %q: http:// sends calls and credentials in the clear; use https://, or --private for a server on a network of your own", target.Name)
	}
	return nil
}

// special reports whether the host of a URL is plainly a special-purpose
// address: what it resolves to is seen at dial only.
func special(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && guard.SafeAddr(ip.WithZone("")) != nil
}

func needsPrivate(server string, cause error) error {
	return fault.Wrap(fault.Invalid, "server \""+server+"\" lies at a loopback, private or otherwise special address; "+
		"if that is right, mark it private (--private)", cause)
}

// prohibited reports whether the guard stopped a dial.
func prohibited(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrProhibitedPort)
}
