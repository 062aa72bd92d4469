// Package audit is the record of a call: its bytes and its chain.
//
// A node encodes an event once; the bytes that were hashed are the bytes that
// travel and the bytes that are kept. Each record's hash covers the one before,
// so that a record that was changed, left out, put in or moved breaks the chain
// at its place:
//
//	h(n) = SHA-256("warder/audit/v1" | epoch | n | h(n-1) | event)     h(0) = 32 zero bytes
//
// Epoch and n are eight bytes each, big-endian; every part but the last has a
// fixed width, so two different records never hash the same input.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// domain keeps the hashes of this chain apart from all others.
const domain = "warder/audit/v1"

// HashSize is the length of a chain hash in bytes.
const HashSize = sha256.Size

// First returns what stands for the previous hash of the first record of an
// epoch: zero bytes.
func First() []byte { return make([]byte, HashSize) }

// Encode returns the bytes of an event. The same event gives the same bytes
// within one build of Warder; nobody relies on more, since bytes are never
// encoded again.
func Encode(event *auditv1.Event) ([]byte, error) { return AppendEncode(nil, event) }

// AppendEncode appends the bytes that Encode returns.
func AppendEncode(dst []byte, event *auditv1.Event) ([]byte, error) {
	if event == nil {
		return nil, errors.New("encode event: it is nil")
	}
	if encoded, ok := appendEvent(dst, event); ok {
		return encoded, nil
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return encoded, nil
}

// Chain returns the hash of the record that follows previous, which is 32 bytes
// long, or empty for the first of an epoch.
func Chain(previous []byte, epoch, sequence uint64, event []byte) []byte {
	return AppendChain(nil, previous, epoch, sequence, event)
}

// AppendChain appends the hash that Chain returns.
func AppendChain(dst, previous []byte, epoch, sequence uint64, event []byte) []byte {
	var room [1 << 10]byte // Most events fit, and a hash of one piece is made faster.
	input := append(room[:0], domain...)
	input = binary.BigEndian.AppendUint64(input, epoch)
	input = binary.BigEndian.AppendUint64(input, sequence)
	if len(previous) == 0 {
		input = append(input, make([]byte, HashSize)...)
	}
	input = append(input, previous...)
	hash := sha256.Sum256(append(input, event...))
	return append(dst, hash[:]...)
}

// BrokenError says where a chain breaks.
type BrokenError struct {
	Epoch, Sequence uint64
	Reason          string
}

// Error names the record and what is wrong with it.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("audit chain breaks at epoch %d, sequence %d: %s", e.Epoch, e.Sequence, e.Reason)
}

// VerifyChain checks that records follow previous and each other: consecutive
// sequences, and each hash that of its place. Previous is 32 bytes long; empty
// or zero, the records must begin an epoch, with sequence 1. The error is a
// *BrokenError that names the first bad record.
func VerifyChain(previous []byte, epoch uint64, records []*auditv1.Record) error {
	if len(previous) != 0 && len(previous) != HashSize {
		return fmt.Errorf("verify chain: previous hash has %d bytes, not %d", len(previous), HashSize)
	}
	if len(records) == 0 {
		return nil
	}
	want := records[0].GetSequence()
	if len(previous) == 0 || bytes.Equal(previous, First()) {
		want = 1
	}
	for _, record := range records {
		if got := record.GetSequence(); got != want {
			return &BrokenError{epoch, want, fmt.Sprintf("found sequence %d in its place", got)}
		}
		hash := Chain(previous, epoch, want, record.GetEvent())
		if !bytes.Equal(hash, record.GetHash()) {
			return &BrokenError{epoch, want, "the hash does not fit the event and the record before it"}
		}
		previous, want = hash, want+1
	}
	return nil
}
