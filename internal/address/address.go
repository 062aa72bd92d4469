// Package address says what the address of a listener means: who can reach it,
// whether it may be served in clear text, and by which name clients know it.
package address

import (
	"net"
	"net/netip"

	"github.com/warder-gateway/warder/internal/fault"
)

// IsLoopback reports whether a host, without port, is this machine seen from
// itself.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Host returns the name or address, without port, under which clients reach a
// listener; empty where it stands for all addresses, or is none at all.
func Host(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// CheckClear returns an error unless a listener may be served in clear text:
// only this machine reaches it, or secured says that TLS is spoken, here or by a
// proxy in front. What names what would cross the network, for example "API
// keys". The flags in the text are those of every command that listens.
func CheckClear(listen string, secured bool, what string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fault.Wrap(fault.Invalid, "--listen must be HOST:PORT, not "+listen, err)
	}
	if secured || IsLoopback(host) {
		return nil
	}
	return fault.Newf(fault.Precondition,
		"%s can be reached from other machines, and %s would cross the network in the clear; "+
			"give --tls-cert and --tls-key, or --behind-proxy if a proxy in front speaks TLS, or listen on 127.0.0.1", listen, what)
}
