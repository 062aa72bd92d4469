package replica

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// The file has the messages that would bring the snapshot over the wire, each one sealed, behind its length:
//
//	┌────────┬──────────────┐┌────────┬──────────────┐     ┌────────┬──────────────┐
//	│ length │ sealed: part ││ length │ sealed: part │ ... │ length │ sealed:update│
//	└────────┴──────────────┘└────────┴──────────────┘     └────────┴──────────────┘
//	 4 bytes, big endian
//
// A file of which a message is missing, moved or from another file lacks what the update's digest says.

// sealContext binds the sealed messages to their purpose.
const sealContext = "warder/replica/snapshot/v2"

// fileNonce names the update in the file, so that its parts are known.
const fileNonce = "file"

// encode writes a state to a file.
func (r *Replica[I]) encode(file io.Writer, s *state[I], pinned ed25519.PublicKey, breathe func()) error {
	update := snapshot.FullUpdate(s.set)
	update.Nonce, update.Signature, update.PublicKey = fileNonce, s.signature, pinned
	var place seal.Context
	place.Set(sealContext)
	var plain, sealed []byte
	for message := range snapshot.Split(update) {
		breathe()
		var err error
		if plain, err = (proto.MarshalOptions{}).MarshalAppend(plain[:0], message); err != nil {
			return err
		}
		if sealed, err = r.config.Seal.SealTo(append(sealed[:0], 0, 0, 0, 0), plain, &place); err != nil {
			return err
		}
		binary.BigEndian.PutUint32(sealed, uint32(len(sealed)-4))
		if _, err := file.Write(sealed); err != nil {
			return err
		}
	}
	return nil
}

// decode returns the update that the content of a file is.
func (r *Replica[I]) decode(content []byte) (*syncv1.Update, error) {
	var parts snapshot.Parts
	for len(content) >= 4 {
		length := binary.BigEndian.Uint32(content)
		if content = content[4:]; uint64(length) > uint64(len(content)) {
			break
		}
		plain, err := r.config.Seal.Open(content[:length], sealContext)
		if err != nil {
			return nil, err
		}
		content = content[length:]
		message := new(syncv1.SyncResponse)
		if err := proto.Unmarshal(plain, message); err != nil {
			return nil, fmt.Errorf("decode: %w", err)
		}
		if update := message.GetUpdate(); update != nil {
			return update, parts.Complete(update)
		}
		parts.Add(message.GetPart())
	}
	return nil, errors.New("the file is cut off")
}
