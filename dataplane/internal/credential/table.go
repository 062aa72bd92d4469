package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/principal"
)

// Key is what a node knows of an API key. It is immutable, but for the places that
// are taken of it.
type Key struct {
	// Hash is apikey.Hash of the secret part under the table's pepper.
	Hash []byte
	// Expires is the first moment at which the key is no longer good; zero
	// means that it does not expire.
	Expires time.Time
	// Principal is whom the key stands for; its KeyID is the id of the key.
	Principal *principal.Principal

	places *places // set by the table
}

// places counts the requests of a key that are being served. Each has a cache line
// of its own, so that keys in use at the same time do not slow one another down.
type places struct {
	taken atomic.Int64
	_     [56]byte
}

// Enter takes a place for one request of the key, unless most are taken. Whoever
// took one gives it back with Leave. The key is one of a table.
func (k *Key) Enter(most int64) bool {
	if k.places.taken.Add(1) <= most {
		return true
	}
	k.Leave()
	return false
}

// Leave gives a place back.
func (k *Key) Leave() { k.places.taken.Add(-1) }

// Table finds keys by their id and checks their secrets. It is safe for
// concurrent use.
type Table struct {
	keys map[string]*Key
	// revoked are keys that are as good as not there.
	revoked map[string]struct{}
	macs    *sync.Pool // of *mac, all under the pepper
}

// mac is a keyed hash with its scratch space: checking a key allocates nothing.
type mac struct {
	hash   hash.Hash
	secret []byte
	sum    []byte
}

// NewTable returns a table of the keys, each under its Principal.KeyID. It
// takes ownership of both arguments.
func NewTable(pepper []byte, keys []*Key) *Table {
	t := &Table{keys: make(map[string]*Key, len(keys)), macs: &sync.Pool{
		New: func() any { return &mac{hash: hmac.New(sha256.New, pepper)} },
	}}
	for _, key := range keys {
		key.places = new(places)
		t.keys[key.Principal.KeyID] = key
	}
	return t
}

// Follow makes the places that are taken of former's keys be taken of the same keys
// in t, so that a new snapshot gives nobody new ones. It must be called before t is
// used.
func (t *Table) Follow(former *Table) {
	for id, key := range t.keys {
		if before := former.keys[id]; before != nil {
			key.places = before.places
		}
	}
}

// Without returns a table of the same keys, places included, but for those that are
// revoked: all of them, whatever t was without. It takes ownership of revoked, and
// costs the same however many keys there are.
func (t *Table) Without(revoked map[string]struct{}) *Table {
	return &Table{keys: t.keys, revoked: revoked, macs: t.macs}
}

// Len returns the number of keys, those included that Without left out.
func (t *Table) Len() int { return len(t.keys) }

// Key returns the key with this id, expired or not; nil if there is none.
func (t *Table) Key(id string) *Key {
	if _, revoked := t.revoked[id]; revoked {
		return nil
	}
	return t.keys[id]
}

// nobody stands in for a key that is not there: its hash is compared like any
// other and equals none, because no secret is known that hashes to zeros.
var nobody = &Key{Hash: make([]byte, sha256.Size)}

// check returns the key that the text is, or why it is not accepted.
func (t *Table) check(text string, now time.Time) (*Key, *Refusal) {
	parsed, err := apikey.Parse(text)
	if err != nil {
		return nil, &malformed
	}
	key := t.Key(parsed.ID)
	known := key != nil
	if !known {
		key = nobody
	}
	if !t.matches(parsed.Secret, key.Hash) || !known {
		return nil, &unknown
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return nil, expired(key)
	}
	return key, nil
}

// matches compares the secret's hash in constant time.
func (t *Table) matches(secret string, want []byte) bool {
	m := t.macs.Get().(*mac)
	defer t.macs.Put(m)
	m.hash.Reset()
	m.secret = append(m.secret[:0], secret...)
	m.hash.Write(m.secret)
	clear(m.secret)
	m.sum = m.hash.Sum(m.sum[:0])
	return subtle.ConstantTimeCompare(m.sum, want) == 1
}
