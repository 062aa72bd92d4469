package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Index is one snapshot, made ready. It is immutable as seen from outside, and
// safe for concurrent use; it lives as long as a call holds it.
type Index struct {
	// core is what does not change with the deny overlay: indexes that differ in
	// nothing else share it.
	*core
	revision    uint64
	credentials *credential.Table
	overlay     *overlay
}

// core is all of a snapshot but its deny overlay.
type core struct {
	policy  *policy.Set       // without denials
	limited bool              // the policy has limits
	keys    *credential.Table // revoked ones included
	callers callers
	servers map[string]*Server
	order   []*Server // by name
	web     []*Server // those with templates of web addresses, by name
	// entries are in the order of lists: by list, then by server, then as the
	// server lists them.
	entries []*Entry
	spans   [lists]span // of each list in entries
	exposed [lists]map[string]*Entry
	// plain has, for each kind, a bit for each method that no rule tells from the
	// kind's main one.
	plain    [policy.Resource + 1]uint8
	verdicts verdicts
	lists    prepared
	digests  sync.Pool // of *digest, all under the digest key
	sealer   *handle.Sealer
	sealKeys []*snapshotv1.SealKey
	unusable []Unusable
}

// span is a part of Index.entries.
type span struct{ from, to int }

// Server is an MCP server that can be called.
type Server struct {
	// Item must not be changed.
	Item *snapshotv1.Server
	// Capabilities are those that the server declared; none, if that is not known.
	Capabilities mcp.ServerCapabilities

	extension []byte      // what it declared of MCP Apps; nil: nothing
	prefix    string      // of its URIs on the aggregate
	spans     [lists]span // in Index.entries
	listed    [lists]map[string]*Entry
	templates []*Entry
	folded    map[string]*Entry // listed resources by uri.Fold: of each the riskiest
	withheld  map[string]bool   // URIs, as they are and as uri.Fold makes them
	barred    []*bar
	unlisted  *Entry // stands for what the server does not list; nil: nothing
}

// Name returns the slug.
func (s *Server) Name() string { return s.Item.GetName() }

// Era returns the era that the server speaks, 0 if that is not known yet.
func (s *Server) Era() mcp.Era {
	switch version := s.Item.GetProtocolVersion(); {
	case version == "":
		return 0
	case version >= mcp.Version20260728:
		return mcp.Modern
	}
	return mcp.Legacy
}

// Unusable is an item that was set aside, and why.
type Unusable struct{ Key, Why string }

// Revision returns the revision of the snapshot.
func (x *Index) Revision() uint64 { return x.revision }

// Credentials returns the table of callers.
func (x *Index) Credentials() *credential.Table { return x.credentials }

// Profile returns the profile of a caller of this index, and of any other one that
// is denied everything.
func (x *Index) Profile(caller *credential.Caller) *Profile {
	if caller == nil {
		return nobody
	}
	if profile, ok := caller.Standing.(*Profile); ok && profile.index == x.core {
		return x.overlay.over(profile, caller.Principal)
	}
	return nobody
}

// Server returns the server with this slug.
func (x *core) Server(slug string) (*Server, bool) {
	server, ok := x.servers[slug]
	return server, ok
}

// Servers returns the items of all servers, in no particular order. They must
// not be changed.
func (x *core) Servers() []*snapshotv1.Server {
	items := make([]*snapshotv1.Server, 0, len(x.servers))
	for _, server := range x.servers {
		items = append(items, server.Item)
	}
	return items
}

// Tools returns the number of tools that can be called.
func (x *core) Tools() int { return x.spans[Tools].to - x.spans[Tools].from }

// Sealer seals and opens what clients carry.
func (x *core) Sealer() *handle.Sealer { return x.sealer }

// SealKeys returns the keys of the sealer. They must not be changed.
func (x *core) SealKeys() []*snapshotv1.SealKey { return x.sealKeys }

// Unusable returns what was set aside, in no particular order. The caller must
// not change it.
func (x *core) Unusable() []Unusable { return x.unusable }

// digest is a keyed hash with room for its sum.
type digest struct {
	hash hash.Hash
	sum  [sha256.Size]byte
}

// Digest appends to dst the keyed digest (HMAC-SHA-256) of a payload, as audit
// events carry it: equal payloads can be found, and none can be guessed.
func (x *core) Digest(dst, payload []byte) []byte {
	d := x.digests.Get().(*digest)
	defer x.digests.Put(d)
	d.hash.Reset()
	d.hash.Write(payload)
	return append(dst, d.hash.Sum(d.sum[:0])...)
}

func (x *core) setDigestKey(key []byte) {
	x.digests.New = func() any { return &digest{hash: hmac.New(sha256.New, key)} }
}
