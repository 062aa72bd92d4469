package catalog

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// maxInstructions bounds what is kept of a server's instructions, in bytes.
const maxInstructions = 64 << 10

// declared is what servers are told that discovery can do; it declines what it is
// asked.
const declared = mcp.CapsOfDiscovery

// legacyVersions are those that a server may choose in initialize.
var legacyVersions = []string{mcp.Version20251125, mcp.Version20250618, mcp.Version20250326, mcp.Version20241105}

// verdict is what one probe says of a server's era.
type verdict int

const (
	speaksModern verdict = iota
	tryLegacy
)

// open settles the era and the version: modern first, and legacy where the
// server's answer says that it does not know that (mcp.md 2.8). Credentials that
// are missing, and a server that fails, say nothing of its era.
//
// It returns the server's instructions and leaves its capabilities in found.
func (c *conversation) open(ctx context.Context, found *Discovery) (string, error) {
	c.era, c.version = mcp.Modern, mcp.Version20260728
	said, v, err := c.probe(ctx)
	if err == nil && v == tryLegacy {
		c.era, c.version = mcp.Legacy, ""
		said, err = c.initialize(ctx)
	}
	if err != nil {
		return "", err
	}
	found.Capabilities, found.ServerInfo = said.capabilities, said.info
	return said.instructions, nil
}

// metaServerInfo is where a modern server says who it is.
const metaServerInfo = "io.modelcontextprotocol/serverInfo"

// hello is what a server says of itself. Who it says it is, is a claim that
// nothing may rely on: it is kept to be scanned, and to tell when it changes.
type hello struct {
	versions     []string
	capabilities []byte
	instructions string
	info         []byte // one JSON object, or nil
}

// read takes one member of the result of server/discover or initialize.
func (h *hello) read(name string, raw []byte) error {
	switch name {
	case "supportedVersions":
		return mcp.Elements(raw, func(element mcp.Span) error {
			version, err := mcp.String(element.Of(raw))
			h.versions = append(h.versions, version)
			return err
		})
	case "protocolVersion":
		version, err := mcp.String(raw)
		h.versions = []string{version}
		return err
	case "capabilities":
		h.capabilities = object(raw)
	case "instructions":
		h.instructions = instructions(raw)
	case "serverInfo":
		h.info = object(raw)
	case "_meta":
		return h.readMeta(raw)
	}
	return nil
}

// readMeta takes what a modern server says beside its result. A _meta that is no
// object says nothing.
func (h *hello) readMeta(raw []byte) error {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return mcp.Members(raw, func(name string, value mcp.Span) error {
		if name == metaServerInfo {
			h.info = object(value.Of(raw))
		}
		return nil
	})
}

// probe asks server/discover.
func (c *conversation) probe(ctx context.Context) (hello, verdict, error) {
	a, err := c.call(ctx, mcp.MethodDiscover, c.params(""))
	if err != nil {
		if silent := timedOut(err) && ctx.Err() == nil; silent {
			return hello{}, tryLegacy, nil
		}
		return hello{}, 0, err
	}
	if result := a.result(); result != nil {
		said, v := c.readDiscover(result)
		return said, v, nil
	}
	if !aboutEra(a.status) {
		return hello{}, 0, c.statusFault(a.status)
	}
	if code, ok := a.code(); ok && (code == mcp.CodeHeaderMismatch || code == mcp.CodeMissingCapability) {
		return hello{}, 0, c.refusal(mcp.MethodDiscover, code)
	}
	return hello{}, tryLegacy, nil
}

// aboutEra reports whether a status may come from a server that does not know
// the modern era: success, and the client errors that do not speak of access.
func aboutEra(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 2 || status/100 == 4
}

// readDiscover reads a discover result. A server that lists no modern version
// we know is a legacy one.
func (c *conversation) readDiscover(result []byte) (said hello, v verdict) {
	err := mcp.Members(result, func(name string, value mcp.Span) error {
		return said.read(name, value.Of(result))
	})
	if err != nil {
		return hello{}, tryLegacy
	}
	for _, ours := range mcp.ModernVersions() {
		if slices.Contains(said.versions, ours) {
			c.version = ours
			return said, speaksModern
		}
	}
	return hello{}, tryLegacy
}

// initialize opens a legacy session: over streamable HTTP, or over HTTP+SSE where
// the status is one that a server of 2024-11-05 gives. An agent speaks to one address
// of a server alone, and so no HTTP+SSE.
func (c *conversation) initialize(ctx context.Context) (hello, error) {
	params := declared.Append([]byte(`{"protocolVersion":"`+mcp.Version20251125+`","capabilities":`), mcp.Version20251125)
	params = append(append(params, `,"clientInfo":`...), c.clientInfo()...)
	params = append(params, '}')
	a, err := c.call(ctx, mcp.MethodInitialize, params)
	if err == nil && a.result() == nil && c.target.Agent == "" && olderTransport(a.status) && c.openStream(ctx) {
		a, err = c.call(ctx, mcp.MethodInitialize, params)
	}
	if err != nil {
		return hello{}, err
	}
	result := a.result()
	if code, ok := a.code(); result == nil && ok && aboutEra(a.status) {
		return hello{}, c.refusal(mcp.MethodInitialize, code)
	}
	if result == nil && a.status/100 == 2 {
		return hello{}, c.garbage(nil, mcp.MethodInitialize)
	}
	if result == nil {
		return hello{}, c.statusFault(a.status)
	}
	if !visibleASCII(a.session) {
		return hello{}, c.garbage(errors.New("session id is not visible ASCII"), mcp.MethodInitialize)
	}
	said, err := c.readInitialize(result)
	if err != nil {
		return hello{}, err
	}
	return said, c.notify(ctx, mcp.MethodInitialized)
}

func (c *conversation) readInitialize(result []byte) (said hello, err error) {
	err = mcp.Members(result, func(name string, value mcp.Span) error {
		return said.read(name, value.Of(result))
	})
	if err != nil {
		return hello{}, c.garbage(err, mcp.MethodInitialize)
	}
	if len(said.versions) != 1 || !slices.Contains(legacyVersions, said.versions[0]) {
		return hello{}, c.trouble(fault.Precondition, nil, "speaks a version of MCP that this Warder does not know; a newer Warder may")
	}
	c.version = said.versions[0]
	return said, nil
}

// visibleASCII holds a session id to what the specification allows; an absent
// one is fine.
func visibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return len(s) <= maxSession
}

// instructions returns a server's instructions; what is no string is none, and
// too long ones are cut.
func instructions(token []byte) string {
	text, err := mcp.String(token)
	if err != nil {
		return ""
	}
	return cut(text, maxInstructions)
}

// clientInfo is who we say we are.
func (c *conversation) clientInfo() []byte {
	info := append([]byte(`{"name":"warder","version":`), mcp.AppendString(nil, c.agent)...)
	return append(info, '}')
}

// params returns the params of a request: the cursor (raw JSON; empty: none)
// and, to a modern server, the _meta of our hop.
func (c *conversation) params(cursor string) []byte {
	out := []byte{'{'}
	if cursor != "" {
		out = append(append(out, `"cursor":`...), cursor...)
	}
	if c.era == mcp.Modern {
		if cursor != "" {
			out = append(out, ',')
		}
		out = append(out, `"_meta":{"io.modelcontextprotocol/protocolVersion":`...)
		out = mcp.AppendString(out, c.version)
		out = declared.Append(append(out, `,"io.modelcontextprotocol/clientCapabilities":`...), c.version)
		out = append(out, `,"io.modelcontextprotocol/clientInfo":`...)
		out = append(append(out, c.clientInfo()...), '}')
	}
	return append(out, '}')
}
