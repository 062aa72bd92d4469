package replica

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// TestDenialsWaitForNoUpdate holds P-08: what is denied while an update is being built is denied at once, also by what is
// built, until an update comes that was sent after it.
func TestDenialsWaitForNoUpdate(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	building, finish := make(chan struct{}, 3), make(chan struct{})
	var told []string
	r := New(Config[index]{
		Build: func(set *snapshot.Set, breathe func()) (*index, error) {
			building <- struct{}{}
			<-finish
			return build(set, breathe)
		},
		Deny: func(former *index, denies []*snapshotv1.Deny, set *snapshot.Set) (*index, error) {
			denied := *former
			denied.users = strings.TrimSuffix(former.users, "but ana")
			for _, deny := range denies {
				denied.users += "but " + deny.GetName()
			}
			return &denied, nil
		},
		Applied: func(x *index) { told = append(told, x.users) },
	})
	update := func(revision uint64, names ...string) (*syncv1.Update, uint64) {
		var items []*snapshotv1.Item
		for _, name := range names {
			items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: name}}})
		}
		set, err := snapshot.New("e", revision, items)
		if err != nil {
			t.Fatal(err)
		}
		update := snapshot.FullUpdate(set)
		snapshot.Sign(update, key)
		return update, r.ahead.arrived()
	}
	applied := make(chan error)
	apply := func(update *syncv1.Update, number uint64) {
		go func() {
			_, err := r.apply(update, number, key.Public().(ed25519.PublicKey), func() {})
			applied <- err
		}()
		<-building
	}
	end := func() {
		t.Helper()
		finish <- struct{}{}
		if err := <-applied; err != nil {
			t.Fatal(err)
		}
	}
	apply(update(1, "ana"))
	end()
	apply(update(2, "ana", "bob"))
	r.warn(&syncv1.Denials{Denies: []*snapshotv1.Deny{{Kind: snapshotv1.DenyKind_DENY_KIND_USER, Name: "ana"}}})
	if got := r.Current().users; got != "ana but ana" || r.Revision() != 1 || told[len(told)-1] != got {
		t.Errorf("while an update is built %q serves, at revision %d; told were %q", got, r.Revision(), told)
	}
	end()
	if got := r.Current().users; got != "ana bob but ana" || r.Revision() != 2 {
		t.Errorf("after it %q serves, at revision %d", got, r.Revision())
	}
	apply(update(3, "ana", "bob"))
	end()
	if got := r.Current().users; got != "ana bob " {
		t.Errorf("after an update that was sent later %q serves", got)
	}
}

// TestDenialsGoOverAnUpdateOfWhichPartsCameBefore numbers an update by its first part: what is denied between its parts is
// not in it.
func TestDenialsGoOverAnUpdateOfWhichPartsCameBefore(t *testing.T) {
	var a ahead
	var coming incoming
	first := a.arrived()
	coming.add(&syncv1.Part{Nonce: "2"}, &a)
	between := a.received
	coming.add(&syncv1.Part{Nonce: "2"}, &a)
	if got := coming.complete(&syncv1.Update{Nonce: "2", Kind: &syncv1.Update_Snapshot{Snapshot: &syncv1.Snapshot{}}}, &a); got.number != first+1 || got.number > between || got.flaw != nil {
		t.Errorf("an update in parts: %+v; want number %d", got, first+1)
	}
	if got := coming.complete(&syncv1.Update{Nonce: "3"}, &a); got.number != first+2 {
		t.Errorf("an update without parts: %+v; want number %d", got, first+2)
	}
	coming.add(&syncv1.Part{Nonce: "4"}, &a)
	if got := coming.complete(&syncv1.Update{Nonce: "5"}, &a); got.number != first+4 {
		t.Errorf("an update after parts of another: %+v; want number %d", got, first+4)
	}
}
