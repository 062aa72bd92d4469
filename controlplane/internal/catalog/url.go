package catalog

import (
	"net/url"

	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
)

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
	case egress.Special(u.Hostname()):
		return needsPrivate(target.Name, nil)
	case u.Scheme == "http":
		return fault.Newf(fault.Invalid, "server %q: http:// sends calls and credentials in the clear; use https://, or --private for a server on a network of your own", target.Name)
	}
	return nil
}

func needsPrivate(server string, cause error) error {
	return fault.Wrap(fault.Invalid, "server \""+server+"\" lies at a loopback, private or otherwise special address; "+
		"if that is right, mark it private (--private)", cause)
}
