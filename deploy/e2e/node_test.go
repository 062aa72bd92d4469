package e2e_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/audit"
	"github.com/warder-gateway/warder/internal/identity"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// joinToken returns a file with a join token for a node. It is made once: a node that
// starts again has its identity.
func (a *apart) joinToken(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(a.root, "join-token-"+name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	made := admin(t, a.dataDir, "join-token", "create", "--kind", "node", "--name", name)
	if err := os.WriteFile(path, []byte(made["token"].(string)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// impostor connects to a control plane as a node that this test plays. It joins like
// any other.
func (a *apart) impostor(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	token, err := os.ReadFile(a.joinToken(t, name))
	if err != nil {
		t.Fatal(err)
	}
	who, err := identity.Obtain(t.Context(), identity.Config{
		Kind: identity.Node, ControlPlane: a.nodeListen, Version: "e2e", Log: slog.New(slog.DiscardHandler),
	}, strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(a.nodeListen, grpc.WithTransportCredentials(credentials.NewTLS(who.Client(identity.ControlPlane, ""))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestANodeThatRefusesASnapshotSaysWhyToPeople holds the conversation with a
// node over the real wire: snapshot, then deltas; a nack, whose reason stands in
// 'warder node list' until an ack; and after it a whole snapshot again.
func TestANodeThatRefusesASnapshotSaysWhyToPeople(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	stream, err := syncv1.NewSyncServiceClient(a.impostor(t, "picky")).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(r *syncv1.SyncRequest) {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	update := func() *syncv1.Update { // Shares and denials come in between.
		t.Helper()
		for {
			response, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if u := response.GetUpdate(); u != nil {
				return u
			}
		}
	}
	ack := func(u *syncv1.Update) {
		t.Helper()
		send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Nonce: u.GetNonce(), Revision: u.GetRevision()}}})
	}
	refusal := func() string {
		t.Helper()
		for _, n := range admin(t, a.dataDir, "node", "list")["nodes"].([]any) {
			if node := n.(object); node["name"] == "picky" {
				return node["refusal"].(string)
			}
		}
		return "no such node"
	}

	send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{Version: "e2e"}}})
	first := update()
	if first.GetSnapshot() == nil || first.GetNonce() == "" {
		t.Fatalf("the first update is %v", first)
	}
	ack(first)
	admin(t, a.dataDir, "role", "create", "one")
	second := update()
	if second.GetDelta() == nil || second.GetNonce() == first.GetNonce() {
		t.Fatalf("the second update is %v", second)
	}
	const reason = "role one has a field that this version does not know"
	send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Nack{Nack: &syncv1.Nack{Nonce: second.GetNonce(), Reason: reason}}})
	eventually(t, "the reason is shown", func() bool { return refusal() == reason })
	if r := command(t, a.dataDir, "", "node", "list"); !strings.Contains(r.stdout, reason) {
		t.Errorf("the table says\n%s", r.stdout)
	}
	admin(t, a.dataDir, "role", "create", "two")
	third := update()
	if third.GetSnapshot() == nil {
		t.Errorf("after a nack comes %v", third)
	}
	ack(third)
	eventually(t, "the reason is past", func() bool { return refusal() == "" })
}

// TestRecordsThatComeAgainAreTakenOnce resends what a node does not know to be
// taken: after a lost ack, over a new stream, and in another cut.
func TestRecordsThatComeAgainAreTakenOnce(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	conn := a.impostor(t, "forgetful")
	const epoch = 7
	var records []*auditv1.Record
	var previous []byte
	for i := range 4 {
		event, err := audit.Encode(&auditv1.Event{
			Kind: auditv1.EventKind_EVENT_KIND_REFUSAL, CallId: []byte(fmt.Sprintf("call-%011d", i)), At: timestamppb.Now(),
			User: "ana", Application: "resent", Method: "tools/call", Tool: fmt.Sprintf("tool_%d", i),
			Decision: auditv1.Decision_DECISION_DENY, Rule: "default-deny", Outcome: auditv1.Outcome_OUTCOME_REFUSED,
		})
		if err != nil {
			t.Fatal(err)
		}
		previous = audit.Chain(previous, epoch, uint64(i+1), event)
		records = append(records, &auditv1.Record{Sequence: uint64(i + 1), Event: event, Hash: previous})
	}
	push := func(epoch uint64, batches ...[]*auditv1.Record) (acked uint64, err error) {
		t.Helper()
		stream, err := auditv1.NewAuditServiceClient(conn).Push(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.CloseSend()
		for _, batch := range batches {
			if err := stream.Send(&auditv1.PushRequest{Epoch: epoch, Records: batch}); err != nil {
				t.Fatal(err)
			}
			response, err := stream.Recv()
			if err != nil {
				return acked, err
			}
			acked = response.GetAckedSequence()
		}
		return acked, nil
	}
	for i, c := range []struct {
		batches [][]*auditv1.Record // over one stream
		acked   uint64
	}{
		{[][]*auditv1.Record{records[:2]}, 2},
		{[][]*auditv1.Record{records[:2], records[:2]}, 2},
		{[][]*auditv1.Record{records[1:3], records[:4]}, 4},
		{[][]*auditv1.Record{records[:1], records[2:4]}, 4},
	} {
		if acked, err := push(epoch, c.batches...); err != nil || acked != c.acked {
			t.Errorf("stream %d: acked %d, %v; want %d", i, acked, err, c.acked)
		}
	}
	w := &world{gateway: a.gateway}
	seen := map[string]int{}
	for _, c := range w.ledgerOf(t, "resent", 4) {
		seen[c["tool"].(string)]++
		if c["node"] != "forgetful" || c["user"] != "ana" {
			t.Errorf("the ledger has %v", c)
		}
	}
	if len(seen) != 4 {
		t.Errorf("the ledger has %v", seen)
	}
	forged := &auditv1.Record{Sequence: 2, Event: records[3].Event, Hash: records[3].Hash}
	if acked, err := push(epoch, []*auditv1.Record{forged}); err == nil {
		t.Errorf("another record under a number that is taken is acked up to %d", acked)
	}
}
