package replica

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
	"github.com/warder-gateway/warder/internal/ownfile"
)

const (
	snapshotFile = "snapshot.sealed"
	pinFile      = "control-plane.pub"
)

// Load reads the last good snapshot from disk, verifies it and makes it current, and tells Recalled where agents were. Without a file it does nothing. A file
// that does not verify is logged and set aside, and the node starts empty. An error means that the directory cannot be
// used, or that a key is pinned and cannot be read.
func (r *Replica[I]) Load() error {
	if !r.following.TryLock() {
		return errors.New("load snapshot: a follow is running")
	}
	defer r.following.Unlock()
	if err := r.loadPin(); err != nil {
		return fmt.Errorf("load snapshot: %w", err)
	}
	r.recall()
	path := filepath.Join(r.config.Dir, snapshotFile)
	sealed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load snapshot: %w", err)
	}
	reason := r.restore(sealed)
	if reason == nil {
		r.config.Log.Info("snapshot loaded from disk", "revision", r.Revision(), "items", r.Set().Len())
		return nil
	}
	aside, err := setAside(path)
	if err != nil {
		return fmt.Errorf("load snapshot: refused (%w) and cannot be set aside: %w", reason, err)
	}
	r.config.Log.Error("the snapshot on disk is refused and set aside; the node serves nothing until the control plane sends one",
		"file", aside, "reason", reason)
	return nil
}

// restore makes the content of the file current.
func (r *Replica[I]) restore(sealed []byte) error {
	if r.pinned == nil {
		return errors.New("no key is pinned to verify it by")
	}
	update, err := r.decode(sealed)
	if err != nil {
		return err
	}
	_, err = r.apply(update, r.ahead.arrived(), r.pinned, func() {})
	return err
}

// setAside renames a file to a name that says when it was refused.
func setAside(path string) (string, error) {
	aside := fmt.Sprintf("%s.refused-%s", path, time.Now().UTC().Format("20060102T150405.000000000"))
	return aside, os.Rename(path, aside)
}

// loadPin reads the pinned key, if there is one and it was not read yet.
func (r *Replica[I]) loadPin() error {
	if r.pinned != nil {
		return nil
	}
	path := filepath.Join(r.config.Dir, pinFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pinned key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("read pinned key: %s does not hold a key; restore it, or enroll the node again", path)
	}
	r.pinned = key
	return nil
}

// savePin writes the pinned key down. There is no other: loadPin would have found it.
func (r *Replica[I]) savePin() error {
	return replaceFile(filepath.Join(r.config.Dir, pinFile), func(file io.Writer) error {
		_, err := io.WriteString(file, base64.StdEncoding.EncodeToString(r.pinned)+"\n")
		return err
	})
}

// replaceFile has a file written so that after a crash either the old content is there or the new.
func replaceFile(path string, write func(file io.Writer) error) error {
	file, err := ownfile.Begin(path)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer file.Discard()
	if err = write(file); err == nil {
		turns.Wait(func() { err = file.Replace() })
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
