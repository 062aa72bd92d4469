package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/token"
	"github.com/warder-gateway/warder/internal/apikey"
)

// Table finds keys by their id and checks their secrets, and has tokens verified by
// the issuers of its snapshot. It is safe for concurrent use.
type Table struct {
	keys map[string]*Caller
	// revoked are keys that are as good as not there.
	revoked map[string]struct{}
	macs    *sync.Pool // of *mac, all under the pepper
	trust   *trust
}

// trust is what a table needs to take tokens. Tables that Without parts share it.
type trust struct {
	issuers *token.Issuers
	admit   Admission
	keeper  *token.Keeper
	crowd   *crowd
}

// Admission makes a caller of a verified token: his Principal and Standing. Nil
// means that he is not let in, however good the token.
type Admission func(*token.Token) *Caller

// mac is a keyed hash with its scratch space: checking a key allocates nothing.
type mac struct {
	hash   hash.Hash
	secret []byte
	sum    []byte
}

// NewTable returns a table of the keys, each under its Principal.KeyID. It
// takes ownership of pepper and keys, and calls breathe for each key.
func NewTable(pepper []byte, keys []*Caller, breathe func()) *Table {
	t := &Table{
		keys:  make(map[string]*Caller, len(keys)),
		macs:  &sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, pepper)} }},
		trust: &trust{crowd: &crowd{taken: make(map[string]int64)}},
	}
	for _, key := range keys {
		breathe()
		key.places, key.ID = new(places), key.Principal.KeyID
		t.keys[key.Principal.KeyID] = key
	}
	return t
}

// Trust makes the table take tokens of these issuers. It must be called before t is
// used.
func (t *Table) Trust(issuers *token.Issuers, admit Admission) {
	t.trust.issuers, t.trust.admit = issuers, admit
}

// Verify says who verifies tokens; without, none is good. It must be called before
// t is used.
func (t *Table) Verify(keeper *token.Keeper) { t.trust.keeper = keeper }

// Issuers returns the issuers of the table.
func (t *Table) Issuers() *token.Issuers { return t.trust.issuers }

// Follow makes the places that are taken of former's callers be taken of the same
// callers in t, so that a new snapshot gives nobody new ones. It must be called
// before t is used. It calls breathe for each key.
func (t *Table) Follow(former *Table, breathe func()) {
	t.trust.crowd = former.trust.crowd
	for id, key := range t.keys {
		breathe()
		if before := former.keys[id]; before != nil {
			key.places = before.places
		}
	}
}

// Without returns a table of the same keys, places included, but for those that are
// revoked: all of them, whatever t was without. It takes ownership of revoked, and
// costs the same however many keys there are.
func (t *Table) Without(revoked map[string]struct{}) *Table {
	return &Table{keys: t.keys, revoked: revoked, macs: t.macs, trust: t.trust}
}

// Len returns the number of keys, those included that Without left out.
func (t *Table) Len() int { return len(t.keys) }

// Key returns the key with this id, expired or not; nil if there is none.
func (t *Table) Key(id string) *Caller {
	if _, revoked := t.revoked[id]; revoked {
		return nil
	}
	return t.keys[id]
}

// Renew returns what a caller of another table is in this one, by the credential
// that he presented there; nil if it is no longer good. A key is returned expired or
// not.
func (t *Table) Renew(c *Caller, now time.Time) *Caller {
	switch {
	case c.token == nil:
		return t.Key(c.Principal.KeyID)
	case t.trust.keeper == nil || !t.trust.keeper.Holds(t.trust.issuers, c.token, now):
		return nil
	}
	return t.bearer(c.token)
}

// bearer returns the caller that a token stands for; nil if he is not let in.
func (t *Table) bearer(verified *token.Token) *Caller {
	if c, ok := verified.Kept().(*Caller); ok && c.trust == t.trust {
		return c
	}
	c := t.trust.admit(verified)
	if c == nil {
		return nil
	}
	c.Expires, c.ID, c.token, c.trust = verified.Expires, ID(c.Principal), verified, t.trust
	verified.Keep(c)
	return c
}

// nobody stands in for a key that is not there: its hash is compared like any
// other and equals none, because no secret is known that hashes to zeros.
var nobody = &Caller{Hash: make([]byte, sha256.Size)}

// check returns the key that the text is, or why it is not accepted.
func (t *Table) check(text string, now time.Time) (*Caller, *Refusal) {
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
	if key.Expired(now) {
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
