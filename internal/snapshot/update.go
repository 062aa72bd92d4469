package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Diff returns what turns one set into another: the items that are new or
// different, and the keys of those that went away; both in key order.
func Diff(from, to *Set) (upserts []*snapshotv1.Item, removals []string) {
	i := 0
	for j := range to.entries {
		next := to.entries[j]
		for ; i < len(from.entries) && from.entries[i].key < next.key; i++ {
			removals = append(removals, from.entries[i].key)
		}
		if i < len(from.entries) && from.entries[i].key == next.key {
			same := from.entries[i].digest == next.digest
			i++
			if same {
				continue
			}
		}
		upserts = append(upserts, next.item)
	}
	for ; i < len(from.entries); i++ {
		removals = append(removals, from.entries[i].key)
	}
	return upserts, removals
}

// Adopt returns a set that is equal to set, with the items of s wherever they are the
// same: what both hold is in memory once.
func (s *Set) Adopt(set *Set) *Set {
	entries := slices.Clone(set.entries)
	if !share(s.entries, entries, never) {
		return set
	}
	return &Set{epoch: set.epoch, revision: set.revision, digest: set.digest, entries: entries}
}

// FullUpdate returns the update that makes s out of nothing. Its items are
// those of s and must not be edited; nonce and signature are left to the
// publisher.
func FullUpdate(s *Set) *syncv1.Update {
	items := make([]*snapshotv1.Item, len(s.entries))
	for i := range s.entries {
		items[i] = s.entries[i].item
	}
	update := s.update()
	update.Kind = &syncv1.Update_Snapshot{Snapshot: &syncv1.Snapshot{Items: items}}
	return update
}

// DeltaUpdate returns the update that makes one set out of another of the same
// epoch. Its items are those of to and must not be edited; nonce and signature
// are left to the publisher.
func DeltaUpdate(from, to *Set) *syncv1.Update {
	upserts, removals := Diff(from, to)
	update := to.update()
	update.Kind = &syncv1.Update_Delta{Delta: &syncv1.Delta{
		FromRevision: from.revision,
		FromDigest:   bytes.Clone(from.digest[:]),
		Upserts:      upserts,
		Removals:     removals,
	}}
	return update
}

func (s *Set) update() *syncv1.Update {
	return &syncv1.Update{Epoch: s.epoch, Revision: s.revision, Digest: bytes.Clone(s.digest[:])}
}

// Apply returns the set that an update makes of s. A nil s takes snapshots
// only. On any error s stays what it is and nothing else comes out. The update's
// items belong to the new set.
//
// Within an epoch a revision never goes back; a control plane whose history was
// restored from a backup begins a new epoch. The same revision may come again
// with other content: another build may make other bytes of the same rows, and
// nodes must not be held up by that until somebody changes something. Apply does
// not check the signature: see Verify.
func (s *Set) Apply(update *syncv1.Update) (*Set, error) { return s.ApplySlowly(update, never) }

// ApplySlowly is Apply for whoever shares a processor with other work: it calls
// breathe again and again, with a few microseconds of computing in between.
func (s *Set) ApplySlowly(update *syncv1.Update, breathe func()) (*Set, error) {
	next, err := s.construct(update, breathe)
	if err != nil {
		return nil, fmt.Errorf("apply update to revision %d: %w", update.GetRevision(), err)
	}
	if !bytes.Equal(next.digest[:], update.GetDigest()) {
		return nil, fmt.Errorf("apply update to revision %d: the result has digest %x, not %x as announced",
			next.revision, next.digest, update.GetDigest())
	}
	if err := s.precedes(next); err != nil {
		return nil, err
	}
	return next, nil
}

func (s *Set) construct(update *syncv1.Update, breathe func()) (*Set, error) {
	switch kind := update.GetKind().(type) {
	case *syncv1.Update_Snapshot:
		next, err := build(update.GetEpoch(), update.GetRevision(), kind.Snapshot.GetItems(), breathe)
		if err == nil && s != nil {
			share(s.entries, next.entries, breathe)
		}
		return next, err
	case *syncv1.Update_Delta:
		if err := s.startsAt(update.GetEpoch(), kind.Delta); err != nil {
			return nil, err
		}
		entries, err := merge(s.entries, kind.Delta, breathe)
		if err != nil {
			return nil, err
		}
		return assemble(update.GetEpoch(), update.GetRevision(), entries, breathe)
	default:
		return nil, errors.New("it is neither a snapshot nor a delta")
	}
}

// share makes entries that did not change those of old, so that the same item is
// one in memory, and whoever made something of it knows it again. It reports whether
// it replaced any.
func share(old, entries []*entry, breathe func()) (replaced bool) {
	i := 0
	for j := range entries {
		breathe()
		for i < len(old) && old[i].key < entries[j].key {
			i++
		}
		if i < len(old) && old[i].key == entries[j].key && old[i].digest == entries[j].digest && old[i] != entries[j] {
			entries[j], replaced = old[i], true
		}
	}
	return replaced
}

// startsAt checks that a delta is one of s.
func (s *Set) startsAt(epoch string, delta *syncv1.Delta) error {
	switch {
	case s == nil:
		return errors.New("a delta cannot come first")
	case epoch != s.epoch:
		return fmt.Errorf("the delta is of epoch %q, the set of %q", epoch, s.epoch)
	case delta.GetFromRevision() != s.revision:
		return fmt.Errorf("the delta starts at revision %d, the set is at %d", delta.GetFromRevision(), s.revision)
	case !bytes.Equal(delta.GetFromDigest(), s.digest[:]):
		return fmt.Errorf("the delta starts at digest %x, the set has %x", delta.GetFromDigest(), s.digest)
	}
	return nil
}

// precedes checks that next may follow s.
func (s *Set) precedes(next *Set) error {
	if s != nil && s.epoch == next.epoch && s.revision > next.revision {
		return fmt.Errorf("apply update to revision %d: the set is at %d already and never goes back", next.revision, s.revision)
	}
	return nil
}

// merge returns old with the changes of a delta made, sorted. Old is left as it
// is. Changes that do not fit are errors: they mean that the sender had another
// set in mind.
func merge(old []*entry, delta *syncv1.Delta, breathe func()) ([]*entry, error) {
	upserts, err := enter(delta.GetUpserts(), breathe)
	if err != nil {
		return nil, err
	}
	removals, err := distinct(delta.GetRemovals())
	if err != nil {
		return nil, err
	}
	merged := make([]*entry, 0, len(old)+len(upserts))
	for len(old) > 0 || len(upserts) > 0 {
		breathe()
		switch {
		case len(upserts) == 0 || len(old) > 0 && old[0].key < upserts[0].key:
			if len(removals) > 0 && removals[0] == old[0].key {
				removals = removals[1:]
			} else {
				merged = append(merged, old[0])
			}
			old = old[1:]
		default:
			if len(old) > 0 && old[0].key == upserts[0].key {
				old = old[1:]
			}
			merged = append(merged, upserts[0])
			upserts = upserts[1:]
		}
	}
	if len(removals) > 0 {
		return nil, fmt.Errorf("cannot remove %s: it is not in the set, or is also upserted", removals[0])
	}
	return merged, nil
}

// distinct returns keys sorted, and fails if one occurs twice.
func distinct(keys []string) ([]string, error) {
	sorted := slices.Sorted(slices.Values(keys))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return nil, fmt.Errorf("item %s is removed twice", sorted[i])
		}
	}
	return sorted, nil
}
