package snapshot

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// domain keeps signatures of snapshots apart from all others.
const domain = "warder/snapshot/v1"

// Sign puts signature and public key into an update. The signature covers
// epoch, revision and digest: what the set becomes, whichever way it gets there.
func Sign(update *syncv1.Update, key ed25519.PrivateKey) {
	update.Signature = ed25519.Sign(key, signed(update))
	update.PublicKey = key.Public().(ed25519.PublicKey)
}

// Verify checks the signature of an update by the key that the node pinned. The
// key that the update carries is not believed; it only makes a better error.
func Verify(update *syncv1.Update, pinned ed25519.PublicKey) error {
	if len(pinned) != ed25519.PublicKeySize {
		return errors.New("verify update: no signing key is pinned")
	}
	if ed25519.Verify(pinned, signed(update), update.GetSignature()) {
		return nil
	}
	if !pinned.Equal(ed25519.PublicKey(update.GetPublicKey())) {
		return errors.New("verify update: it is signed with another key than the one pinned at enrollment; if the control plane was set up anew, enroll this node again")
	}
	return errors.New("verify update: the signature does not fit epoch, revision and digest")
}

// signed returns domain | length of epoch | epoch | revision | digest. All but
// the epoch have a fixed width.
func signed(update *syncv1.Update) []byte {
	text := append([]byte(nil), domain...)
	text = binary.BigEndian.AppendUint64(text, uint64(len(update.GetEpoch())))
	text = append(text, update.GetEpoch()...)
	text = binary.BigEndian.AppendUint64(text, update.GetRevision())
	return append(text, update.GetDigest()...)
}
