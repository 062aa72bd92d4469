package compiler

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// overlayOnly are the actions of which the deny overlay is all that nodes must know.
// A key that is revoked leaves as well.
var overlayOnly = map[string]bool{
	"denial.add":          true,
	"denial.remove":       true,
	"deny.expire":         true,
	"key.revoke":          true,
	"application.disable": true,
	"application.enable":  true,
	"user.disable":        true,
	"agent.revoke":        true,
	"agent.remove":        true,
	"node.revoke":         true,
}

// Overlay returns a set with the deny overlay that the rows have, and without the
// keys that were revoked since. All else stays as it was.
//
// The revision becomes that of the rows if nothing else changed since; of other
// changes, the last before the first such one, so that a set never claims more than
// it has. A set that lags has the overlay of the rows all the same.
func Overlay(base *snapshot.Set, rows *store.Overlay) (*snapshot.Set, error) {
	if base.Epoch() != rows.Epoch {
		return nil, fmt.Errorf("overlay revision %d: the rows are of epoch %s, the set of %s", base.Revision(), rows.Epoch, base.Epoch())
	}
	var b builder
	b.denies(rows.Denies)
	if b.err != nil {
		return nil, fmt.Errorf("overlay revision %d: %w", base.Revision(), b.err)
	}
	upserts, removals, err := denyChanges(base, b.items)
	if err != nil {
		return nil, fmt.Errorf("overlay revision %d: %w", base.Revision(), err)
	}
	for _, change := range rows.Changes {
		if change.Action == "key.revoke" {
			removals = append(removals, snapshot.KeyPrefix+change.Target)
		}
	}
	revision := reached(base.Revision(), rows)
	if revision == base.Revision() && len(upserts)+len(removals) == 0 {
		return base, nil
	}
	set, err := base.With(revision, upserts, removals)
	if err != nil {
		return nil, fmt.Errorf("overlay revision %d: %w", base.Revision(), err)
	}
	return set, nil
}

// denyChanges returns what makes the overlay of a set that of the items.
func denyChanges(base *snapshot.Set, items []*snapshotv1.Item) (upserts []*snapshotv1.Item, removals []string, err error) {
	wanted := make(map[string]bool, len(items))
	for _, item := range items {
		key, err := snapshot.Key(item)
		if err != nil {
			return nil, nil, err
		}
		wanted[key] = true
		if old, there := base.Get(key); !there || !proto.Equal(old, item) {
			upserts = append(upserts, item)
		}
	}
	for item := range base.Under(snapshot.DenyPrefix) {
		key, err := snapshot.Key(item)
		if err != nil {
			return nil, nil, err
		}
		if !wanted[key] {
			removals = append(removals, key)
		}
	}
	return upserts, removals, nil
}

// reached returns the last revision up to which only the overlay changed.
func reached(from uint64, rows *store.Overlay) uint64 {
	for i, change := range rows.Changes {
		if !overlayOnly[change.Action] {
			return from
		}
		if last := i == len(rows.Changes)-1; last || rows.Changes[i+1].Revision != change.Revision {
			from = uint64(change.Revision)
		}
	}
	return from
}
