package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/ownfile"
)

// LoadOrCreate reads the key from a file, or makes the file with a new random
// key if there is none. Of several processes that make it at once, one wins and
// all read the same key. A file that others may read, that is no regular file
// or that has not exactly the length of a key is refused, never replaced: what
// was sealed with it would be lost.
func LoadOrCreate(path string) (*Keyring, error) {
	key, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("create key file %s: %w", path, err)
		}
		key, err = load(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	return NewKeyring(key)
}

func load(path string) ([]byte, error) {
	// One byte more than a key shows that a file is too long.
	key, err := ownfile.Read(path, keySize+1)
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, fault.Newf(fault.Precondition, "key file %s has not exactly %d bytes; restore it from a backup", path, keySize)
	}
	return key, nil
}

// create makes a file with one new key.
func create(path string) error {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return ownfile.Place(path, key)
}
