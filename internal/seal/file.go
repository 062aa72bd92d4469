package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/warder-gateway/warder/internal/draft"
	"github.com/warder-gateway/warder/internal/fault"
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
	key, err := loadOwn(path, keySize+1)
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, fault.Newf(fault.Precondition, "key file %s has not exactly %d bytes; restore it from a backup", path, keySize)
	}
	return key, nil
}

// loadOwn returns at most the first limit bytes of a file that is acceptable.
func loadOwn(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := acceptable(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(file, limit))
}

// acceptable refuses what may have been read or replaced by others. Windows has
// no such bits; its files are guarded by the directory they inherit from.
func acceptable(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fault.Newf(fault.Precondition, "key file %s is not a regular file", path)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return fault.Newf(fault.Precondition, "key file %s can be reached by others (mode %04o); run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// create makes a file with one new key.
func create(path string) error {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return draft.Place(path, key)
}
