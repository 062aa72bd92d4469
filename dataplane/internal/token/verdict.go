package token

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// kept is what is kept with a token.
type kept struct {
	key  string                 // print of the key that signed
	keys atomic.Pointer[keySet] // where that key was last seen
	any  atomic.Pointer[any]
}

// Keep keeps something with the token, for as long as its verdict is kept.
func (t *Token) Keep(what any) { t.kept.any.Store(&what) }

// Kept returns what was last kept with the token; nil if nothing was.
func (t *Token) Kept() any {
	if what := t.kept.any.Load(); what != nil {
		return *what
	}
	return nil
}

// verdict is what was found of a text: a token, or why it is none.
type verdict struct {
	token *Token

	refusal *Refusal
	until   time.Time
	issuer  *Issuer
	keys    *keySet
}

// holds reports whether a refusal would be the same today: it hung on the issuer
// and its keys.
func (v *verdict) holds(k *Keeper, all *Issuers) bool {
	if all == nil || all.byName[v.issuer.Name()] == nil || all.byName[v.issuer.Name()].print != v.issuer.print {
		return false
	}
	s := k.keysOf(v.issuer)
	return s != nil && s.current.Load() == v.keys
}

// maxNegative is how long a refusal is remembered.
const maxNegative = 10 * time.Second

// Verdicts that are remembered: of good tokens, and apart from them of bad ones, so
// that a flood of those drives no good one out.
const (
	shards     = 16
	maxGood    = 1024 // a shard and generation
	maxRefused = 128
)

// verdicts remembers verdicts by the SHA-256 of the text. When a generation is
// full, the one before it is forgotten: what is in use comes along into the new
// one, the rest costs its sender a verification.
type verdicts struct{ shards [shards]shard }

type shard struct {
	mu            sync.RWMutex
	good, refused generations
}

type generations struct {
	young, old map[[sha256.Size]byte]*verdict
}

func (g *generations) put(digest [sha256.Size]byte, v *verdict, most int) {
	if g.young == nil || len(g.young) >= most {
		g.young, g.old = make(map[[sha256.Size]byte]*verdict), g.young
	}
	g.young[digest] = v
}

func (all *verdicts) of(digest [sha256.Size]byte) *shard { return &all.shards[digest[0]%shards] }

func (all *verdicts) get(digest [sha256.Size]byte) *verdict {
	s := all.of(digest)
	s.mu.RLock()
	v := s.good.young[digest]
	old := v == nil
	if old {
		v = s.good.old[digest]
	}
	refused := s.refused.young[digest]
	s.mu.RUnlock()
	if v == nil {
		return refused
	}
	if old {
		all.put(digest, v)
	}
	return v
}

func (all *verdicts) put(digest [sha256.Size]byte, v *verdict) {
	s := all.of(digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.token != nil {
		s.good.put(digest, v, maxGood)
	} else {
		s.refused.put(digest, v, maxRefused)
	}
}
