package snapshot

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// partSize is about how many bytes of items one message has: what a node reads
// and decodes in a tenth of a millisecond. An item that is larger has a message
// to itself.
const partSize = 32 << 10

// MaxUpdate bounds the items of one update, in bytes, over all of its messages:
// ten times a snapshot of 20,000 tools.
const MaxUpdate = 256 << 20

// Split yields the messages that carry an update, to be sent in this order: parts,
// if it is large, and then what is left of it. The items are shared with the
// update, which stays as it is.
func Split(update *syncv1.Update) iter.Seq[*syncv1.SyncResponse] {
	return func(yield func(*syncv1.SyncResponse) bool) {
		items, rest := detach(update)
		from, size := 0, 0
		for i, item := range items {
			n := proto.Size(item)
			if size > 0 && size+n > partSize {
				part := &syncv1.Part{Nonce: update.GetNonce(), Items: items[from:i]}
				if !yield(&syncv1.SyncResponse{Part: part}) {
					return
				}
				from, size = i, 0
			}
			size += n
		}
		attach(rest, slices.Clip(items[from:]))
		yield(&syncv1.SyncResponse{Update: rest})
	}
}

// detach returns the items of an update, and a copy of it that has none.
func detach(update *syncv1.Update) ([]*snapshotv1.Item, *syncv1.Update) {
	rest := &syncv1.Update{
		Nonce: update.GetNonce(), Epoch: update.GetEpoch(), Revision: update.GetRevision(), Digest: update.GetDigest(),
		Signature: update.GetSignature(), PublicKey: update.GetPublicKey(),
	}
	switch kind := update.GetKind().(type) {
	case *syncv1.Update_Snapshot:
		rest.Kind = &syncv1.Update_Snapshot{Snapshot: &syncv1.Snapshot{}}
		return kind.Snapshot.GetItems(), rest
	case *syncv1.Update_Delta:
		rest.Kind = &syncv1.Update_Delta{Delta: &syncv1.Delta{
			FromRevision: kind.Delta.GetFromRevision(), FromDigest: kind.Delta.GetFromDigest(), Removals: kind.Delta.GetRemovals(),
		}}
		return kind.Delta.GetUpserts(), rest
	}
	return nil, rest
}

// attach puts items before those that an update has.
func attach(update *syncv1.Update, items []*snapshotv1.Item) {
	switch kind := update.GetKind().(type) {
	case *syncv1.Update_Snapshot:
		kind.Snapshot.Items = append(items, kind.Snapshot.GetItems()...)
	case *syncv1.Update_Delta:
		kind.Delta.Upserts = append(items, kind.Delta.GetUpserts()...)
	}
}

// Parts collects the parts of one update until the update itself comes. The zero
// value has none. One goroutine uses it.
type Parts struct {
	nonce string
	items []*snapshotv1.Item
	size  int
}

// Add takes a part. One with another nonce than those before begins anew. What
// is more than MaxUpdate is dropped, and Complete says so.
func (p *Parts) Add(part *syncv1.Part) {
	if part.GetNonce() != p.nonce {
		*p = Parts{nonce: part.GetNonce()}
	}
	if p.size += proto.Size(part); p.size > MaxUpdate {
		p.items = nil
		return
	}
	p.items = append(p.items, part.GetItems()...)
}

// Complete puts the items of an update's parts into it and forgets them. Parts
// of another update are left out. On an error the update must not be applied.
func (p *Parts) Complete(update *syncv1.Update) error {
	had := *p
	*p = Parts{}
	switch {
	case had.nonce == "" || had.nonce != update.GetNonce():
		return nil
	case had.size > MaxUpdate:
		return fmt.Errorf("the update has more than %d bytes", MaxUpdate)
	case update.GetKind() == nil:
		return errors.New("an update with parts is neither a snapshot nor a delta")
	}
	attach(update, slices.Clip(had.items))
	return nil
}
