package controlplane

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// sealKeys returns those of a set.
func sealKeys(set *snapshot.Set) (keys []*snapshotv1.SealKey) {
	for _, item := range set.All() {
		keys = append(keys, item.GetSettings().GetSealKeys()...)
	}
	return keys
}

// The first snapshot of an installation has a key, a restart keeps it, and one
// that is forgotten leaves the nodes at once.
func TestSealKeysReachNodesAndLeaveThem(t *testing.T) {
	config := testConfig(t)
	first := start(t, config)
	f := follow(t, first.dial(t, "edge-1"))
	f.apply()
	before := sealKeys(f.held)
	if len(before) != 1 || len(before[0].GetKey()) != 32 || before[0].GetSealsFrom().AsTime().After(time.Now()) {
		t.Fatalf("the first snapshot has %d seal keys", len(before))
	}
	first.stop()

	again := start(t, config)
	f = follow(t, again.dial(t, "edge-1"))
	f.apply()
	if after := sealKeys(f.held); len(after) != 1 || string(after[0].GetKey()) != string(before[0].GetKey()) {
		t.Error("a restart changes the seal key")
	}
	admin := adminv1connect.NewSealKeyServiceClient(again.local.Client(), again.local.URL)
	rotate := func(now, forget bool) {
		t.Helper()
		request := connect.NewRequest(&adminv1.RotateSealKeysRequest{Now: now, Forget: forget})
		if _, err := admin.RotateSealKeys(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	rotate(false, false)
	f.until(func(s *snapshot.Set) bool { return len(sealKeys(s)) == 2 })
	rotate(true, true)
	f.until(func(s *snapshot.Set) bool { return len(sealKeys(s)) == 1 })
	if string(sealKeys(f.held)[0].GetKey()) == string(before[0].GetKey()) {
		t.Error("the old key is the one that is left")
	}
}

// A session that a client ends at one node ends at every node, of this replica
// and of others.
func TestAnEndedSessionReachesTheNodesOfOtherReplicas(t *testing.T) {
	config := testConfig(t)
	one := start(t, config)
	config.DataDir, config.KEKFile = t.TempDir(), config.DataDir+"/kek"
	other := start(t, config)
	nodes := map[string]*follower{
		"edge-1": follow(t, one.dial(t, "edge-1")), "edge-2": follow(t, one.dial(t, "edge-2")), "edge-3": follow(t, other.dial(t, "edge-3")),
	}
	for _, f := range nodes {
		f.apply()
	}
	id := []byte("0123456789abcdef")
	err := nodes["edge-1"].stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_EndedSessions{EndedSessions: &syncv1.EndedSessions{
		Sessions: []*syncv1.EndedSession{{Id: id, ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range nodes {
		var told []*syncv1.EndedSession
		for len(told) == 0 {
			response, err := f.stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			told = response.GetEndedSessions().GetSessions()
		}
		if string(told[0].GetId()) != string(id) {
			t.Errorf("%s is told of %v", name, told)
		}
	}
}

// What a node says of a server makes the catalogue ask the server again.
func TestAServerThatANodeSaysHasChangedIsAskedAgain(t *testing.T) {
	r := start(t, testConfig(t))
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer server.Close()
	servers := adminv1connect.NewServerServiceClient(r.local.Client(), r.local.URL)
	_, err := servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{Name: "crm", Url: server.URL, Private: true}))
	if err != nil {
		t.Fatal(err)
	}
	for len(asked) > 0 { // Adding it asked already.
		<-asked
	}
	f := follow(t, r.dial(t, "edge-1"))
	f.apply()
	for _, name := range []string{"no such server", "../crm", "crm"} {
		err := f.stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_ServerChanged{ServerChanged: &syncv1.ServerChanged{Server: name}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Error("it was not asked again")
	}
}
