package catalog

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Target is a server to discover.
type Target struct {
	// Name is the slug.
	Name string
	// URL of the streamable HTTP endpoint.
	URL string
	// Headers to send with every request. Secret.
	Headers http.Header
	// Private allows special-purpose addresses.
	Private bool
}

// Discovery is what a server offers. It is immutable.
type Discovery struct {
	// ProtocolVersion as negotiated; "2026-07-28" or later is a modern server.
	ProtocolVersion string
	// Instructions of the server, for people to read. Untrusted text.
	Instructions string
	// Tools in the server's own order.
	Tools []Tool
	// Refused are the definitions that are not fit to be offered.
	Refused []Refusal
}

// Tool is one definition that is fit to be shown to a person for approval.
type Tool struct {
	Name        string
	ExposedName string
	// Definition exactly as the server sent it.
	Definition []byte
	// Hash of the canonical definition.
	Hash [sha256.Size]byte
	Risk snapshotv1.Risk
	// Position in the server's list, refused definitions counted too.
	Position int
}

// Refusal is a definition that is never callable, and why.
type Refusal struct {
	// Name as the server spells it, escaped to printable ASCII; "#3" for the
	// third definition if it has none.
	Name string
	// Reason is a clause: "its name is taken by another tool of the server".
	Reason string
}

// Caps of one discovery.
type caps struct {
	pages, tools int
	bytes        int64
	definition   int           // bytes of one definition
	total        time.Duration // of the whole conversation
	request      time.Duration // of one request
}

func defaultCaps() caps {
	return caps{
		pages: 1_000, tools: 10_000, bytes: 32 << 20, definition: 256 << 10,
		total: 30 * time.Second, request: 10 * time.Second,
	}
}

// Discoverer asks servers for their tools. It is safe for concurrent use and
// holds nothing between calls.
type Discoverer struct {
	version string
	caps    caps
}

// NewDiscoverer returns a Discoverer that introduces itself as this version of
// Warder.
func NewDiscoverer(version string) *Discoverer {
	return &Discoverer{version: version, caps: defaultCaps()}
}

// Discover asks a server what it offers. Errors are faults whose text names the
// server and says what to do; fault.Invalid means that the target itself is
// wrong (its URL, or an address that needs Private), everything else that the
// server did not answer as it should.
func (d *Discoverer) Discover(ctx context.Context, target Target) (*Discovery, error) {
	if err := CheckURL(target); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.caps.total)
	defer cancel()
	c := newConversation(target, d.version, d.caps)
	defer c.close(ctx)
	found := new(Discovery)
	if err := c.open(ctx, found); err != nil {
		return nil, err
	}
	raw, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	found.ProtocolVersion = c.version
	found.Tools, found.Refused = sift(target.Name, raw, d.caps.definition)
	return found, nil
}
