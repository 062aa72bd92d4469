package address

import (
	"net/url"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
)

// ParseBase reads the URL under which clients know a listener, and returns it as it
// is compared: scheme://host[:port] in lower case, without the port of the scheme.
// It must be https, or http on loopback, and have no path: the paths below it are
// fixed. The error is fault.Invalid.
func ParseBase(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "", fault.New(fault.Invalid, "a public URL is scheme://host[:port] without a path, for example https://mcp.example.com")
	case u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(strings.ToLower(u.Hostname()))):
		return "", fault.New(fault.Invalid, "a public URL begins with https://, or on loopback with http://")
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
	return u.Scheme + "://" + host, nil
}
