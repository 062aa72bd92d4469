package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Index is one snapshot, made ready. It is immutable as seen from outside, and
// safe for concurrent use; it lives as long as a call holds it.
type Index struct {
	revision    uint64
	policy      *policy.Set
	credentials *credential.Table
	profiles    map[*credential.Key]*Profile
	servers     map[string]*Server
	tools       []*Tool // in the order of lists
	exposed     map[string]*Tool
	lists       prepared
	digests     sync.Pool // of *digest, all under the digest key
	cursorKey   []byte
	unusable    []Unusable
}

// Server is an MCP server that can be called.
type Server struct {
	// Item must not be changed.
	Item  *snapshotv1.Server
	tools map[string]*Tool
}

// Name returns the slug.
func (s *Server) Name() string { return s.Item.GetName() }

// Tool is a tool that can be called, if policy allows.
type Tool struct {
	// Item must not be changed.
	Item   *snapshotv1.Tool
	Server *Server
	// Risk is that of the item; one that was left open counts as unclassified,
	// the riskiest.
	Risk snapshotv1.Risk
	// Params are the arguments that modern clients repeat in headers.
	Params []Param

	index   int    // in Index.tools
	exposed []byte // the definition under the exposed name
}

// Name returns the name that the server knows.
func (t *Tool) Name() string { return t.Item.GetName() }

// Unusable is an item that was set aside, and why.
type Unusable struct{ Key, Why string }

// Revision returns the revision of the snapshot.
func (x *Index) Revision() uint64 { return x.revision }

// Credentials returns the table of keys.
func (x *Index) Credentials() *credential.Table { return x.credentials }

// Profile returns the profile of a key of this index, and of any other key one
// that is denied everything.
func (x *Index) Profile(key *credential.Key) *Profile {
	if profile, ok := x.profiles[key]; ok {
		return profile
	}
	return nobody
}

// Exposed returns the tool with this name on the aggregate endpoint.
func (x *Index) Exposed(name string) (*Tool, bool) {
	tool, ok := x.exposed[name]
	return tool, ok
}

// Server returns the server with this slug.
func (x *Index) Server(slug string) (*Server, bool) {
	server, ok := x.servers[slug]
	return server, ok
}

// Tool returns the tool that the server knows by this name.
func (s *Server) Tool(name string) (*Tool, bool) {
	tool, ok := s.tools[name]
	return tool, ok
}

// Servers returns the items of all servers, in no particular order. They must
// not be changed.
func (x *Index) Servers() []*snapshotv1.Server {
	items := make([]*snapshotv1.Server, 0, len(x.servers))
	for _, server := range x.servers {
		items = append(items, server.Item)
	}
	return items
}

// Tools returns the number of tools that can be called.
func (x *Index) Tools() int { return len(x.tools) }

// Unusable returns what was set aside, in no particular order. The caller must
// not change it.
func (x *Index) Unusable() []Unusable { return x.unusable }

// digest is a keyed hash with room for its sum.
type digest struct {
	hash hash.Hash
	sum  [sha256.Size]byte
}

// Digest appends to dst the keyed digest (HMAC-SHA-256) of a payload, as audit
// events carry it: equal payloads can be found, and none can be guessed.
func (x *Index) Digest(dst, payload []byte) []byte {
	d := x.digests.Get().(*digest)
	defer x.digests.Put(d)
	d.hash.Reset()
	d.hash.Write(payload)
	return append(dst, d.hash.Sum(d.sum[:0])...)
}

// setDigestKey also derives the key of cursors, so that neither says anything
// of the other.
func (x *Index) setDigestKey(key []byte) {
	x.digests.New = func() any { return &digest{hash: hmac.New(sha256.New, key)} }
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("warder/cursor/v1"))
	x.cursorKey = mac.Sum(nil)
}
