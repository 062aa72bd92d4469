package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Vault seals secrets at rest, in envelopes: each secret under a data key of its
// own, and the data key under a key-encryption key.
//
//	0x02 | KEK id (4) | nonce (12) | data key, sealed (48) | nonce (12) | secret, sealed
//	└── associated data of both: these five bytes, then the parts of the context
//
// Both are AES-256-GCM. A data key seals once, so its nonce cannot come again; a
// key-encryption key seals data keys alone, of which an installation makes far fewer
// than the 2^32 that random nonces of 96 bits allow.
//
// The first key seals, all of them open: a new one is put before the others. A Vault
// is immutable and safe for concurrent use.
type Vault struct {
	order []keyID
	keys  map[keyID]cipher.AEAD
}

const (
	envelopeVersion = 2
	gcmNonce        = 12
	wrappedKey      = keySize + tagSize
	envelopeHead    = headSize + gcmNonce + wrappedKey
)

// NewVault returns a vault of key-encryption keys, the newest first. Each is 32
// bytes long.
func NewVault(keys ...[]byte) (*Vault, error) {
	if len(keys) == 0 {
		return nil, errors.New("make vault: no key given")
	}
	v := &Vault{keys: make(map[keyID]cipher.AEAD, len(keys))}
	for i, key := range keys {
		aead, err := newGCM(key)
		if err != nil {
			return nil, fmt.Errorf("make vault: key %d: %w", i+1, err)
		}
		sum := sha256.Sum256(append([]byte("warder/seal/kek-id/v1"), key...))
		id := keyID(sum[:idSize])
		if _, taken := v.keys[id]; taken {
			return nil, fmt.Errorf("make vault: key %d is there twice", i+1)
		}
		v.keys[id], v.order = aead, append(v.order, id)
	}
	return v, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("it has %d bytes, not %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal seals a secret for a context: table, column, row.
func (v *Vault) Seal(plaintext []byte, context ...string) ([]byte, error) {
	random := make([]byte, keySize+2*gcmNonce)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("draw data key: %w", err)
	}
	data, nonces := random[:keySize], random[keySize:]
	defer clear(data)
	inner, err := newGCM(data)
	if err != nil {
		return nil, err
	}
	var place Context
	place.Set(context...)
	id := v.order[0]
	sealed := append([]byte{envelopeVersion}, id[:]...)
	bound := place.under(sealed)
	sealed = append(sealed, nonces[:gcmNonce]...)
	sealed = v.keys[id].Seal(sealed, nonces[:gcmNonce], data, bound)
	sealed = append(sealed, nonces[gcmNonce:]...)
	return inner.Seal(sealed, nonces[gcmNonce:], plaintext, bound), nil
}

// Open returns what Seal was given for the same context. Any failure is ErrOpen.
func (v *Vault) Open(sealed []byte, context ...string) ([]byte, error) {
	if len(sealed) < envelopeHead+gcmNonce+tagSize || sealed[0] != envelopeVersion {
		return nil, ErrOpen
	}
	kek, known := v.keys[keyID(sealed[1:headSize])]
	if !known {
		return nil, ErrOpen
	}
	var place Context
	place.Set(context...)
	bound := place.under(sealed[:headSize])
	data, err := kek.Open(nil, sealed[headSize:headSize+gcmNonce], sealed[headSize+gcmNonce:envelopeHead], bound)
	if err != nil {
		return nil, ErrOpen
	}
	defer clear(data)
	inner, err := newGCM(data)
	if err != nil {
		return nil, ErrOpen
	}
	plaintext, err := inner.Open(nil, sealed[envelopeHead:envelopeHead+gcmNonce], sealed[envelopeHead+gcmNonce:], bound)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// IDs returns the ids of the keys, that of the one which seals first. They say
// nothing of the keys.
func (v *Vault) IDs() []string {
	ids := make([]string, len(v.order))
	for i, id := range v.order {
		ids[i] = hex.EncodeToString(id[:])
	}
	return ids
}

// KeyOf returns the id of the key that sealed an envelope; empty if it is none.
func KeyOf(sealed []byte) string {
	if len(sealed) < headSize || sealed[0] != envelopeVersion {
		return ""
	}
	return hex.EncodeToString(sealed[1:headSize])
}
