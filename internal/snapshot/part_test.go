package snapshot_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// users returns n users whose items have some size bytes each.
func users(n, size int) []*snapshotv1.Item {
	items := make([]*snapshotv1.Item, n)
	for i := range items {
		items[i] = user(fmt.Sprintf("%0*d", size, i))
	}
	return items
}

// A large update goes in messages of which none is large, and comes out as it was;
// so does one of a few items, in one message.
func TestAnUpdateInPartsIsTheUpdate(t *testing.T) {
	few, many := mustNew(t, 1, users(3, 10)...), mustNew(t, 2, users(2000, 500)...)
	for name, test := range map[string]struct {
		update      *syncv1.Update
		least, most int // messages
		size        int // of each, at most
	}{
		"few items":      {snapshot.FullUpdate(few), 1, 1, 40_000},
		"a snapshot":     {snapshot.FullUpdate(many), 20, 40, 40_000},
		"a large delta":  {snapshot.DeltaUpdate(few, many), 20, 40, 40_000},
		"only removals":  {snapshot.DeltaUpdate(many, mustNew(t, 3)), 1, 1, 1_100_000},
		"no kind at all": {&syncv1.Update{Epoch: "e", Revision: 7}, 1, 1, 40_000},
		"one large item": {snapshot.FullUpdate(mustNew(t, 1, append(users(2, 10), user(strings.Repeat("x", 100_000)))...)), 2, 2, 101_000},
	} {
		t.Run(name, func(t *testing.T) {
			test.update.Nonce = "n"
			want := proto.CloneOf(test.update)
			var parts snapshot.Parts
			var got *syncv1.Update
			messages := 0
			for message := range snapshot.Split(test.update) {
				messages++
				if size := proto.Size(message); size > test.size {
					t.Errorf("a message has %d bytes", size)
				}
				if got != nil {
					t.Fatal("something comes after the update")
				}
				if got = message.GetUpdate(); got == nil {
					parts.Add(proto.CloneOf(message.GetPart()))
				}
			}
			if err := parts.Complete(got); err != nil {
				t.Fatal(err)
			}
			if messages < test.least || messages > test.most || !proto.Equal(got, want) || !proto.Equal(test.update, want) {
				t.Errorf("%d messages; the same comes out: %v; it stays as it is: %v", messages, proto.Equal(got, want), proto.Equal(test.update, want))
			}
		})
	}
}

// Parts hold one update, and no more of it than MaxUpdate.
func TestP13PartsAreBounded(t *testing.T) {
	var parts snapshot.Parts
	parts.Add(&syncv1.Part{Nonce: "first", Items: users(1, 10)})
	parts.Add(&syncv1.Part{Nonce: "second", Items: users(2, 10)})
	second := &syncv1.Update{Nonce: "second", Kind: &syncv1.Update_Snapshot{Snapshot: &syncv1.Snapshot{}}}
	if err := parts.Complete(second); err != nil || len(second.GetSnapshot().GetItems()) != 2 {
		t.Errorf("the second update has %d items, %v; want its own two", len(second.GetSnapshot().GetItems()), err)
	}

	large := &syncv1.Part{Nonce: "large", Items: []*snapshotv1.Item{user(strings.Repeat("x", snapshot.MaxUpdate/4))}}
	for range 5 {
		parts.Add(large)
	}
	update := &syncv1.Update{Nonce: "large", Kind: &syncv1.Update_Snapshot{Snapshot: &syncv1.Snapshot{}}}
	if err := parts.Complete(update); err == nil {
		t.Errorf("an update of more than %d bytes is taken", snapshot.MaxUpdate)
	}
	if err := parts.Complete(second); err != nil {
		t.Errorf("the next update: %v", err)
	}

	parts.Add(&syncv1.Part{Nonce: "n", Items: users(1, 10)})
	if err := parts.Complete(&syncv1.Update{Nonce: "n"}); err == nil {
		t.Error("an update that is neither a snapshot nor a delta has parts")
	}
}

// What did not change is the same item in memory, also after a whole snapshot, and
// applying it gives others their turn all along.
func TestApplyingSlowlySharesAndBreathes(t *testing.T) {
	before := mustNew(t, 1, users(1000, 10)...)
	changed := append(users(1000, 10)[1:], user("eve"))
	after := mustNew(t, 2, changed...)
	for name, update := range map[string]*syncv1.Update{"snapshot": snapshot.FullUpdate(after), "delta": snapshot.DeltaUpdate(before, after)} {
		breaths := 0
		got, err := before.ApplySlowly(wire(t, update), func() { breaths++ })
		if err != nil || got.Digest() != after.Digest() {
			t.Fatalf("%s: %v", name, err)
		}
		if breaths < 2000 { // at least once for each item where it is entered or merged, and digested
			t.Errorf("%s: %d breaths for 1000 items", name, breaths)
		}
		shared := 0
		for key, item := range got.All() {
			if old, known := before.Get(key); known && old == item {
				shared++
			}
		}
		if shared != 999 {
			t.Errorf("%s: %d of 999 unchanged items are shared", name, shared)
		}
	}
}
