// Package snapshot is the immutable set of items at a revision: what the
// control plane compiles and a node decides from.
//
//	rows ──compile──▶ New ─▶ Set(41)                       control plane
//	                          │  Diff, DeltaUpdate, Sign
//	                          ▼
//	                      syncv1.Update ──gRPC──▶ Verify, (*Set).Apply ─▶ Set(42)    node
//
// An item's key is derived from its content. The digest of an item is SHA-256
// of its deterministic encoding; the digest of a set covers every key and item
// digest in key order, so two sets are the same if and only if their digests
// are. Whoever applies an update computes the digest of what came out and
// compares: a set that differs in one bit from what was published is never
// returned.
//
// A Set is never edited. Apply builds another and leaves the old one to those
// who still read it. The items belong to the set once it is made: nobody, the
// giver included, changes them.
package snapshot

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Set is a set of items at a revision of a history. It is immutable and safe
// for concurrent use.
type Set struct {
	epoch    string
	revision uint64
	digest   [32]byte
	entries  []*entry // by key
}

// entry is an item with what is derived from it. Nobody changes it: sets share what
// they have in common.
type entry struct {
	key    string
	item   *snapshotv1.Item
	digest [32]byte
}

// New returns the set of items. It fails on an item of unknown kind, on one
// without a proper key, on a field that this build does not know and on two
// items with the same key. The order of items does not matter.
func New(epoch string, revision uint64, items []*snapshotv1.Item) (*Set, error) {
	return build(epoch, revision, items, never)
}

func build(epoch string, revision uint64, items []*snapshotv1.Item, breathe func()) (*Set, error) {
	entries, err := enter(items, breathe)
	if err != nil {
		return nil, fmt.Errorf("make snapshot at revision %d: %w", revision, err)
	}
	return assemble(epoch, revision, entries, breathe)
}

// never is a breath that nobody takes.
func never() {}

// enter derives keys and digests and sorts by key.
func enter(items []*snapshotv1.Item, breathe func()) ([]*entry, error) {
	entries := make([]*entry, 0, len(items))
	var scratch []byte
	for _, item := range items {
		breathe()
		key, err := Key(item)
		if err != nil {
			return nil, err
		}
		if err := known(item); err != nil {
			return nil, fmt.Errorf("item %s: %w", key, err)
		}
		scratch, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(scratch[:0], item)
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", key, err)
		}
		entries = append(entries, &entry{key, item, sha256.Sum256(scratch)})
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		breathe()
		return cmp.Compare(a.key, b.key)
	})
	for i := 1; i < len(entries); i++ {
		if entries[i].key == entries[i-1].key {
			return nil, fmt.Errorf("item %s occurs twice", entries[i].key)
		}
	}
	return entries, nil
}

// assemble makes a set of sorted entries, which it takes over.
func assemble(epoch string, revision uint64, entries []*entry, breathe func()) (*Set, error) {
	if epoch == "" {
		return nil, errors.New("make snapshot: it has no epoch")
	}
	return &Set{epoch: epoch, revision: revision, digest: digest(entries, breathe), entries: entries}, nil
}

// digest covers the number of items and, in key order, each key with its length
// and each item's digest.
func digest(entries []*entry, breathe func()) [32]byte {
	hash := sha256.New()
	scratch := binary.BigEndian.AppendUint64(nil, uint64(len(entries)))
	for _, e := range entries {
		breathe()
		scratch = binary.BigEndian.AppendUint64(scratch, uint64(len(e.key)))
		scratch = append(scratch, e.key...)
		scratch = append(scratch, e.digest[:]...)
		hash.Write(scratch)
		scratch = scratch[:0]
	}
	hash.Write(scratch) // of an empty set, the number alone
	return [32]byte(hash.Sum(nil))
}

// Epoch returns the identity of the history that the set belongs to.
func (s *Set) Epoch() string { return s.epoch }

// Revision returns the set's place in its history.
func (s *Set) Revision() uint64 { return s.revision }

// Digest returns the digest of the items; epoch and revision are not in it.
func (s *Set) Digest() [32]byte { return s.digest }

// Len returns the number of items.
func (s *Set) Len() int { return len(s.entries) }

// Get returns the item of a key. It must not be edited.
func (s *Set) Get(key string) (*snapshotv1.Item, bool) {
	i, found := s.find(key)
	if !found {
		return nil, false
	}
	return s.entries[i].item, true
}

func (s *Set) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.entries, key, func(e *entry, key string) int { return cmp.Compare(e.key, key) })
}

// All returns keys and items in key order. The items must not be edited.
func (s *Set) All() iter.Seq2[string, *snapshotv1.Item] {
	return func(yield func(string, *snapshotv1.Item) bool) {
		for i := range s.entries {
			if !yield(s.entries[i].key, s.entries[i].item) {
				return
			}
		}
	}
}

// DenyPrefix begins the keys of the deny overlay, and KeyPrefix those of API keys.
const (
	DenyPrefix = "deny/"
	KeyPrefix  = "key/"
)

// Under returns the items whose key begins with a prefix, in key order. They must
// not be edited. What it costs does not grow with the other items.
func (s *Set) Under(prefix string) iter.Seq[*snapshotv1.Item] {
	first, _ := s.find(prefix)
	return func(yield func(*snapshotv1.Item) bool) {
		for i := first; i < len(s.entries) && strings.HasPrefix(s.entries[i].key, prefix); i++ {
			if !yield(s.entries[i].item) {
				return
			}
		}
	}
}

// With returns the set at a revision of the same epoch, with items put in or
// replaced and others taken out. Keys of which there is no item are passed over. What
// stays is shared. It fails as New does.
func (s *Set) With(revision uint64, upserts []*snapshotv1.Item, removals []string) (*Set, error) {
	there := slices.DeleteFunc(slices.Clone(removals), func(key string) bool {
		_, found := s.find(key)
		return !found
	})
	entries, err := merge(s.entries, &syncv1.Delta{Upserts: upserts, Removals: there}, never)
	if err != nil {
		return nil, fmt.Errorf("make snapshot at revision %d: %w", revision, err)
	}
	return assemble(s.epoch, revision, entries, never)
}
