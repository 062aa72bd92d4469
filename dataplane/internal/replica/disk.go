package replica

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	snapshotFile = "snapshot.sealed"
	pinFile      = "control-plane.pub"

	// sealContext binds the sealed snapshot to its purpose.
	sealContext = "warder/replica/snapshot/v1"
)

// Load reads the last good snapshot from disk, verifies it and makes it current. Without a file it does nothing. A file
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
	plain, err := r.config.Seal.Open(sealed, sealContext)
	if err != nil {
		return err
	}
	update := new(syncv1.Update)
	if err := proto.Unmarshal(plain, update); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	_, err = r.apply(update, r.ahead.arrived(), r.pinned)
	return err
}

// file returns what writes the state to disk: called later, by the writer.
func (s *state[I]) file(pinned ed25519.PublicKey) func() ([]byte, error) {
	return func() ([]byte, error) {
		update := snapshot.FullUpdate(s.set)
		update.Signature, update.PublicKey = s.signature, pinned
		return proto.Marshal(update)
	}
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
	return replaceFile(filepath.Join(r.config.Dir, pinFile), []byte(base64.StdEncoding.EncodeToString(r.pinned)+"\n"))
}

// replaceFile writes a file so that after a crash either the old content is there or the new.
func replaceFile(path string, content []byte) error {
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer os.Remove(draft.Name()) // fails once renamed, as it should
	_, err = draft.Write(content)
	if err := errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename survive the machine. Windows cannot sync a directory and does not need to.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
