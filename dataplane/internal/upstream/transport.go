package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

const (
	// idleConnection is shorter than what most servers keep a connection for, so that few calls meet one that is just
	// being closed.
	idleConnection = 30 * time.Second

	// writeBuffer holds most requests whole, in bytes, so that they leave in one packet.
	writeBuffer = 18 << 10

	// maxResponseHeader bounds the header of an answer, in bytes.
	maxResponseHeader = 64 << 10
)

// errForbiddenAddress is why a dial to a special-purpose address failed.
var errForbiddenAddress = errors.New("dial: the address is not a public one")

// newTransport returns the connections to one server. It is used without http.Client, which would follow redirects.
func newTransport(config *Config, private bool) *http.Transport {
	dialer := &net.Dialer{Timeout: config.DialTimeout, KeepAlive: 30 * time.Second}
	if !private {
		dialer.ControlContext = guard()
	}
	return &http.Transport{
		Proxy:                  config.Proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    config.DialTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    config.IdleConnections,
		IdleConnTimeout:        idleConnection,
		MaxResponseHeaderBytes: maxResponseHeader,
		WriteBufferSize:        writeBuffer,
	}
}

// guard returns the check of every address that is dialled, after names are resolved (security.md P-19): it must be a
// public one. Ports are free, as MCP servers listen anywhere.
func guard() func(context.Context, string, string, syscall.RawConn) error {
	guardian := ssrf.New(ssrf.WithAnyPort())
	return func(_ context.Context, network, address string, conn syscall.RawConn) error {
		if err := guardian.Safe(network, address, conn); err != nil {
			return fmt.Errorf("%w: %w", errForbiddenAddress, err)
		}
		return nil
	}
}
