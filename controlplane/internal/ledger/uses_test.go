package ledger

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
)

func TestTheLastUseOfAKeyIsKnownToTheMinute(t *testing.T) {
	s := storetest.New(t)
	const key = "aaaaaaaaaaaa"
	_, err := s.Change(t.Context(), "test", func(tx *store.Tx) error {
		user, err := tx.InsertUser(t.Context(), db.InsertUserParams{Name: "ana"})
		if err != nil {
			return err
		}
		if _, err := tx.EnsureApplication(t.Context(), "cursor"); err != nil {
			return err
		}
		tx.Record("key.create", key, nil)
		_, err = tx.InsertAPIKey(t.Context(), db.InsertAPIKeyParams{ID: key, Hash: make([]byte, 32), UserID: user.ID, Application: "cursor", CreatedBy: "test"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l, q := New(Config{Store: s}), newQueue(t, 1)
	last := func() *time.Time {
		t.Helper()
		l.writeUses(t.Context())
		rows, err := s.ListAPIKeys(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return rows[0].LastUsedAt
	}
	if at := last(); at != nil {
		t.Fatalf("a key that nobody used was used at %v", at)
	}
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	use := func(id byte, at time.Time) []byte {
		e := intent(callID(id))
		e.KeyId, e.At = key, timestamppb.New(at)
		return encode(t, e)
	}
	push(t, l, "edge", q.batch(use('a', noon.Add(59*time.Second)), use('b', noon.Add(time.Second))))
	if at := last(); at == nil || !at.Equal(noon) {
		t.Errorf("last use: %v; want %v", at, noon)
	}
	push(t, l, "edge", q.batch(use('c', noon.Add(-time.Hour))))
	if at := last(); !at.Equal(noon) {
		t.Errorf("a record that came late moved the last use back to %v", at)
	}
	e := refused(callID('d'))
	e.KeyId, e.At = key, timestamppb.New(noon.Add(61*time.Second))
	push(t, l, "edge", q.batch(encode(t, e)))
	if at := last(); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("a refused call is a use too: %v", at)
	}
}

// What cannot be written now is written later.
func TestUsesOutlastADatabaseThatIsAway(t *testing.T) {
	var u uses
	u.add([]db.CopyAuditCallsParams{{KeyID: "a", At: time.Unix(600, 0)}, {KeyID: "", At: time.Unix(600, 0)}})
	first := u.take()
	u.add([]db.CopyAuditCallsParams{{KeyID: "a", At: time.Unix(1200, 0)}})
	u.putBack(first)
	if got := u.take(); len(got.Ids) != 1 || !got.Ats[0].Equal(time.Unix(1200, 0)) {
		t.Errorf("to write: %v", got)
	}
}
