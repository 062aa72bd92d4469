package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/ownfile"
)

// maxVaultFile bounds a file of key-encryption keys, in bytes.
const maxVaultFile = 64 << 10

// ParseVault reads key-encryption keys, 32 bytes in base64 each, from a text: the
// newest first, with white space or commas between them.
func ParseVault(text string) (*Vault, error) {
	var keys [][]byte
	for i, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) }) {
		key, err := base64.StdEncoding.DecodeString(word)
		if err != nil || len(key) != keySize {
			return nil, fault.Newf(fault.Precondition, "key %d is not %d bytes in base64; make one with: openssl rand -base64 %d", i+1, keySize, keySize)
		}
		keys = append(keys, key)
	}
	return NewVault(keys...)
}

// LoadVault reads key-encryption keys from a file, one a line, the newest first; or
// makes the file with a new random key if there is none. What LoadOrCreate refuses
// it refuses as well.
func LoadVault(path string) (*Vault, error) {
	text, err := ownfile.Read(path, maxVaultFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createVault(path); err != nil {
			return nil, fmt.Errorf("create key file %s: %w", path, err)
		}
		text, err = ownfile.Read(path, maxVaultFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	vault, err := ParseVault(string(text))
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	return vault, nil
}

// createVault makes a file with one key.
func createVault(path string) error {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	var text bytes.Buffer
	fmt.Fprintln(&text, base64.StdEncoding.EncodeToString(key))
	return ownfile.Place(path, text.Bytes())
}
