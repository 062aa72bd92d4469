// Package instance keeps the secrets of the installation itself: made once,
// sealed in the database under the key-encryption key, the same for every
// replica of the control plane.
//
//	first replica ──make──▶ instance_secret (sealed) ──open──▶ every replica, at each start
//
// A replica that comes second finds the row and takes what is there: the
// database decides who was first. A key-encryption key that does not open the
// row is another one than the installation began with; nothing is made anew
// over it, since that would cut off every node and void every key.
package instance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

// Store is what this package needs of the store.
type Store interface {
	GetInstanceSecret(ctx context.Context, name string) (db.GetInstanceSecretRow, error)
	InsertInstanceSecret(ctx context.Context, arg db.InsertInstanceSecretParams) (int64, error)
}

// Secrets are those that the control plane works with all the time.
type Secrets struct {
	// Pepper keys the hashes of API keys. 32 bytes.
	Pepper []byte
	// DigestKey keys the digests of payloads in audit events. 32 bytes.
	DigestKey []byte
	// SignOnKey seals what browsers carry to a provider of identity and back. 32
	// bytes.
	SignOnKey []byte
	// Signing signs snapshots.
	Signing ed25519.PrivateKey
}

// CodeKey is the code of a key-encryption key that is missing, or not the one of
// this installation.
const CodeKey = "WARDER-KEK-001"

// OpenKeys reads the key-encryption key, or makes it for a new installation. An
// installation that has secrets had a key: where its file is not, none is made, and
// nothing is written. makeDir makes the directory that the file goes into; it is called
// once it is known that something may be written.
func OpenKeys(ctx context.Context, store Store, path string, makeDir func() error) (*seal.Vault, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		_, err := store.GetInstanceSecret(ctx, pepperName)
		if err == nil {
			return nil, fault.Newf(fault.Precondition,
				"the database belongs to an installation whose key-encryption key is not here: there is no %s; "+
					"restore that file from the data directory that the database was set up with, or name the directory with --data-dir "+
					"(a control plane apart: or the file with --kek-file), or use an empty database", path).Coded(CodeKey)
		}
		if !fault.Is(err, fault.NotFound) {
			return nil, fmt.Errorf("look for secrets of the installation: %w", err)
		}
	}
	if err := makeDir(); err != nil {
		return nil, err
	}
	keys, err := seal.LoadVault(path)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "the key-encryption key cannot be used: "+err.Error(), err).Coded(CodeKey)
	}
	return keys, nil
}

// pepperName is the secret that every installation has from its first start.
const pepperName = "key_pepper"

// Load returns the secrets, making those that are missing.
func Load(ctx context.Context, store Store, keys *seal.Vault) (*Secrets, error) {
	pepper, _, err := Secret(ctx, store, keys, pepperName, randomKey)
	if err != nil {
		return nil, err
	}
	digest, _, err := Secret(ctx, store, keys, "digest_key", randomKey)
	if err != nil {
		return nil, err
	}
	signOn, _, err := Secret(ctx, store, keys, "sign_on_key", randomKey)
	if err != nil {
		return nil, err
	}
	seed, _, err := Secret(ctx, store, keys, "snapshot_signing", signingKey)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("instance secret snapshot_signing has %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	return &Secrets{Pepper: pepper, DigestKey: digest, SignOnKey: signOn, Signing: ed25519.NewKeyFromSeed(seed)}, nil
}

// Secret returns a secret by name, with what may be known of it. Where there is
// none yet, it is made, sealed and kept; of several that make one at the same
// time, all get that of the first.
func Secret(ctx context.Context, store Store, keys *seal.Vault, name string, generate func() (secret, public []byte, err error)) (secret, public []byte, err error) {
	row, err := store.GetInstanceSecret(ctx, name)
	if fault.Is(err, fault.NotFound) {
		if err := keep(ctx, store, keys, name, generate); err != nil {
			return nil, nil, err
		}
		row, err = store.GetInstanceSecret(ctx, name)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read instance secret %s: %w", name, err)
	}
	secret, err = keys.Open(row.Sealed, place(name)...)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Precondition, fmt.Sprintf(
			"the key-encryption key does not open the secrets of this installation (%s): it is not the one that the database was set up with; restore the kek file of the data directory (a control plane apart: or name it with --kek-file)", name), err).Coded(CodeKey)
	}
	return secret, row.Public, nil
}

// keep makes a secret and stores it unless another replica was first.
func keep(ctx context.Context, store Store, keys *seal.Vault, name string, generate func() (secret, public []byte, err error)) error {
	secret, public, err := generate()
	if err != nil {
		return fmt.Errorf("make instance secret %s: %w", name, err)
	}
	sealed, err := keys.Seal(secret, place(name)...)
	if err != nil {
		return fmt.Errorf("seal instance secret %s: %w", name, err)
	}
	_, err = store.InsertInstanceSecret(ctx, db.InsertInstanceSecretParams{Name: name, Sealed: sealed, Public: public})
	if err != nil {
		return fmt.Errorf("keep instance secret %s: %w", name, err)
	}
	return nil
}

// place is the context that a secret is sealed for: table, column, row.
func place(name string) []string { return []string{"instance_secret", "sealed", name} }

// randomKey makes a symmetric key.
func randomKey() (secret, public []byte, err error) {
	secret = make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, nil, err
	}
	return secret, nil, nil
}

// signingKey makes an Ed25519 key; its seed is the secret.
func signingKey() (secret, public []byte, err error) {
	publicKey, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	return private.Seed(), publicKey, nil
}
