package directory

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/environment"
	"github.com/warder-gateway/warder/controlplane/internal/feed"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

var _ catalog.Tunnels = (*Directory)(nil)

func vault(t *testing.T) *seal.Vault {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// replica runs a directory until the test ends.
func replica(t *testing.T, s *store.Store, ready func(string)) *Directory {
	t.Helper()
	f := feed.New(feed.Config{Store: s})
	d := New(Config{Store: s, Keys: vault(t), Feed: f, Replica: "r", Ready: ready})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	running.Go(func() { d.Run(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	return d
}

// dial serves a directory on loopback to an agent of a name.
func dial(t *testing.T, d *Directory, agent string) *grpc.ClientConn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.StreamInterceptor(func(s any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return next(s, named{stream, identity.WithPeer(stream.Context(), identity.Peer{Kind: identity.Agent, Name: agent})})
	}))
	enrollv1.RegisterAgentServiceServer(server, d)
	tunnelv1.RegisterTunnelServiceServer(server, d)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(serving.Wait)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

type named struct {
	grpc.ServerStream
	ctx context.Context
}

func (n named) Context() context.Context { return n.ctx }

// add saves a server of an agent.
func add(t *testing.T, s *store.Store, agent, name string, variables map[string]string) {
	t.Helper()
	sealed, err := environment.Seal(vault(t), name, variables)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for variable := range variables {
		names = append(names, variable)
	}
	_, err = s.Change(t.Context(), "ana", func(tx *store.Tx) error {
		tx.Record("server.add", name, nil)
		_, err := tx.InsertServer(t.Context(), db.InsertServerParams{
			Name: name, Agent: &agent, Command: []string{"npx", name}, EnvironmentSealed: sealed, EnvironmentNames: names,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func letIn(t *testing.T, s *store.Store, agents ...string) {
	t.Helper()
	for _, agent := range agents {
		if _, err := s.JoinAgent(t.Context(), db.JoinAgentParams{Name: agent}); err != nil {
			t.Fatal(err)
		}
	}
}

// report has an agent say that it has tunnels to nodes, by a stream of whatever replica.
func report(t *testing.T, d *Directory, agent string, nodes ...string) {
	t.Helper()
	err := d.move(t.Context(), func(tx *store.Tx) error {
		return tx.ConnectAgent(t.Context(), db.ConnectAgentParams{Name: agent, ConnectedTo: "r/1", Report: []byte("{}"), Tunnels: nodes})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// echo answers every request with the server's name.
type echo struct{}

func (echo) Serve(_ context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	_ = w.Reply(http.StatusOK, nil, []byte(r.Server))
}

func orders(t *testing.T, stream enrollv1.AgentService_FollowClient) *enrollv1.Orders {
	t.Helper()
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return response.GetOrders()
}

// TestAnAgentHearsOfItsServersAndIsReachedWhenItHasTakenThem: the orders are the
// agent's alone, with its secrets; nobody asks a server that it has not taken.
func TestAnAgentHearsOfItsServersAndIsReachedWhenItHasTakenThem(t *testing.T) {
	s := storetest.New(t)
	letIn(t, s, "laptop", "other")
	add(t, s, "other", "theirs", map[string]string{"TOKEN": "CANARY"})
	add(t, s, "laptop", "first", nil)
	told := make(chan string, 16)
	d := replica(t, s, func(server string) { told <- server })
	conn := dial(t, d, "laptop")
	stream, err := enrollv1.NewAgentServiceClient(conn).Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&enrollv1.FollowRequest{Report: &enrollv1.AgentReport{Version: "1", Platform: "plan9/\x00"}}); err != nil {
		t.Fatal(err)
	}
	if got := orders(t, stream); got.GetNumber() != 1 || len(got.GetServers()) != 1 || got.GetServers()[0].GetName() != "first" || got.GetTunnels() != 2 {
		t.Fatalf("orders %v", got)
	}
	add(t, s, "laptop", "files", map[string]string{"TOKEN": "mine"})
	want := &enrollv1.AssignedServer{Name: "files", Command: []string{"npx", "files"}, Environment: map[string]string{"TOKEN": "mine"}}
	got := orders(t, stream)
	if diff := cmp.Diff(want, got.GetServers()[0], protocmp.Transform()); diff != "" || got.GetNumber() != 2 {
		t.Fatalf("orders %v\n%s", got, diff)
	}
	if _, err := d.Reach(t.Context(), "laptop", "files"); err == nil {
		t.Error("an agent without a tunnel is reached")
	}
	attached, err := tunnelv1.NewTunnelServiceClient(conn).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end := tunnel.New(attached, tunnel.Config{Handler: echo{}})
	if err := end.Announce([]*tunnelv1.ServerState{{Name: "files", Ready: true}, {Name: "theirs", Ready: true}}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = end.Run(t.Context()) }()
	<-end.Ready()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Reach(short, "laptop", "files"); err == nil {
		t.Error("a server is reached whose agent has not taken it")
	}
	if err := stream.Send(&enrollv1.FollowRequest{Taken: 2}); err != nil {
		t.Fatal(err)
	}
	carrier, err := d.Reach(t.Context(), "laptop", "files")
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://agent.invalid/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := carrier.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if server := <-told; server != "files" || len(told) != 0 {
		t.Errorf("told of %q, and %d more", server, len(told))
	}
	// What does not start is not waited for.
	if err := end.Announce([]*tunnelv1.ServerState{{Name: "files"}}); err != nil {
		t.Fatal(err)
	}
	report := &enrollv1.AgentReport{Servers: []*enrollv1.ServerReport{{Name: "files", Phase: enrollv1.ServerPhase_SERVER_PHASE_WAITING, LastError: "no such program"}}}
	if err := stream.Send(&enrollv1.FollowRequest{Taken: 2, Report: report}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(takeTime / 3); ; {
		_, err := d.Reach(t.Context(), "laptop", "files")
		if err != nil && strings.Contains(err.Error(), "does not start") && strings.Contains(err.Error(), "no such program") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a server that does not start: %v", err)
		}
	}
	stream2, err := s.GetAgentStream(t.Context(), "laptop")
	if err != nil || stream2 == "" {
		t.Errorf("the row says %q, %v", stream2, err)
	}
}

// TestOfTwoStreamsOfAnAgentTheLaterCounts: an agent that connects again has often lost
// a stream that still looks alive from here.
func TestOfTwoStreamsOfAnAgentTheLaterCounts(t *testing.T) {
	s := storetest.New(t)
	letIn(t, s, "laptop")
	add(t, s, "laptop", "first", nil)
	conn := dial(t, replica(t, s, nil), "laptop")
	var streams []enrollv1.AgentService_FollowClient
	for range 2 {
		stream, err := enrollv1.NewAgentServiceClient(conn).Follow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		orders(t, stream)
		streams = append(streams, stream)
	}
	if _, err := streams[0].Recv(); err == nil {
		t.Error("the first goes on")
	}
	add(t, s, "laptop", "second", nil)
	if got := orders(t, streams[1]); len(got.GetServers()) != 2 {
		t.Errorf("the second hears %v", got)
	}
}

// TestEveryReplicaKnowsWhereAgentsAre: of what nodes say, servers count that are the
// agent's, and agents that were let in; with a node's stream all goes that it said.
func TestEveryReplicaKnowsWhereAgentsAre(t *testing.T) {
	s := storetest.New(t)
	letIn(t, s, "laptop", "other")
	add(t, s, "laptop", "files", nil)
	add(t, s, "other", "theirs", nil)
	here, there := replica(t, s, nil), replica(t, s, nil)
	report(t, here, "laptop", "edge")
	report(t, here, "other", "edge")
	if err := here.ConnectNode(t.Context(), db.ConnectNodeParams{Name: "edge", ConnectedTo: "a/1", TunnelAddress: "10.0.0.1:7443"}); err != nil {
		t.Fatal(err)
	}
	attached := &syncv1.Attached{Agents: []*syncv1.AttachedAgent{
		{Name: "laptop", Ready: []string{"files", "theirs", "not a slug"}}, {Name: "laptop"}, {Name: "stranger"}, {Name: "../"},
	}}
	if err := here.AttachAgents(t.Context(), "edge", "a/0", &syncv1.Attached{Agents: []*syncv1.AttachedAgent{{Name: "other"}}}); err != nil {
		t.Fatal(err) // Of a stream that is past.
	}
	if err := here.AttachAgents(t.Context(), "edge", "a/1", attached); err != nil {
		t.Fatal(err)
	}
	nodes := []*syncv1.NodeLocation{{Name: "edge", TunnelAddress: "10.0.0.1:7443"}}
	await(t, there, &syncv1.Locations{Nodes: nodes, Agents: []*syncv1.AgentLocation{{Name: "laptop", Nodes: []string{"edge"}, Ready: []string{"files"}}}})
	if err := here.DisconnectNode(t.Context(), db.DisconnectNodeParams{Name: "edge", ConnectedTo: "a/1"}); err != nil {
		t.Fatal(err)
	}
	await(t, there, &syncv1.Locations{})
	if rows, err := s.ListAttachments(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("left: %v, %v", rows, err)
	}
}

// TestWhatADeadReplicaSaidOfItsNodesIsForgotten: nobody takes it back, so it goes with
// the time.
func TestWhatADeadReplicaSaidOfItsNodesIsForgotten(t *testing.T) {
	s := storetest.New(t)
	letIn(t, s, "laptop")
	d := replica(t, s, nil)
	report(t, d, "laptop", "dead", "edge")
	for _, node := range []string{"dead", "edge"} {
		if err := d.ConnectNode(t.Context(), db.ConnectNodeParams{Name: node, ConnectedTo: node + "/1", TunnelAddress: "10.0.0.1:7443"}); err != nil {
			t.Fatal(err)
		}
		if err := d.AttachAgents(t.Context(), node, node+"/1", &syncv1.Attached{Agents: []*syncv1.AttachedAgent{{Name: "laptop"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Pool().Exec(t.Context(), "UPDATE node SET seen_at = now() - interval '2 minutes' WHERE name = 'dead'"); err != nil {
		t.Fatal(err)
	}
	if err := d.look(t.Context()); err != nil { // As it does each time that it reconciles.
		t.Fatal(err)
	}
	await(t, d, &syncv1.Locations{
		Nodes:  []*syncv1.NodeLocation{{Name: "edge", TunnelAddress: "10.0.0.1:7443"}},
		Agents: []*syncv1.AgentLocation{{Name: "laptop", Nodes: []string{"edge"}}},
	})
}

// TestServersThatAreNotTheAgentsAreLoggedOnce: whether the agent announces them or a
// node names them.
func TestServersThatAreNotTheAgentsAreLoggedOnce(t *testing.T) {
	var text bytes.Buffer
	d := New(Config{Log: slog.New(slog.NewTextHandler(&text, nil))})
	l := new(link)
	a := d.of("laptop")
	a.link, a.follower = l, &follower{number: 2, taken: 1, ordered: map[string]string{"files": ""}}
	states := []*tunnelv1.ServerState{{Name: "files", Ready: true}, {Name: "theirs", Ready: true}}
	d.announced("laptop", l, states)
	if text.Len() > 0 {
		t.Errorf("of orders that it has not taken, logged: %s", &text)
	}
	a.follower.taken = 2
	rows := []db.ListAttachmentsRow{{Agent: "laptop", Node: "edge", Ready: []string{"files"}, Strays: []string{"theirs"}}}
	for range 2 {
		d.announced("laptop", l, states)
		d.logStrays(rows)
	}
	logged := text.String()
	if strings.Count(logged, "theirs") != 2 || strings.Contains(logged, "files") || !strings.Contains(logged, "node=edge agent=laptop") {
		t.Errorf("logged: %s", logged)
	}
}

// await waits until locations are the ones wanted.
func await(t *testing.T, d *Directory, want *syncv1.Locations) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var seen uint64
	var got *syncv1.Locations
	for {
		next, version, err := d.Locations(ctx, seen)
		if err != nil {
			t.Fatalf("locations stay %v, want %v", got, want)
		}
		if got, seen = next, version; cmp.Equal(want, got, protocmp.Transform()) {
			return
		}
	}
}
