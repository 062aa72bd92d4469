package controlplane

import (
	"testing"

	"github.com/warder-gateway/warder/internal/snapshot"
)

// An entry of the deny overlay that expired leaves by a change of its own, so
// that nodes hear of it; where nothing expired, nothing is changed.
func TestExpiredDeniesLeaveByAChange(t *testing.T) {
	r := start(t, testConfig(t))
	before, err := r.store.GetRevision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.store.Pool().Exec(t.Context(), `INSERT INTO deny (kind, name, created_by, created_at, expires_at) VALUES
		('key', 'old', 'test', now() - interval '2 days', now() - interval '1 day'),
		('key', 'new', 'test', now(), now() + interval '1 day'),
		('server', 'ever', 'test', now() - interval '2 days', NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, r.dial(t, "edge-1"))
	f.apply()
	for range 2 {
		if err := r.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	position, err := r.store.GetRevision(t.Context())
	if err != nil || position.Revision != before.Revision+1 {
		t.Errorf("revision %d, %v; want one change", position.Revision, err)
	}
	f.until(func(s *snapshot.Set) bool { return s.Revision() == uint64(position.Revision) })
	for key, want := range map[string]bool{"deny/key/old": false, "deny/key/new": true, "deny/server/ever": true} {
		if _, ok := f.held.Get(key); ok != want {
			t.Errorf("%s in the snapshot: %v", key, ok)
		}
	}
}
