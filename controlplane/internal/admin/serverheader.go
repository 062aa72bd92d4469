package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// maxHeaders bounds the headers of a server; the API has the same bound for those
// of one request.
const maxHeaders = 32

// reservedHeaders belong to the transport and the protocol; a server's own
// headers cannot replace them.
var reservedHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host",
	"Keep-Alive", "Last-Event-Id", "Origin", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// requestHeaders refuses headers that are not the server's to have, and names
// that come twice: which one counts would be anybody's guess.
func requestHeaders(headers []*adminv1.Header) (http.Header, error) {
	out := make(http.Header, len(headers))
	for _, h := range headers {
		name := http.CanonicalHeaderKey(h.GetName())
		if slices.Contains(reservedHeaders, name) || strings.HasPrefix(name, "Mcp-") {
			return nil, fault.Newf(fault.Invalid, "the header %s belongs to the protocol and is set by Warder; leave it out", name)
		}
		if _, twice := out[name]; twice {
			return nil, fault.Newf(fault.Invalid, "the header %s is given twice", name)
		}
		out.Set(name, h.GetValue())
	}
	return out, nil
}

// headersOf returns headers as they are sealed, and their names for people.
func headersOf(given []*adminv1.Header) (names []string, headers []*snapshotv1.Header) {
	for _, h := range given {
		names = append(names, h.GetName())
		headers = append(headers, &snapshotv1.Header{Name: h.GetName(), Value: h.GetValue()})
	}
	return names, headers
}

// editHeaders returns the headers of a server after a change: those given are added,
// or take the place of the ones with the same names; those named in remove are left
// out. Names are compared without case, as HTTP does.
func editHeaders(server string, old []*snapshotv1.Header, given []*adminv1.Header, remove []string) ([]*snapshotv1.Header, error) {
	if _, err := requestHeaders(given); err != nil {
		return nil, err
	}
	for _, name := range remove {
		named := func(h *snapshotv1.Header) bool { return strings.EqualFold(h.GetName(), name) }
		if !slices.ContainsFunc(old, named) {
			return nil, fault.Newf(fault.Invalid, "--remove-header %s: %s is sent no such header; %s", name, server, sentHeaders(old))
		}
		if slices.ContainsFunc(given, func(h *adminv1.Header) bool { return strings.EqualFold(h.GetName(), name) }) {
			return nil, fault.Newf(fault.Invalid, "the header %s is both given and removed; say one of the two", name)
		}
	}
	edited := slices.DeleteFunc(slices.Clone(old), func(h *snapshotv1.Header) bool { return touched(h.GetName(), given, remove) })
	_, added := headersOf(given)
	edited = append(edited, added...)
	if len(edited) > maxHeaders {
		return nil, fault.Newf(fault.Invalid, "%s would be sent %d headers; there may be %d", server, len(edited), maxHeaders)
	}
	return edited, nil
}

// touched reports whether a change says anything of the header of this name.
func touched(name string, given []*adminv1.Header, remove []string) bool {
	return slices.ContainsFunc(given, func(h *adminv1.Header) bool { return strings.EqualFold(h.GetName(), name) }) ||
		slices.ContainsFunc(remove, func(r string) bool { return strings.EqualFold(r, name) })
}

// keepHeadersHome refuses to send headers to an origin that they were not given
// for: whoever may change an address could read every secret that way, by naming a
// server of his own (security.md T-24).
func keepHeadersHome(before, after place, old []*snapshotv1.Header, given []*adminv1.Header, remove []string) error {
	if before.agent == after.agent && origin(before.url) == origin(after.url) {
		return nil
	}
	var kept []string
	for _, h := range old {
		if !touched(h.GetName(), given, remove) {
			kept = append(kept, h.GetName())
		}
	}
	if len(kept) == 0 {
		return nil
	}
	anew := fmt.Sprintf("give it anew (--header '%s: value') or ", kept[0])
	if after.agent != "" {
		anew = "headers stand in the agent's own file; "
	}
	return fault.Newf(fault.Invalid, "the header %s was given for %s and does not go along to %s; %sleave it out (--remove-header %s)",
		strings.Join(kept, ", "), origin(before.url), after.host(), anew, kept[0])
}

// sentHeaders says which headers a server is sent, by their names alone.
func sentHeaders(headers []*snapshotv1.Header) string {
	if len(headers) == 0 {
		return "it is sent none"
	}
	var names []string
	for _, h := range headers {
		names = append(names, h.GetName())
	}
	return "it is sent " + strings.Join(names, ", ")
}

// origin returns scheme, host and port of a URL. What cannot be read is its own.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s://%s", strings.ToLower(u.Scheme), strings.ToLower(u.Host))
}
