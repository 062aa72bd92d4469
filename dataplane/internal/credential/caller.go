package credential

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/token"
	"github.com/warder-gateway/warder/internal/principal"
)

// Caller is who presented a good credential, as one table knows him. He is
// immutable, but for the places that are taken of him.
type Caller struct {
	// Hash is, of an API key, apikey.Hash of the secret part under the table's
	// pepper.
	Hash []byte
	// Expires is the first moment at which the credential is no longer good; zero
	// means that it does not expire.
	Expires time.Time
	// Principal is whom the credential stands for; its KeyID is the id of the key,
	// and empty for a token.
	Principal *principal.Principal
	// Standing is what the owner of the table makes of the caller; set before the
	// table is used, or by Admission.
	Standing any
	// ID tells callers apart whom bounds are counted for: see the function ID. It is
	// set by the table, and shown to nobody.
	ID string

	places *places // of a key
	token  *token.Token
	trust  *trust // of the table that let a token in
}

// ID returns what bounds of callers are counted by: the key, or for tokens the
// user and application that one issuer names, however many tokens they have.
func ID(p *principal.Principal) string {
	if p.KeyID != "" || p.Issuer == "" {
		return p.KeyID
	}
	return p.Issuer + "\x00" + p.User + "\x00" + p.Application
}

// Token reports whether the caller presented a token.
func (c *Caller) Token() bool { return c.token != nil }

// Expired reports whether the credential is no longer good.
func (c *Caller) Expired(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

// Enter takes a place for one request of the caller, unless most are taken. Whoever
// took one gives it back with Leave. The caller is one of a table.
func (c *Caller) Enter(most int64) bool {
	if c.places == nil {
		return c.trust.crowd.enter(c.ID, most)
	}
	if c.places.taken.Add(1) <= most {
		return true
	}
	c.Leave()
	return false
}

// Leave gives a place back.
func (c *Caller) Leave() {
	if c.places == nil {
		c.trust.crowd.leave(c.ID)
		return
	}
	c.places.taken.Add(-1)
}

// places counts the requests of a key that are being served. Each has a cache line
// of its own, so that keys in use at the same time do not slow one another down.
type places struct {
	taken atomic.Int64
	_     [56]byte
}

// crowd counts the requests of callers by token that are being served. Who has none
// takes no room in it, so that it is bounded by the requests of the node.
type crowd struct {
	mu    sync.Mutex
	taken map[string]int64
}

func (c *crowd) enter(id string, most int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken[id] >= most {
		return false
	}
	c.taken[id]++
	return true
}

func (c *crowd) leave(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken[id]--; c.taken[id] <= 0 {
		delete(c.taken, id)
	}
}
