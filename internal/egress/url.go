package egress

import (
	"net/url"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
)

// Check refuses a URL that cannot be right, without asking the network: absolute
// https, or http for private ones, with a host, without user and fragment. What
// names it in the error ("the issuer's URL"). The error is fault.Invalid and says
// what to write instead; it never repeats the URL, which may hold a secret.
func Check(what, raw string, private bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "":
		return fault.Newf(fault.Invalid, "%s cannot be read; it looks like https://host/path", what)
	case u.Scheme != "https" && u.Scheme != "http":
		return fault.Newf(fault.Invalid, "%s must begin with https:// (or http://, on a network of your own with --private)", what)
	case u.Hostname() == "":
		return fault.Newf(fault.Invalid, "%s has no host; it looks like https://host/path", what)
	case u.User != nil:
		return fault.Newf(fault.Invalid, "%s must not carry a user or password", what)
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return fault.Newf(fault.Invalid, "%s must not have a fragment (#)", what)
	case private:
		return nil
	case Special(u.Hostname()):
		return NeedsPrivate(what, nil)
	case u.Scheme == "http":
		return fault.Newf(fault.Invalid, "%s is http://, so that anybody on the way could change what it answers; use https://, or --private on a network of your own", what)
	}
	return nil
}

// NeedsPrivate is the error of what lies at a special-purpose address and is not
// marked private.
func NeedsPrivate(what string, cause error) error {
	return fault.Wrap(fault.Invalid, what+" lies at a loopback, private or otherwise special address; "+
		"if that is right, mark it private (--private)", cause)
}
