package address

import (
	"net"
	"regexp"
	"strconv"

	"github.com/warder-gateway/warder/internal/fault"
)

// CheckListen returns an error unless given is what a listener can be told: HOST:PORT,
// of which the host may be missing. Flag is the one that it was given by. The error is
// fault.Invalid.
func CheckListen(flag, given string) error {
	if _, _, err := net.SplitHostPort(given); err != nil {
		return fault.Wrap(fault.Invalid, flag+" must be HOST:PORT, not "+given, err)
	}
	return nil
}

// dialled is what a host may consist of, so that no shell reads the commands in which it
// is shown to people as anything else.
var dialled = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)

// CheckDial returns an error unless others can dial what is given, as far as its form
// tells: a host that is one, and a port. Flag is the one that it was given by, and what is
// whom it leads to, for example "the node". The error is fault.Invalid.
func CheckDial(flag, given, what string) error {
	host, port, err := net.SplitHostPort(given)
	if err != nil {
		return fault.Wrap(fault.Invalid, flag+" must be HOST:PORT, not "+given, err)
	}
	if Host(given) == "" {
		return fault.New(fault.Invalid, flag+" "+given+" names no host by which others reach "+what)
	}
	if !dialled.MatchString(host) {
		return fault.New(fault.Invalid, flag+" must be HOST:PORT, and "+strconv.Quote(host)+" is no host")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fault.New(fault.Invalid, flag+" "+given+" has no port from 1 to 65535")
	}
	return nil
}

// Dial returns by which host:port others reach a listener: the host that it was told to
// listen on, and the port that it has come to. The host is empty if it listens on all
// addresses, since none of them is known to be the one.
func Dial(listen string, bound net.Addr) string {
	_, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return bound.String()
	}
	return net.JoinHostPort(Host(listen), port)
}

// Here returns by which host:port this machine itself reaches a listener.
func Here(bound net.Addr) string {
	listen := bound.String()
	_, port, err := net.SplitHostPort(listen)
	if err != nil || Host(listen) != "" {
		return listen
	}
	return net.JoinHostPort("127.0.0.1", port) // Who listens on all addresses of IPv6 listens here, too.
}
