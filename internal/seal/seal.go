// Package seal is authenticated encryption of secrets at rest and of state
// handed to clients.
//
// What is sealed names the key it was sealed with, so that keys can follow one
// another, and is bound to a context: the place it belongs to, for example
// table, column and row. Moved to another place it does not open.
//
//	0x01 | key id (4) | nonce (12) | AES-256-GCM ciphertext and tag
//	└──── associated data: these five bytes, then the parts of the context
//
// Every part of the context is preceded by its length, so ("ab", "c") is not
// ("a", "bc"). Nonces are random: one key is good for four thousand million
// messages.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	version   = 1
	keySize   = 32
	idSize    = 4
	nonceSize = 12
	tagSize   = 16
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
		if i == 0 {
			ring.current = id
		}
	}
	return ring, nil
}

func prepare(key []byte) (keyID, cipher.AEAD, error) {
	if len(key) != keySize {
		return keyID{}, nil, fmt.Errorf("it has %d bytes, not %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return keyID{}, nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return keyID{}, nil, err
	}
	// The id is public; a hash of the key under its own domain gives nothing away.
	sum := sha256.Sum256(append([]byte("warder/seal/key-id/v1"), key...))
	return keyID(sum[:idSize]), aead, nil
}

// Seal encrypts plaintext for a context. The plaintext is not kept.
func (k *Keyring) Seal(plaintext []byte, context ...string) ([]byte, error) {
	sealed := make([]byte, headSize+nonceSize, len(plaintext)+Overhead)
	sealed[0] = version
	copy(sealed[1:], k.current[:])
	nonce := sealed[headSize:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return k.keys[k.current].Seal(sealed, nonce, plaintext, associated(sealed[:headSize], context)), nil
}

// Open decrypts what Seal returned for the same context. Any failure is ErrOpen.
func (k *Keyring) Open(sealed []byte, context ...string) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrOpen
	}
	aead, known := k.keys[keyID(sealed[1:headSize])]
	if !known {
		return nil, ErrOpen
	}
	nonce, box := sealed[headSize:headSize+nonceSize], sealed[headSize+nonceSize:]
	plaintext, err := aead.Open(nil, nonce, box, associated(sealed[:headSize], context))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// associated returns head and context as one unambiguous string of bytes.
func associated(head []byte, context []string) []byte {
	data := append([]byte(nil), head...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(context)))
	for _, part := range context {
		data = binary.BigEndian.AppendUint64(data, uint64(len(part)))
		data = append(data, part...)
	}
	return data
}
