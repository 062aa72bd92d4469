package controlplane

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// ward is an agent by script: it has a server "echo" behind every name, announces all
// that it is ordered to run and what it claims besides, takes its orders at once, and says
// that it has tunnels to the nodes near and nearer.
type ward struct {
	t      *testing.T
	follow enrollv1.AgentService_FollowClient
	tunnel *tunnel.Tunnel
	claims []string
	server http.Handler

	mu    sync.Mutex
	heard []*enrollv1.Orders
	asked int           // streams that were opened at it
	ended chan error    // why each of its two streams ended
	told  chan struct{} // capacity 1: heard is longer
}

func (r *running) agent(t *testing.T, name string, claims ...string) *ward {
	t.Helper()
	who, err := r.Admit(t.Context(), identity.Config{Kind: identity.Agent, ControlPlane: r.nodes, Log: slog.New(slog.DiscardHandler)}, name)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(r.nodes, grpc.WithTransportCredentials(credentials.NewTLS(who.Client(identity.ControlPlane, ""))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &ward{t: t, claims: claims, ended: make(chan error, 2), told: make(chan struct{}, 1)}
	server := mcp.NewServer(&mcp.Implementation{Name: "echo", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "echo", Description: "Says it again"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
	w.server = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	attached, err := tunnelv1.NewTunnelServiceClient(conn).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.tunnel = tunnel.New(attached, tunnel.Config{Handler: w})
	go func() { w.ended <- w.tunnel.Run(t.Context()) }()
	if w.follow, err = enrollv1.NewAgentServiceClient(conn).Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	go w.obey()
	return w
}

// obey takes orders until the stream ends.
func (w *ward) obey() {
	for {
		response, err := w.follow.Recv()
		if err != nil {
			w.ended <- err
			return
		}
		orders := response.GetOrders()
		report := &enrollv1.AgentReport{
			Version: "1.2.3", Platform: "plan9/mips", Tunnels: []*enrollv1.TunnelReport{{Node: "near"}, {Node: "nearer"}},
		}
		var states []*tunnelv1.ServerState
		for _, s := range orders.GetServers() {
			ready := s.GetCommand()[0] != "rm"
			states = append(states, &tunnelv1.ServerState{Name: s.GetName(), Ready: ready})
			one := &enrollv1.ServerReport{Name: s.GetName(), Phase: enrollv1.ServerPhase_SERVER_PHASE_RUNNING, Pid: 4711, Restarts: 3, What: "npx", LastError: "exit status 1"}
			if !ready {
				one.Phase, one.LastError = enrollv1.ServerPhase_SERVER_PHASE_REFUSED, "refused by the agent's file: it allows no command rm"
			}
			report.Servers = append(report.Servers, one)
		}
		for _, name := range w.claims {
			states = append(states, &tunnelv1.ServerState{Name: name, Ready: true})
			report.Servers = append(report.Servers, &enrollv1.ServerReport{Name: name, Phase: enrollv1.ServerPhase_SERVER_PHASE_RUNNING})
		}
		w.mu.Lock()
		w.heard = append(w.heard, orders)
		w.mu.Unlock()
		select {
		case w.told <- struct{}{}:
		default:
		}
		if err := w.tunnel.Announce(states); err != nil {
			w.ended <- err
			return
		}
		if err := w.follow.Send(&enrollv1.FollowRequest{Taken: orders.GetNumber(), Report: report}); err != nil {
			w.ended <- err
			return
		}
	}
}

// Serve implements tunnel.Handler.
func (w *ward) Serve(ctx context.Context, r *tunnel.Incoming, answer tunnel.Answer) {
	w.mu.Lock()
	w.asked++
	w.mu.Unlock()
	body, err := r.ReadAll(1 << 20)
	if err != nil {
		return
	}
	request := httptest.NewRequestWithContext(ctx, r.Method, "/", bytes.NewReader(body))
	for _, field := range r.Header {
		request.Header.Add(field.Name, field.Value)
	}
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, request)
	var fields []tunnel.Field
	for name, values := range recorder.Header() {
		fields = append(fields, tunnel.Field{Name: name, Value: values[0]})
	}
	_ = answer.Reply(recorder.Code, fields, recorder.Body.Bytes())
}

func (w *ward) orders() []*enrollv1.Orders {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.heard)
}

// add adds a server of the agent laptop.
func (r *running) add(t *testing.T, m *adminv1.AddServerRequest) *adminv1.AddServerResponse {
	t.Helper()
	response, err := adminv1connect.NewServerServiceClient(r.local.Client(), r.local.URL).AddServer(t.Context(), connect.NewRequest(m))
	if err != nil {
		t.Fatal(err)
	}
	return response.Msg
}

// What an agent offers is known when its server has been added, and only from the agent
// that has it: what another announces and reports of the same name counts for nothing,
// and it hears nothing of it.
func TestTheCatalogueOfAnAgentComesUpFromTheAgentThatHasIt(t *testing.T) {
	r := start(t, testConfig(t))
	laptop, rogue := r.agent(t, "laptop"), r.agent(t, "rogue", "files")
	<-rogue.told
	<-laptop.told
	const canary = "CANARY-environment"
	added := r.add(t, &adminv1.AddServerRequest{
		Name: "files", Agent: "laptop", Command: []string{"npx", "files"}, Environment: []*adminv1.Variable{{Name: "TOKEN", Value: canary}},
	})
	if len(added.GetTools()) != 1 || added.GetTools()[0].GetName() != "echo" || added.GetServer().GetState() != adminv1.ServerState_SERVER_STATE_READY {
		t.Errorf("added %v", added)
	}
	last := laptop.orders()[len(laptop.orders())-1]
	if len(last.GetServers()) != 1 || last.GetServers()[0].GetEnvironment()["TOKEN"] != canary {
		t.Errorf("the agent was ordered %v", last)
	}
	rogue.mu.Lock()
	asked := rogue.asked
	rogue.mu.Unlock()
	if asked != 0 {
		t.Errorf("the other agent was asked %d times", asked)
	}
	for _, orders := range rogue.orders() {
		if strings.Contains(orders.String(), canary) || len(orders.GetServers())+len(orders.GetAllowed()) != 0 {
			t.Errorf("the other agent was ordered %v", orders)
		}
	}
	agents := adminv1connect.NewAgentServiceClient(r.local.Client(), r.local.URL)
	seen := map[string]*adminv1.Agent{}
	for len(seen["rogue"].GetServers()) == 0 || len(seen["laptop"].GetServers()) == 0 { // The rows come once a second.
		list, err := agents.ListAgents(t.Context(), connect.NewRequest(&adminv1.ListAgentsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list.Msg.GetAgents() {
			seen[a.GetName()] = a
		}
	}
	if s := seen["rogue"].GetServers()[0]; s.GetKnown() {
		t.Errorf("the other agent's claim is taken for the server: %v", s)
	}
	if a := seen["laptop"]; !a.GetConnected() || a.GetVersion() != "1.2.3" || a.GetPlatform() != "plan9/mips" {
		t.Errorf("the agent is shown as %v", a)
	}
	if s := seen["laptop"].GetServers()[0]; !s.GetKnown() || s.GetPhase() != "running" || s.GetPid() != 4711 || s.GetRestarts() != 3 || s.GetLastError() != "exit status 1" {
		t.Errorf("its server is shown as %v", s)
	}
}

// An agent whose file does not allow a command says so, and whoever adds the server
// reads that at once.
func TestACommandThatTheAgentRefusesIsAddedWithTheReason(t *testing.T) {
	r := start(t, testConfig(t))
	<-r.agent(t, "laptop").told
	began := time.Now()
	added := r.add(t, &adminv1.AddServerRequest{Name: "wipe", Agent: "laptop", Command: []string{"rm", "-rf"}})
	if text := added.GetServer().GetLastError(); !strings.Contains(text, "refused by the agent's file: it allows no command rm") {
		t.Errorf("the server says %q", text)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %v", took)
	}
	var shown *adminv1.Server
	for shown.GetProcess() == nil { // The row comes once a second.
		list, err := adminv1connect.NewServerServiceClient(r.local.Client(), r.local.URL).ListServers(t.Context(), connect.NewRequest(&adminv1.ListServersRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		shown = list.Msg.GetServers()[0]
	}
	if p := shown.GetProcess(); shown.GetAgentState() != "connected" || p.GetPhase() != "refused" || !strings.Contains(p.GetLastError(), "no command rm") {
		t.Errorf("the list shows %v", shown)
	}
}

// attach says which agents a node has.
func (f *follower) attach(agents ...*syncv1.AttachedAgent) {
	f.t.Helper()
	err := f.stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Attached{Attached: &syncv1.Attached{Agents: agents}}})
	if err != nil {
		f.t.Fatal(err)
	}
}

// untilPlaces reads until locations are as wanted.
func (f *follower) untilPlaces(what string, wanted func(*syncv1.Locations) bool) {
	f.t.Helper()
	for {
		response, err := f.stream.Recv()
		if err != nil {
			f.t.Fatalf("%s: %v", what, err)
		}
		if places := response.GetLocations(); places != nil && wanted(places) {
			return
		}
	}
}

// tunnelling follows as a node that takes tunnels.
func tunnelling(t *testing.T, r *running, name string) *follower {
	t.Helper()
	stream, err := syncv1.NewSyncServiceClient(r.dial(t, name)).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{Version: "test", TunnelAddress: name + ".example:7443"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &follower{t: t, stream: stream}
}

// ready returns the servers of an agent that are ready anywhere, and whether the agent
// is anywhere.
func ready(places *syncv1.Locations, agent string) ([]string, bool) {
	for _, a := range places.GetAgents() {
		if a.GetName() == agent {
			return a.GetReady(), true
		}
	}
	return nil, false
}

// A node of another replica hears where an agent is, and within a second that a server
// of it crashed, that its node has left, and that it was revoked; and the agent loses
// both streams that it has at the first replica.
func TestNodesOfAnotherReplicaHearWhereAgentsAre(t *testing.T) {
	config := testConfig(t)
	first, second := replica(t, config, kek(1)), replica(t, config, kek(1))
	laptop := first.agent(t, "laptop")
	<-laptop.told
	first.add(t, &adminv1.AddServerRequest{Name: "files", Agent: "laptop", Command: []string{"npx"}})
	near, nearer, far := tunnelling(t, first, "near"), tunnelling(t, first, "nearer"), tunnelling(t, second, "far")
	far.untilPlaces("both nodes", func(p *syncv1.Locations) bool { return len(p.GetNodes()) == 3 })

	withinASecond := func(what string, act func(), wanted func(*syncv1.Locations) bool) {
		t.Helper()
		began := time.Now()
		act()
		far.untilPlaces(what, wanted)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s was heard of after %v", what, took)
		}
	}
	withinASecond("an agent", func() {
		near.attach(&syncv1.AttachedAgent{Name: "laptop", Ready: []string{"files", "theirs"}})
		nearer.attach(&syncv1.AttachedAgent{Name: "stranger", Ready: []string{"files"}})
	}, func(p *syncv1.Locations) bool {
		names, here := ready(p, "laptop")
		if slices.Contains(names, "theirs") || slices.ContainsFunc(p.GetAgents(), func(a *syncv1.AgentLocation) bool { return a.GetName() == "stranger" }) {
			t.Errorf("locations %v", p)
		}
		return here && slices.Equal(names, []string{"files"})
	})
	withinASecond("a crash", func() { near.attach(&syncv1.AttachedAgent{Name: "laptop"}) }, func(p *syncv1.Locations) bool {
		names, here := ready(p, "laptop")
		return here && len(names) == 0
	})
	withinASecond("that it runs again", func() { near.attach(&syncv1.AttachedAgent{Name: "laptop", Ready: []string{"files"}}) }, func(p *syncv1.Locations) bool {
		names, _ := ready(p, "laptop")
		return len(names) == 1
	})
	withinASecond("that a node left", func() {
		if err := near.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}, func(p *syncv1.Locations) bool {
		_, here := ready(p, "laptop")
		return !here && len(p.GetNodes()) == 2
	})
	withinASecond("another place", func() { nearer.attach(&syncv1.AttachedAgent{Name: "laptop", Ready: []string{"files"}}) }, func(p *syncv1.Locations) bool {
		_, here := ready(p, "laptop")
		return here
	})
	revoked := make(chan error, 1)
	withinASecond("a revocation", func() {
		agents := adminv1connect.NewAgentServiceClient(second.local.Client(), second.local.URL)
		go func() { // It waits for acks of nodes, which these do not give.
			_, err := agents.RevokeAgent(t.Context(), connect.NewRequest(&adminv1.RevokeAgentRequest{Name: "laptop"}))
			revoked <- err
		}()
		for range 2 {
			if err := <-laptop.ended; status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "was revoked") {
				t.Errorf("a stream of the agent ended with %v", err)
			}
		}
	}, func(p *syncv1.Locations) bool {
		_, here := ready(p, "laptop")
		return !here
	})
	if err := <-revoked; err != nil {
		t.Error(err)
	}
}
