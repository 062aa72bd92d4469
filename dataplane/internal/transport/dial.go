package transport

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// keepAlive finds connections whose peer is gone without a word.
const keepAlive = 30 * time.Second

// dialer connects with addresses of the kind that its transport may use.
type dialer struct{ net *net.Dialer }

func newDialer(config *Config) dialer {
	d := &net.Dialer{Timeout: config.DialTimeout, KeepAlive: keepAlive}
	if !config.Private {
		d.ControlContext = guard()
	}
	return dialer{net: d}
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.net.DialContext(ctx, network, address)
}

// guard returns the check of every address that is dialled, after names are resolved (security.md P-19): it must be a
// public one. Ports are free, as MCP servers listen anywhere.
func guard() func(context.Context, string, string, syscall.RawConn) error {
	guardian := ssrf.New(ssrf.WithAnyPort())
	return func(_ context.Context, network, address string, conn syscall.RawConn) error {
		if err := guardian.Safe(network, address, conn); err != nil {
			return fmt.Errorf("%w: %w", ErrForbiddenAddress, err)
		}
		return nil
	}
}

// hostPort returns the address of a URL, with the port of its scheme if it names none.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
