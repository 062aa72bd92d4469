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
	macs sync.Pool // of *mac, all under the pepper
}

// mac is a keyed hash with its scratch space: checking a key allocates nothing.
type mac struct {
	hash   hash.Hash
	secret []byte
	sum    []byte
}

// NewTable returns a table of the keys, each under its Principal.KeyID. It
// takes ownership of pepper and keys. The places that are taken of the keys of the
// former table, if there is one, stay taken of the same keys in this one, so that a new
// snapshot gives nobody new ones. It calls breathe for each key.
func NewTable(pepper []byte, keys []*Key, former *Table, breathe func()) *Table {
	t := &Table{keys: make(map[string]*Key, len(keys))}
	t.macs.New = func() any { return &mac{hash: hmac.New(sha256.New, pepper)} }
	for _, key := range keys {
		breathe()
		id := key.Principal.KeyID
		if before := former.Key(id); before != nil {
			key.places = before.places
		} else {
			key.places = new(places)
		}
		t.keys[id] = key
	}
	return t
}

// Len returns the number of keys.
func (t *Table) Len() int { return len(t.keys) }

// Key returns the key with this id, expired or not; nil if there is none, or no
// table.
func (t *Table) Key(id string) *Key {
	if t == nil {
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
	key, known := t.keys[parsed.ID]
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
