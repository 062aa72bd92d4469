package publisher_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/directory"
	"github.com/warder-gateway/warder/controlplane/internal/ended"
	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/publisher"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// serve runs a publisher behind mutual TLS and returns a client of node "n1".
func serve(t *testing.T, s *store.Store, p *publisher.Publisher) syncv1.SyncServiceClient {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := enrollment.LoadAuthority(t.Context(), s, keys)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	server := grpc.NewServer(enrollment.NewAdmission(authority, nil, log).Options()...)
	syncv1.RegisterSyncServiceServer(server, p)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	t.Cleanup(p.Stop)

	who, err := enrollment.NewService(authority, 0, log).Admit(t.Context(), identity.Config{Kind: identity.Node, Log: log}, "n1")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(who.Client(identity.ControlPlane, ""))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return syncv1.NewSyncServiceClient(conn)
}

// setOf returns a set with n users.
func setOf(t *testing.T, revision uint64, n int) *snapshot.Set {
	t.Helper()
	var items []*snapshotv1.Item
	for i := range n {
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: fmt.Sprintf("u%d", i)}}})
	}
	set, err := snapshot.New("e1", revision, items)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A node on a real connection applies a snapshot and then deltas, each of which
// verifies against the pinned key and gives the digest of what was published.
func TestNodeFollowsOverGRPC(t *testing.T) {
	s := storetest.New(t)
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := publisher.New(publisher.Config{Key: key, Book: directory.New(directory.Config{Store: s}), Replica: "cp1"})
	if err := p.Publish(setOf(t, 1, 10)); err != nil {
		t.Fatal(err)
	}
	stream, err := serve(t, s, p).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{Version: "test"}}})
	if err != nil {
		t.Fatal(err)
	}
	var held *snapshot.Set
	for revision := uint64(1); revision <= 5; revision++ {
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		update := response.GetUpdate()
		if err := snapshot.Verify(update, public); err != nil {
			t.Fatal(err)
		}
		if held, err = held.Apply(update); err != nil {
			t.Fatal(err)
		}
		if held.Revision() != revision || held.Digest() != p.Current().Digest() || (update.GetDelta() != nil) != (revision > 1) {
			t.Fatalf("holds %d, want %d: %v", held.Revision(), revision, update)
		}
		if err := p.Publish(setOf(t, revision+1, 10+int(revision))); err != nil {
			t.Fatal(err)
		}
		err = stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Nonce: update.GetNonce(), Revision: revision}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Recv(); err != nil { // Revision 6; the ack of 5 has been read.
		t.Fatal(err)
	}
	p.Stop()
	nodes, err := s.ListNodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].Name != "n1" || nodes[0].Revision != 5 || nodes[0].Connected {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
}

// A session that a node ends comes back to it, which confirms it, and waits for
// each node that connects, from the database and over a real connection.
func TestEndedSessionsTravelOverGRPC(t *testing.T) {
	s := storetest.New(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	list := ended.New(ended.Config{Store: s})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { list.Run(ctx) })
	defer running.Wait()
	defer cancel()
	p := publisher.New(publisher.Config{Key: key, Book: directory.New(directory.Config{Store: s}), Replica: "cp1", Sessions: list})
	if err := p.Publish(setOf(t, 1, 1)); err != nil {
		t.Fatal(err)
	}
	client := serve(t, s, p)
	told := &syncv1.EndedSession{Id: []byte("0123456789abcdef"), ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}
	for attempt, says := range []bool{true, false} {
		stream, err := client.Sync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		requests := []*syncv1.SyncRequest{{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{Version: "test"}}}}
		if says {
			requests = append(requests, &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_EndedSessions{
				EndedSessions: &syncv1.EndedSessions{Sessions: []*syncv1.EndedSession{told}}}})
		}
		for _, request := range requests {
			if err := stream.Send(request); err != nil {
				t.Fatal(err)
			}
		}
		var heard *syncv1.EndedSessions
		for heard == nil {
			response, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			heard = response.GetEndedSessions()
		}
		got := heard.GetSessions()
		// PostgreSQL keeps microseconds.
		if len(got) != 1 || string(got[0].GetId()) != string(told.GetId()) || got[0].GetExpiresAt().AsTime().Sub(told.GetExpiresAt().AsTime()).Abs() > time.Microsecond {
			t.Errorf("stream %d heard %v", attempt, got)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
}
