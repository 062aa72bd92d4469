package controlplane

import (
	"testing"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// applied applies some policies and returns a node that holds the last.
func applied(t *testing.T, r *running) *follower {
	t.Helper()
	policy := adminv1connect.NewPolicyServiceClient(r.local.Client(), r.local.URL)
	var revision uint64
	for range 3 {
		answer, err := policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Document: "rules: []\n"}))
		if err != nil {
			t.Fatal(err)
		}
		revision = answer.Msg.GetRevision()
	}
	f := follow(t, r.dial(t, "edge-1"))
	f.until(func(s *snapshot.Set) bool { return s.Revision() >= revision })
	return f
}

// restore puts the database back to an earlier revision.
func (r *running) restore(t *testing.T) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), r.config.MigrateURL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(t.Context())
	for _, sql := range []string{"DELETE FROM config_change WHERE revision > 1", "UPDATE config_revision SET revision = 1"} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADatabaseRestoredUnderARunningPlaneBeginsANewEpoch(t *testing.T) {
	r := start(t, testConfig(t))
	f := applied(t, r)
	old := f.held
	r.restore(t)
	f.until(func(s *snapshot.Set) bool { return s.Epoch() != old.Epoch() && s.Revision() > old.Revision() })
}

// Of a plane that starts on a restored database, the nodes know better. A node
// that says so is believed only where the database agrees.
func TestADatabaseRestoredBeforeTheStartBeginsANewEpoch(t *testing.T) {
	config := testConfig(t)
	first := start(t, config)
	old := applied(t, first).held
	first.restore(t)
	first.stop()

	r := start(t, config)
	f := &follower{t: t, held: old}
	f.resume(r)
	f.until(func(s *snapshot.Set) bool { return s.Epoch() != old.Epoch() })

	epoch := f.held.Epoch()
	if began, err := r.beginEpoch(t.Context(), history{epoch, f.held.Revision()}); began || err != nil {
		t.Errorf("an epoch was begun for a revision that is there: %v", err)
	}
	if began, err := r.beginEpoch(t.Context(), history{old.Epoch(), 1 << 63}); began || err != nil {
		t.Errorf("an epoch was begun for one that is past: %v", err)
	}
}

// resume connects with what the node holds. It refuses what does not fit, as
// nodes do, until the control plane has found out.
func (f *follower) resume(r *running) {
	f.t.Helper()
	conn := r.dial(f.t, "edge-1")
	stream, err := syncv1.NewSyncServiceClient(conn).Sync(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.stream = stream
	digest := f.held.Digest()
	f.send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{
		Epoch: f.held.Epoch(), Revision: f.held.Revision(), Digest: digest[:],
	}}})
	for {
		response, err := f.stream.Recv()
		if err != nil {
			f.t.Fatal(err)
		}
		next, err := f.held.Apply(response.GetUpdate())
		nonce := response.GetUpdate().GetNonce()
		if err == nil {
			f.held = next
			f.send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Nonce: nonce}}})
			return
		}
		f.send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Nack{Nack: &syncv1.Nack{Nonce: nonce, Reason: err.Error()}}})
	}
}

func (f *follower) send(request *syncv1.SyncRequest) {
	f.t.Helper()
	if err := f.stream.Send(request); err != nil {
		f.t.Fatal(err)
	}
}
