// Package seal is authenticated encryption of secrets at rest and of state
// handed to clients.
//
// What is sealed names the key it was sealed with, so that keys can follow one
// another, and is bound to a context: the place it belongs to, for example
// table, column and row. Moved to another place it does not open.
//
//	0x01 | key id (4) | nonce (24) | XChaCha20-Poly1305 ciphertext and tag (16)
//	└──── associated data: these five bytes, then the parts of the context
//
// Every part of the context is preceded by its length, so ("ab", "c") is not
// ("a", "bc").
//
// # How much one key may seal
//
// Nonces are random, and nobody counts what a fleet of nodes seals with one key, so
// the nonce must be long enough for chance alone. Of n messages, two share a nonce
// with a probability below n²/2^(b+1), b being the bits of the nonce; what is
// accepted here is 2^-32.
//
//	 96 bits (AES-GCM):            n = 2^32.  A thousand nodes that seal 100 times
//	                               a second are there after half a day.
//	192 bits (XChaCha20-Poly1305): n = 2^80.  The same nodes are there after
//	                               380 thousand million years.
//
// A key seals for thirty days, so its use needs no counting. The price, where the
// processor has AES instructions, is a quarter of a microsecond to open a session id
// (0.71 µs instead of 0.50) and no allocation. Not chosen: AES-GCM under keys that
// are derived for each node or message, a construction of our own to be reviewed
// where this one is the library's.
//
// Forgeries: a tag of Poly1305 holds against v attempts at messages of m bytes but
// for a chance of 8v⌈m/16⌉/2^106 (RFC 8439, section 4). At a million attempts a
// second with the largest handle, of a mebibyte, that is 2^-50 in a day.
package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	version   = 1
	keySize   = chacha20poly1305.KeySize
	idSize    = 4
	nonceSize = chacha20poly1305.NonceSizeX
	tagSize   = chacha20poly1305.Overhead
	headSize  = 1 + idSize

	// Overhead is how many bytes longer the sealed form is than the plaintext.
	Overhead = headSize + nonceSize + tagSize
)

// ErrOpen is the answer to everything that does not open: another key, another
// context, a changed byte. It does not say which.
var ErrOpen = errors.New("sealed value does not open with this key and context")

// Keyring holds the keys. It is immutable and safe for concurrent use.
type Keyring struct {
	current keyID
	order   []keyID // as given to NewKeyring
	keys    map[keyID]cipher.AEAD
}

type keyID [idSize]byte

// NewKeyring returns a ring whose first key seals; all of them open. Each key is
// 32 bytes long.
func NewKeyring(keys ...[]byte) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("make keyring: no key given")
	}
	ring := &Keyring{keys: make(map[keyID]cipher.AEAD, len(keys))}
	for i, key := range keys {
		id, aead, err := prepare(key)
		if err != nil {
			return nil, fmt.Errorf("make keyring: key %d: %w", i+1, err)
		}
		if _, taken := ring.keys[id]; taken {
			return nil, fmt.Errorf("make keyring: key %d has the id of another", i+1)
		}
		ring.keys[id] = aead
		ring.order = append(ring.order, id)
	}
	ring.current = ring.order[0]
	return ring, nil
}

// Led returns a ring of the same keys in which the i-th one given to NewKeyring,
// counted from 0, seals. The rings share their memory.
func (k *Keyring) Led(i int) *Keyring {
	return &Keyring{current: k.order[i], order: k.order, keys: k.keys}
}

func prepare(key []byte) (keyID, cipher.AEAD, error) {
	if len(key) != keySize {
		return keyID{}, nil, fmt.Errorf("it has %d bytes, not %d", len(key), keySize)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return keyID{}, nil, err
	}
	// The id is public; a hash of the key under its own domain gives nothing away.
	sum := sha256.Sum256(append([]byte("warder/seal/key-id/v1"), key...))
	return keyID(sum[:idSize]), aead, nil
}

// Seal encrypts plaintext for a context. The plaintext is not kept.
func (k *Keyring) Seal(plaintext []byte, context ...string) ([]byte, error) {
	var place Context
	place.Set(context...)
	return k.SealTo(make([]byte, 0, len(plaintext)+Overhead), plaintext, &place)
}

// Open decrypts what Seal returned for the same context. Any failure is ErrOpen.
func (k *Keyring) Open(sealed []byte, context ...string) ([]byte, error) {
	var place Context
	place.Set(context...)
	return k.OpenTo(nil, sealed, &place)
}

// SealTo is Seal for whoever has memory to use again: it appends the sealed form
// to dst. The plaintext must not lie in dst's spare capacity.
func (k *Keyring) SealTo(dst, plaintext []byte, context *Context) ([]byte, error) {
	start := len(dst)
	dst = append(dst, version)
	dst = append(dst, k.current[:]...)
	dst = append(dst, make([]byte, nonceSize)...)
	nonce := dst[start+headSize:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return k.keys[k.current].Seal(dst, nonce, plaintext, context.under(dst[start:][:headSize])), nil
}

// OpenTo is Open for whoever has memory to use again: it appends the plaintext to
// dst. The sealed form must not lie in dst's spare capacity.
func (k *Keyring) OpenTo(dst, sealed []byte, context *Context) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrOpen
	}
	aead, known := k.keys[keyID(sealed[1:headSize])]
	if !known {
		return nil, ErrOpen
	}
	nonce, box := sealed[headSize:headSize+nonceSize], sealed[headSize+nonceSize:]
	plaintext, err := aead.Open(dst, nonce, box, context.under(sealed[:headSize]))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// Context is the place that a sealed value belongs to, as SealTo and OpenTo take
// it. The zero value is the context of no parts. One goroutine uses it at a time.
type Context struct {
	// data is the associated data: room for the head, then the parts.
	data []byte
}

// Set makes the context that of the parts, in the memory of what it was before.
func (c *Context) Set(parts ...string) {
	c.data = append(c.data[:0], make([]byte, headSize)...)
	c.data = binary.BigEndian.AppendUint32(c.data, uint32(len(parts)))
	for _, part := range parts {
		c.data = binary.BigEndian.AppendUint64(c.data, uint64(len(part)))
		c.data = append(c.data, part...)
	}
}

// under returns head and context as one unambiguous string of bytes.
func (c *Context) under(head []byte) []byte {
	if c.data == nil {
		c.Set()
	}
	copy(c.data, head)
	return c.data
}
